//! A process that forks: the child stays off.
//!
//! # Invariants
//!
//! - In a fork's child nothing is delivered: its worker and exporters were not copied, and what was
//!   in the parent's buffers is the parent's. The child's call sites fall silent; it may
//!   `exec`, or start telemetry in the program that it becomes.
//! - No call of the child waits for a lock that was made before the fork: its holder may be a thread
//!   that was not copied. `sync::is_forked` is asked before one is taken, off the fast paths.

use std::sync::Once;

/// Lets a fork's child fall silent; called when a pipeline is attached.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(register);
}

#[cfg(unix)]
fn register() {
    extern "C" fn child() {
        crate::router::turn_off();
        crate::bridge::metrics::turn_off();
    }
    // SAFETY: `child` touches atomics only, which is allowed in a fork's child, and does not
    // unwind.
    unsafe { libc::pthread_atfork(None, None, Some(child)) };
}

#[cfg(not(unix))]
fn register() {}
