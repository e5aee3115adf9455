//! Atomics, locks and threads: of the standard library, or of loom when its models run.
//!
//! Only the modules with a loom model use this shim (the chunks and the worker's waker).
//!
//! # Invariants
//!
//! - `Arc` is always the standard library's: the models are about chunks and sleep, not about
//!   reference counts, and the modules without a model share these types.

pub(crate) use std::sync::Arc;
#[cfg(not(telemetry_loom))]
pub(crate) use std::sync::atomic;
#[cfg(not(telemetry_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(telemetry_loom))]
pub(crate) use std::thread;

#[cfg(telemetry_loom)]
pub(crate) use loom::sync::atomic;
#[cfg(telemetry_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(telemetry_loom)]
pub(crate) use loom::thread;

/// Locks without regard to poison: the state behind our locks is valid after every statement, and
/// a panic of one thread must not become a panic of another.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// As [`lock`], for a lock of the standard library, which no model looks at.
pub(crate) fn lock_std<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

static FORKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Is this a fork's child, whose locks may be held by threads that are not there?
pub fn is_forked() -> bool {
    FORKED.load(std::sync::atomic::Ordering::Relaxed)
}

/// This is a fork's child: what would take a lock does without from now on.
pub(crate) fn note_fork() {
    FORKED.store(true, std::sync::atomic::Ordering::Release);
}

/// Faults that the models plant, to show that they would find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(telemetry_loom), allow(dead_code, reason = "planted by the models only"))]
pub(crate) enum Bug {
    /// A record is published without ordering its bytes before it.
    UnorderedCommit,
    /// The consumer looks at the committed bytes first and at the next chunk second.
    NextSeenLate,
    /// The end of a thread is published without ordering its last commits before it.
    UnorderedClose,
    /// A chunk is linked before its header says how many records came before it.
    LinkedTooEarly,
    /// The producer may look at the worker's state before its commit is visible.
    NoProducerFence,
    /// The worker may look into the buffers before its state is visible.
    NoWorkerFence,
}

#[cfg(telemetry_loom)]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Runs a model with a fault in the code under test; loom runs all its threads on this one.
#[cfg(all(test, telemetry_loom))]
pub(crate) fn with_planted(bug: Bug, model: impl FnOnce()) {
    PLANTED.set(Some(bug));
    model();
}

/// Is this fault planted? Never, outside of the models.
#[inline(always)]
pub(crate) fn is_planted(bug: Bug) -> bool {
    #[cfg(telemetry_loom)]
    return PLANTED.get() == Some(bug);
    #[cfg(not(telemetry_loom))]
    {
        let _ = bug;
        false
    }
}
