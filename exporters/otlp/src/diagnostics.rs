//! The one place through which this crate says that something went wrong.

use telemetry_core::{Level, diagnostics};

pub(crate) use telemetry_core::mark_own_thread;

/// Says what happened; core says it at most once per cause in a while.
pub(crate) fn diagnose(cause: &'static str, level: Level, text: impl FnOnce() -> String) {
    diagnostics::report(cause, level, text());
}
