//! Puts the worker to sleep, and wakes it, without a fence at the call site.
//!
//! The worker that finds nothing to read says so, makes that visible to every thread, looks into
//! every buffer again, and only then sleeps. A producer commits first and looks at the state
//! second. For one of the two to see the other, each side's store must be visible before its load:
//! a fence on both sides. The call site's would be the most expensive instruction of an event, so
//! the worker pays for both: `membarrier` (2) makes every running thread pass a full barrier (Linux
//! 4.14). Where there is none, the worker waits one interval instead, far longer than a store
//! stays in a store buffer. The sleep is bounded by a second all the same.
//!
//! # Invariants
//!
//! - A record committed before the worker's second look is read in it, or its producer sees
//!   `SLEEPING` and wakes the worker.
//! - `OFF` is final: the process is a fork's child without a worker.
//! - Every commit takes the cold path while `THROUGH` is set, and none because of it otherwise.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::thread::Thread;
use crate::sync::{Bug, Mutex, is_planted, lock};

const AWAKE: u32 = 0;
/// Bits of the state: anything but [`AWAKE`] is for the cold path.
const SLEEPING: u32 = 1;
const OFF: u32 = 2;
/// Call sites wait until their records are out.
const THROUGH: u32 = 4;

/// The worker's state, as call sites see it.
#[derive(Debug)]
pub(crate) struct Waker {
    state: AtomicU32,
    thread: Mutex<Option<Thread>>,
}

impl Waker {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU32::new(AWAKE), thread: Mutex::new(None) }
    }

    /// Says which thread to wake.
    pub(crate) fn set_thread(&self, thread: Option<Thread>) {
        *lock(&self.thread) = thread;
    }

    /// Looks whether the worker has to be woken; called after every commit. `true` = and the call
    /// site may have to wait until its record is out.
    #[inline(always)]
    pub(crate) fn after_commit(&self) -> bool {
        light_barrier();
        // Relaxed: see the module's text.
        self.state.load(Ordering::Relaxed) != AWAKE && self.wake_sleeping()
    }

    #[cold]
    #[inline(never)]
    fn wake_sleeping(&self) -> bool {
        // Relaxed: unpark itself orders what comes before it.
        let before = self.state.fetch_and(!SLEEPING, Ordering::Relaxed);
        if before & SLEEPING != 0 {
            self.wake();
        }
        before & THROUGH != 0
    }

    /// Says whether call sites wait until their records are out.
    pub(crate) fn set_through(&self, on: bool) {
        match on {
            true => self.state.fetch_or(THROUGH, Ordering::Relaxed),
            false => self.state.fetch_and(!THROUGH, Ordering::Relaxed),
        };
    }

    /// Wakes the worker, whatever it does.
    pub(crate) fn wake(&self) {
        if self.is_off() {
            return; // the lock may have been held by a thread that the fork did not copy
        }
        if let Some(thread) = &*lock(&self.thread) {
            thread.unpark();
        }
    }

    /// The worker: sleeps (calls `park`) unless `has_records` finds something to read. `wait` is
    /// called where the system has no barrier, and takes one interval.
    pub(crate) fn sleep(
        &self,
        wait: impl FnOnce(),
        has_records: impl FnOnce() -> bool,
        park: impl FnOnce(),
    ) {
        self.state.fetch_or(SLEEPING, Ordering::Relaxed);
        if !heavy_barrier() {
            wait();
        }
        let has_records = has_records();
        // A producer may have seen `SLEEPING` and taken it back.
        if self.state.load(Ordering::Relaxed) & SLEEPING != 0 && !has_records {
            park();
        }
        self.awake();
    }

    /// Says that the worker is awake, or has to be: it will not sleep before it looked again.
    pub(crate) fn awake(&self) {
        self.state.fetch_and(!SLEEPING, Ordering::Relaxed);
    }

    /// The fork's child: there is no worker and there will be none.
    pub(crate) fn turn_off(&self) {
        self.state.store(OFF, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.state.load(Ordering::Relaxed) & OFF != 0
    }
}

/// Keeps the compiler from reading the state before the commit; costs no instruction. The model
/// has no `membarrier`: there the producer passes the barrier that the worker would force on it.
#[inline(always)]
fn light_barrier() {
    #[cfg(not(telemetry_loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    if cfg!(telemetry_loom) && !is_planted(Bug::NoProducerFence) {
        crate::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// Makes every running thread of the process pass a full barrier; `false` where that is not to be
/// had.
#[cfg(all(target_os = "linux", not(telemetry_loom), not(miri)))]
fn heavy_barrier() -> bool {
    use std::sync::OnceLock;
    // membarrier(2), linux/membarrier.h
    const PRIVATE_EXPEDITED: i32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
    fn membarrier(command: i32) -> bool {
        // SAFETY: the call takes no pointers; commands that the kernel does not know are refused.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED))
        && membarrier(PRIVATE_EXPEDITED)
}

#[cfg(any(not(target_os = "linux"), telemetry_loom, miri))]
fn heavy_barrier() -> bool {
    if !is_planted(Bug::NoWorkerFence) {
        crate::sync::atomic::fence(Ordering::SeqCst);
    }
    cfg!(telemetry_loom)
}

#[cfg(all(test, telemetry_loom))]
mod model {
    use super::*;
    use crate::sync::atomic::AtomicU64;
    use crate::sync::{Arc, thread, with_planted};

    /// One producer commits twice; the worker sleeps whenever it finds nothing, and must not stay
    /// asleep over a record. Loom reports that as a deadlock.
    fn no_record_is_left_unread_while_the_worker_sleeps() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let waker = Arc::new(Waker::new());
            let committed = Arc::new(AtomicU64::new(0));
            let worker = {
                let (waker, committed) = (Arc::clone(&waker), Arc::clone(&committed));
                thread::spawn(move || {
                    waker.set_thread(Some(thread::current()));
                    let mut read = 0;
                    while read < 2 {
                        // As `Consumer::refresh`: what was committed, seen with Acquire.
                        let seen = committed.load(Ordering::Acquire);
                        if seen > read {
                            read = seen;
                            continue;
                        }
                        let has_records = || committed.load(Ordering::Acquire) > read;
                        waker.sleep(|| (), has_records, thread::park);
                    }
                })
            };
            for number in 1..=2 {
                committed.store(number, Ordering::Release);
                waker.after_commit();
            }
            worker.join().expect("the worker does not panic");
        });
    }

    #[test]
    fn model_no_record_is_left_unread_while_the_worker_sleeps() {
        no_record_is_left_unread_while_the_worker_sleeps();
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn model_finds_a_missing_barrier_of_the_producer() {
        with_planted(Bug::NoProducerFence, no_record_is_left_unread_while_the_worker_sleeps);
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn model_finds_a_missing_barrier_of_the_worker() {
        with_planted(Bug::NoWorkerFence, no_record_is_left_unread_while_the_worker_sleeps);
    }
}
