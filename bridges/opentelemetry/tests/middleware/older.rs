//! The cases with another version of the API.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests emit, and may fail")]

/// The version.
mod api {
    pub(crate) use opentelemetry_0_32 as opentelemetry;
    pub(crate) use telemetry_opentelemetry::v0_32::{LayerTracer, Propagator};
    pub(crate) use tracing_opentelemetry_0_33 as tracing_opentelemetry;
}
mod cases;

fn start() {
    telemetry_opentelemetry::v0_32::install();
}
