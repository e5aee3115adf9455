//! The cases without `install`.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests emit, and may fail")]

/// The version.
mod api {
    pub(crate) use ::{opentelemetry, tracing_opentelemetry};
    pub(crate) use telemetry_opentelemetry::{LayerTracer, Propagator};
}
mod cases;

fn start() {}
