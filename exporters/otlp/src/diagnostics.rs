//! The one place through which this crate says that something went wrong.

use telemetry_core::Level;

/// Says what happened, at most once per cause in a while; `text` is only made if it is said.
pub(crate) fn diagnose(cause: &'static str, level: Level, text: impl FnOnce() -> String) {
    // Until core has a place for diagnostics, only the outcome of the acks tells.
    let _ = (cause, level, text);
}

/// Says that this thread is ours, so that its own records go to diagnostics only.
pub(crate) fn mark_own_thread() {
    // Until core has a mark for threads, there is nothing to do: without `hyper`'s and
    // `hyper-util`'s feature `tracing`, the transport emits nothing.
}
