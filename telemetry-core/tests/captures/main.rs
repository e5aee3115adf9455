//! Claims about captures, in a process whose global `tracing` subscriber is nobody's.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests"
)]

mod asserts;
mod crowd;
mod measured;
mod places;
mod spans;

use telemetry_core::testing::{self, Capture};

/// A capture, in a process with this face of the recorder.
fn capture() -> Capture {
    testing::capture()
}
