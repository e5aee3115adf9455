//! Puts the worker to sleep, and wakes it, without a fence at the call site.
//!
//! The worker that finds nothing to read says so (`prepare_to_sleep`), waits one more interval,
//! looks into every buffer again, and only then sleeps. A producer commits first and looks at the
//! state second. Its store may become visible late, after its load; but never later than an
//! interval, so one of the two sees the other. The sleep is bounded by a second all the same.
//!
//! # Invariants
//!
//! - A record committed before the worker's second look is read in it, or its producer sees
//!   `SLEEPING` and wakes the worker.
//! - `OFF` is final: the process is a fork's child without a worker.

use crate::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

const AWAKE: u32 = 0;
const SLEEPING: u32 = 1;
const OFF: u32 = 2;

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
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = thread;
    }

    /// Looks whether the worker has to be woken; called after every commit.
    #[inline(always)]
    pub(crate) fn after_commit(&self) {
        // Relaxed: see the module's text.
        if self.state.load(Ordering::Relaxed) != AWAKE {
            self.wake_sleeping();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_sleeping(&self) {
        // Relaxed: unpark itself orders what comes before it.
        if self
            .state
            .compare_exchange(SLEEPING, AWAKE, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.wake();
        }
    }

    /// Wakes the worker, whatever it does.
    pub(crate) fn wake(&self) {
        if self.is_off() {
            return; // the lock may have been held by a thread that the fork did not copy
        }
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    /// The worker: says that it is about to sleep.
    pub(crate) fn prepare_to_sleep(&self) {
        let _ = self.state.compare_exchange(AWAKE, SLEEPING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The worker: says that it is awake.
    pub(crate) fn awake(&self) {
        let _ = self.state.compare_exchange(SLEEPING, AWAKE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Is the worker still meant to sleep (nobody woke it since `prepare_to_sleep`)?
    pub(crate) fn may_sleep(&self) -> bool {
        self.state.load(Ordering::Relaxed) == SLEEPING
    }

    /// The fork's child: there is no worker and there will be none.
    pub(crate) fn turn_off(&self) {
        self.state.store(OFF, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OFF
    }
}
