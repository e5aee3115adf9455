//! The cases with `install`: both the layer and the bridge attach contexts.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests emit, and may fail")]

/// The version.
mod api {
    pub(crate) use ::{opentelemetry, tracing_opentelemetry};
    pub(crate) use telemetry_opentelemetry::{LayerTracer, Propagator};
}
mod cases;

fn start() {
    telemetry_opentelemetry::install().unwrap();
}
