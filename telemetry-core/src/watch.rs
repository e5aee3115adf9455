//! Watched queues: how long each one is, asked now and then on a thread of its own.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//! use telemetry_core::watch;
//!
//! let outbox = Arc::new(Mutex::new(VecDeque::from([1, 2, 3])));
//! let length = { let outbox = Arc::clone(&outbox); move || outbox.lock().unwrap().len() };
//! let _watch = watch::watch("outbox", 1000, length);
//! let readings = watch::read(Duration::from_secs(5));
//! assert_eq!((readings[0].name.as_str(), readings[0].length), ("outbox", Some(3)));
//! ```
//!
//! # Invariants
//!
//! - The closures are the user's code: a panic is caught and counted, and whoever asks waits for a
//!   limited time. They run on threads that are started to ask, never on the worker.
//! - A closure that does not return holds up no other one, holds one thread at most, and is not
//!   called again until it has returned; how long it has been running is told.
//! - At most [`WATCHES_MAX`] queues are watched; one beyond that is reported and not watched.

use crate::clock;
use crate::diagnostics;
use crate::error::discard_panic;
use crate::level::Level;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How many queues are watched at most.
pub const WATCHES_MAX: usize = 256;
/// How many readings of a queue are kept, to see whether it grows.
const READINGS_MAX: usize = 16;
/// How long one closure may take before the next one is asked on another thread.
const SLOW: Duration = Duration::from_millis(50);

type Length = Box<dyn FnMut() -> usize + Send>;

static WATCHED: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue that is being watched; ends when it is dropped.
#[must_use = "dropping it ends the watch"]
pub struct Watch(Arc<Entry>);

struct Entry {
    name: String,
    capacity: Option<usize>,
    length: Mutex<Length>,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    readings: VecDeque<(Instant, usize)>,
    /// Since when the closure has been running, while it runs.
    asked_at: Option<Instant>,
    panics: u64,
}

/// What is known of a watched queue.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// Its name.
    pub name: String,
    /// What it holds at most, if there is a limit.
    pub capacity: Option<usize>,
    /// The last length; `None` = it was never told.
    pub length: Option<usize>,
    /// How long ago that was.
    pub age: Duration,
    /// By how much it grew in a second, over the last readings.
    pub growth_per_s: Option<f64>,
    /// Has it grown over the last readings, with few of them shorter than the one before?
    pub grows: bool,
    /// For how long the closure has been running, if it has not returned.
    pub asking: Option<Duration>,
    /// How often the closure panicked.
    pub panics: u64,
}

/// Watches a queue: its length is a metric of the poller's, and stands in snapshots.
///
/// `length` is called every few seconds, on a thread of its own. It should be quick, and must not
/// wait for what the queue's users hold: where it does, snapshots say so. `capacity` is what the
/// queue holds at most, or `None`.
pub fn watch(
    name: impl Into<String>,
    capacity: impl Into<Option<usize>>,
    length: impl FnMut() -> usize + Send + 'static,
) -> Watch {
    let entry = Arc::new(Entry {
        name: name.into(),
        capacity: capacity.into(),
        length: Mutex::new(Box::new(length)),
        history: Mutex::default(),
    });
    let mut watched = lock(&WATCHED);
    let has_room = watched.len() < WATCHES_MAX;
    if has_room {
        watched.push(Arc::clone(&entry));
    }
    drop(watched);
    if !has_room {
        let text = format!("`{}` is not watched: {WATCHES_MAX} queues are already", entry.name);
        diagnostics::report("watch.limit", Level::Warn, text);
    }
    Watch(entry)
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&WATCHED).retain(|entry| !Arc::ptr_eq(entry, &self.0));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Entry {
    /// Asks for the length, unless that is being done.
    fn ask(&self) {
        let mut length = match self.length.try_lock() {
            Ok(length) => length,
            Err(TryLockError::Poisoned(length)) => length.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        lock(&self.history).asked_at = Some(clock::now());
        let answer = catch_unwind(AssertUnwindSafe(&mut *length));
        let mut history = lock(&self.history);
        history.asked_at = None;
        match answer {
            Ok(length) => {
                if history.readings.len() >= READINGS_MAX {
                    history.readings.pop_front();
                }
                history.readings.push_back((clock::now(), length));
            }
            Err(panic) => {
                history.panics += 1;
                drop(history);
                discard_panic(panic);
                let text = format!("the length of `{}` cannot be told: it panicked", self.name);
                diagnostics::report("watch.panic", Level::Warn, text);
            }
        }
    }

    fn reading(&self, now: Instant) -> Reading {
        let history = lock(&self.history);
        let (first, last) = (history.readings.front().copied(), history.readings.back().copied());
        let since = |at: Instant| now.saturating_duration_since(at);
        let growth = |((began, from), (ended, to)): ((Instant, usize), (Instant, usize))| {
            let seconds = ended.saturating_duration_since(began).as_secs_f64();
            (seconds > 0.0).then(|| (to as f64 - from as f64) / seconds)
        };
        let lengths = history.readings.iter().map(|(_, length)| length);
        let ebbs = lengths.clone().zip(lengths.skip(1)).filter(|(one, next)| one > next).count();
        let has_grown = first.zip(last).is_some_and(|((_, first), (_, last))| last > first);
        Reading {
            name: self.name.clone(),
            capacity: self.capacity,
            length: last.map(|(_, length)| length),
            age: last.map(|(at, _)| since(at)).unwrap_or_default(),
            growth_per_s: first.zip(last).and_then(growth),
            grows: history.readings.len() > 2 && has_grown && ebbs <= history.readings.len() / 4,
            asking: history.asked_at.map(since),
            panics: history.panics,
        }
    }
}

/// Entries that are being asked, by one thread after the other.
struct Round {
    entries: Vec<Arc<Entry>>,
    next: AtomicUsize,
    asked: Mutex<usize>,
    progress: Condvar,
}

impl Round {
    fn run(&self) {
        // Relaxed: the number is all that threads share by it.
        while let Some(entry) = self.entries.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            entry.ask();
            *lock(&self.asked) += 1;
            self.progress.notify_all();
        }
    }

    /// Asks all, at most `limit`; whoever is slow does not hold up those after it.
    fn ask_all(self: Arc<Self>, limit: Duration) {
        let deadline = clock::now().checked_add(limit);
        let mut seen = None;
        let mut asked = lock(&self.asked);
        while *asked < self.entries.len() && deadline.is_some_and(|end| clock::now() < end) {
            // At first, and when nobody has answered since the last look: one more thread.
            let is_slow = seen.is_none_or(|seen| seen == *asked);
            let is_left = self.next.load(Ordering::Relaxed) < self.entries.len();
            if is_slow && is_left && !start(&self) {
                return;
            }
            seen = Some(*asked);
            let wait = SLOW.min(limit);
            asked = match self.progress.wait_timeout(asked, wait) {
                Ok((asked, _)) => asked,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

fn start(round: &Arc<Round>) -> bool {
    let round = Arc::clone(round);
    let builder = std::thread::Builder::new().name("telemetry-watch".to_owned());
    builder.spawn(move || round.run()).is_ok()
}

/// Asks for the lengths of all watched queues, waits at most `limit`, and returns what is known
/// then.
pub fn read(limit: Duration) -> Vec<Reading> {
    let entries = lock(&WATCHED).clone();
    if entries.is_empty() {
        return Vec::new();
    }
    let round = Round {
        entries: entries.clone(),
        next: AtomicUsize::new(0),
        asked: Mutex::new(0),
        progress: Condvar::new(),
    };
    Arc::new(round).ask_all(limit);
    let now = clock::now();
    entries.iter().map(|entry| entry.reading(now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    fn reading(name: &str, limit: Duration) -> Option<Reading> {
        read(limit).into_iter().find(|reading| reading.name == name)
    }

    #[test]
    fn queue_is_watched_while_its_guard_lives() {
        let watch = watch("guarded", 10, || 7);
        let found = reading("guarded", LIMIT).unwrap();
        assert_eq!((found.length, found.capacity, found.panics), (Some(7), Some(10), 0));
        drop(watch);
        assert_eq!(reading("guarded", LIMIT), None);
    }

    #[test]
    fn queue_that_grows_is_told_from_one_that_fluctuates() {
        let table = [
            (&[1, 2, 3, 4][..], true),
            (&[1, 5, 4, 9], true),
            (&[1, 1, 1, 1], false),
            (&[5, 1, 5, 1, 6], false),
            (&[9, 5, 3, 1], false),
            (&[1, 2], false),
        ];
        for (lengths, grows) in table {
            let mut next = lengths.iter();
            let _watch = watch("growing", None, move || *next.next().unwrap());
            let readings: Vec<_> =
                lengths.iter().map(|_| reading("growing", LIMIT).unwrap()).collect();
            let last = readings.last().unwrap();
            assert_eq!(last.grows, grows, "{lengths:?}");
            assert!(!grows || last.growth_per_s.is_some_and(|growth| growth > 0.0), "{last:?}");
        }
    }

    #[test]
    fn closure_that_panics_is_counted_and_asked_again() {
        // Other tests of the process ask, too.
        let is_well = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_well);
        let _watch = watch("panics", None, move || {
            assert!(told.load(Ordering::Relaxed), "on purpose");
            2
        });
        let panicked = |reading: &Reading| reading.length.is_none() && reading.panics > 0;
        while !panicked(&reading("panics", LIMIT).unwrap()) {}
        is_well.store(true, Ordering::Relaxed);
        while reading("panics", LIMIT).unwrap().length != Some(2) {}
    }

    #[test]
    fn closure_that_hangs_is_told_and_holds_up_no_other() {
        let (open, door) = mpsc::sync_channel::<()>(0);
        let door = Mutex::new(door);
        let _hangs = watch("hangs", None, move || {
            let _ = lock(&door).recv();
            1
        });
        let _after = watch("after", None, || 2);
        let found = reading("after", Duration::from_millis(200)).unwrap();
        assert_eq!(found.length, Some(2), "asked on another thread");
        let found = reading("hangs", Duration::from_millis(200)).unwrap();
        assert!(found.length.is_none() && found.asking.is_some(), "{found:?}");
        drop(open);
        while reading("hangs", Duration::from_millis(200)).unwrap().length.is_none() {}
    }

    #[test]
    fn nothing_is_started_to_ask_nobody() {
        let round = Round {
            entries: Vec::new(),
            next: AtomicUsize::new(0),
            asked: Mutex::new(0),
            progress: Condvar::new(),
        };
        Arc::new(round).ask_all(Duration::ZERO);
    }
}
