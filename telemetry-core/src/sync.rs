//! Atomics, locks and threads: of the standard library, or of loom when its models run.
//!
//! Only the modules with a loom model use this shim (chunk and worker hand-off).

#[cfg(not(telemetry_loom))]
pub(crate) use std::sync::atomic;
#[cfg(not(telemetry_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(telemetry_loom)]
pub(crate) use loom::sync::atomic;
#[cfg(telemetry_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

/// Locks without regard to poison: the state behind our locks is valid after every statement, and
/// a panic of one thread must not become a panic of another.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
