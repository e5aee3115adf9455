//! The way out of a process: `exit` flushes.
//!
//! # Invariants
//!
//! - The exit hook uses no thread-local with a destructor and waits at most its deadline.

use crate::pipeline::{Pipeline, Shared};
use std::sync::{Mutex, Once, PoisonError, Weak};
use std::time::Duration;

/// How long the exit hook waits for the exporters.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

static AT_EXIT: Mutex<Option<Weak<Shared>>> = Mutex::new(None);

/// Lets `std::process::exit` (and a return from `main`) wait for what `pipeline` has, at most
/// [`EXIT_TIMEOUT`].
///
/// Only the pipeline of the latest call is flushed. `abort` and `SIGKILL` run no hook: they lose
/// what was pending. On other systems than Unix this does nothing.
pub fn flush_at_exit(pipeline: &Pipeline) {
    let shared = std::sync::Arc::downgrade(pipeline.shared());
    *AT_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
    static HOOK: Once = Once::new();
    HOOK.call_once(register_exit);
}

#[cfg(unix)]
fn register_exit() {
    extern "C" fn hook() {
        // A panic must not unwind into the C library.
        let _ = std::panic::catch_unwind(flush);
    }
    // SAFETY: `hook` is a function of the right type and does not unwind.
    unsafe { libc::atexit(hook) };
}

#[cfg(not(unix))]
fn register_exit() {}

#[cfg(unix)]
fn flush() {
    if crate::own::is_own_thread() {
        return; // an exporter that ends the process cannot wait for itself
    }
    // `try_lock`: whoever holds it will not let go if this is a fork's child.
    let Ok(at_exit) = AT_EXIT.try_lock() else { return };
    if let Some(shared) = at_exit.as_ref().and_then(Weak::upgrade) {
        shared.flush(EXIT_TIMEOUT);
    }
}
