//! Claims about captures, where the recorder is a layer on a `Registry`, which is the process's
//! `tracing` subscriber: those of `tests/captures`, but for the texts of failed assertions.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests"
)]

#[path = "../captures/crowd.rs"]
mod crowd;
#[path = "../captures/measured.rs"]
mod measured;
#[path = "../captures/places.rs"]
mod places;
#[path = "../captures/spans.rs"]
mod spans;

use std::sync::Once;
use telemetry_core::TelemetryLayer;
use telemetry_core::testing::{self, Capture};
use tracing_subscriber::layer::SubscriberExt;

/// A capture, in a process with this face of the recorder.
fn capture() -> Capture {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new());
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    testing::capture()
}
