//! The process's threads: what the operating system says of them, and which span each is in.
//!
//! # Invariants
//!
//! - Threads are asked nothing: what is shown was written by them before, or by the kernel. So it
//!   works however stuck they are.
//! - At most [`THREADS_MAX`] threads are looked at.

use crate::intake::Intake;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many threads are looked at.
const THREADS_MAX: usize = 1024;
/// How our own threads are called.
const OWN_PREFIX: &str = "telemetry-";

/// One thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Thread {
    pub(super) id: u32,
    pub(super) name: String,
    /// The span that it is in; 0 = none.
    pub(super) span_id: u64,
    /// How long its call sites have waited for room.
    pub(super) blocked: Duration,
    pub(super) activity: Option<Activity>,
    pub(super) cpu: Option<Duration>,
}

/// What a thread does just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activity {
    Running,
    /// It waits for a lock at this address (futex(2)).
    Lock(u64),
    /// It is in this system call.
    Call(String),
    /// The state of proc_pid_stat(5), where the system call is not to be seen.
    State(char),
}

impl Activity {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Running => "runs".to_owned(),
            Self::Lock(_) => "waits for a lock".to_owned(),
            Self::Call(name) => format!("sleeps in {name}"),
            Self::State('D') => "waits in the kernel".to_owned(),
            Self::State('T' | 't') => "is stopped".to_owned(),
            Self::State(_) => "sleeps".to_owned(),
        }
    }
}

impl Thread {
    pub(super) fn is_own(&self) -> bool {
        self.name.starts_with(OWN_PREFIX)
    }

    /// Name and id: names are often those of a whole pool.
    pub(super) fn label(&self) -> String {
        match (self.name.as_str(), self.id) {
            ("", id) => format!("thread {id}"),
            (name, 0) => name.to_owned(),
            (name, id) => format!("{name} ({id})"),
        }
    }
}

/// The threads, and how many there are besides.
///
/// The span that a thread is in stands in its buffer of the process's intake, whichever pipeline
/// takes its records.
pub(super) fn list() -> (Vec<Thread>, u64) {
    let mut threads = BTreeMap::new();
    let mut unknown = Vec::new();
    for shared in Intake::global().buffers() {
        if shared.is_closed() {
            continue;
        }
        let thread = Thread {
            id: shared.owner.id,
            name: shared.owner.name.clone().unwrap_or_default(),
            span_id: shared.current_span.load(Ordering::Relaxed),
            blocked: Duration::from_nanos(shared.blocked_ns.load(Ordering::Relaxed)),
            ..Thread::default()
        };
        match thread.id {
            0 => unknown.push(thread),
            id => drop(threads.insert(id, thread)),
        }
    }
    for id in system::ids() {
        threads.entry(id).or_insert_with(|| Thread { id, ..Thread::default() });
    }
    let mut all: Vec<_> = threads.into_values().chain(unknown).collect();
    // Those in a span first: they are what the limit must not cut.
    all.sort_by_key(|thread| thread.span_id == 0);
    let left_out = all.len().saturating_sub(THREADS_MAX) as u64;
    all.truncate(THREADS_MAX);
    all.iter_mut().filter(|thread| thread.id != 0).for_each(system::look);
    (all, left_out)
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Activity, Duration, Path, Thread};

    /// Ticks of the kernel's accounting in a second: always 100 for user space (`USER_HZ`).
    const USER_HZ: u64 = 100;

    /// The process's threads.
    pub(super) fn ids() -> Vec<u32> {
        let Ok(folder) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
        let id = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.ok()?.file_name().to_str()?.parse().ok()
        };
        folder.filter_map(id).take(super::THREADS_MAX).collect()
    }

    /// Adds what the kernel knows of a thread.
    pub(super) fn look(thread: &mut Thread) {
        let folder = Path::new("/proc/self/task").join(thread.id.to_string());
        let Ok(stat) = std::fs::read_to_string(folder.join("stat")) else { return };
        let Some((name, state, cpu)) = parse_stat(&stat) else { return };
        if thread.name.is_empty() {
            thread.name = name.to_owned();
        }
        thread.cpu = Some(cpu);
        let call = std::fs::read_to_string(folder.join("syscall")).ok();
        let call = call.as_deref().and_then(parse_call);
        thread.activity = Some(match (state, call) {
            ('R', _) => Activity::Running,
            (_, Some(call)) => call,
            (state, None) => Activity::State(state),
        });
    }

    /// Name, state and processor time of proc_pid_stat(5).
    pub(super) fn parse_stat(stat: &str) -> Option<(&str, char, Duration)> {
        // The name stands in parentheses, and may hold some itself.
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        // Fields 14 and 15; the state is number 3.
        let user: u64 = fields.nth(10)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some((name, state, Duration::from_millis((user + system) * 1000 / USER_HZ)))
    }

    /// The system call of proc_pid_syscall(5); `None` while the thread runs or it is not told.
    pub(super) fn parse_call(text: &str) -> Option<Activity> {
        let mut fields = text.split_whitespace();
        let number: i64 = fields.next()?.parse().ok()?;
        if number < 0 {
            return None;
        }
        let mut argument = || {
            let text = fields.next()?.strip_prefix("0x")?;
            u64::from_str_radix(text, 16).ok()
        };
        if number == libc::SYS_futex {
            let (address, operation) = (argument()?, argument()?);
            let (expected, timeout) = (argument()?, argument()?);
            return Some(futex(address, operation, expected, timeout));
        }
        Some(Activity::Call(name_of(number)))
    }

    /// A wait without a limit for a word that is 2 is how the locks of the standard library and of
    /// pthreads wait: the word says "locked, and somebody waits". Condition variables count.
    fn futex(address: u64, operation: u64, expected: u64, timeout: u64) -> Activity {
        const PRIVATE_AND_CLOCK: u64 = 128 | 256;
        const WAIT: u64 = 0;
        const LOCK_PI: u64 = 6;
        const WAIT_BITSET: u64 = 9;
        match operation & 0xffff_ffff & !PRIVATE_AND_CLOCK {
            WAIT | WAIT_BITSET if expected & 0xffff_ffff == 2 && timeout == 0 => {
                Activity::Lock(address)
            }
            LOCK_PI => Activity::Lock(address),
            _ => Activity::Call("futex".to_owned()),
        }
    }

    fn name_of(number: i64) -> String {
        let known = [
            (libc::SYS_epoll_pwait, "epoll_wait"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_epoll_wait, "epoll_wait"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_poll, "poll"),
            (libc::SYS_ppoll, "poll"),
            (libc::SYS_pselect6, "select"),
            (libc::SYS_nanosleep, "nanosleep"),
            (libc::SYS_clock_nanosleep, "nanosleep"),
            (libc::SYS_read, "read"),
            (libc::SYS_write, "write"),
            (libc::SYS_fsync, "fsync"),
            (libc::SYS_fdatasync, "fdatasync"),
            (libc::SYS_flock, "flock"),
            (libc::SYS_recvfrom, "recv"),
            (libc::SYS_recvmsg, "recv"),
            (libc::SYS_sendto, "send"),
            (libc::SYS_sendmsg, "send"),
            (libc::SYS_accept4, "accept"),
            (libc::SYS_accept, "accept"),
            (libc::SYS_connect, "connect"),
            (libc::SYS_wait4, "wait"),
            (libc::SYS_rt_sigtimedwait, "sigwait"),
        ];
        let found = known.iter().find(|(other, _)| *other == number);
        found.map_or_else(|| format!("system call {number}"), |(_, name)| (*name).to_owned())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn names_with_parentheses_are_read() {
            let stat = "12 (a) (b)) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
            assert_eq!(parse_stat(stat), Some(("a) (b)", 'S', Duration::from_secs(3))));
            assert_eq!(parse_stat("12 (a"), None);
        }

        #[test]
        fn a_wait_for_a_lock_is_told_from_other_waits() {
            let call = |text: &str| parse_call(text);
            let futex = libc::SYS_futex;
            // 0x89: a private wait with a bitset, as the standard library waits.
            let lock = format!("{futex} 0x7f00 0x89 0x2 0x0 0x0 0xffffffff 0x1 0x2");
            assert_eq!(call(&lock), Some(Activity::Lock(0x7f00)));
            let condition = format!("{futex} 0x7f00 0x89 0x5 0x0 0x0 0xffffffff 0x1 0x2");
            assert_eq!(call(&condition), Some(Activity::Call("futex".to_owned())));
            let limited = format!("{futex} 0x7f00 0x89 0x2 0x7ffe 0x0 0xffffffff 0x1 0x2");
            assert_eq!(call(&limited), Some(Activity::Call("futex".to_owned())));
            assert_eq!(call("running\n"), None);
            assert_eq!(call("-1 0x7ffe 0x7f00\n"), None);
            assert_eq!(call("9999 0x0"), Some(Activity::Call("system call 9999".to_owned())));
            assert_eq!(call(""), None);
        }
    }
}

/// Elsewhere the threads' own words are all there is.
#[cfg(not(target_os = "linux"))]
mod system {
    use super::Thread;

    pub(super) fn ids() -> Vec<u32> {
        Vec::new()
    }

    pub(super) fn look(_: &mut Thread) {}
}
