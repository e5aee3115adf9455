//! The cases with `install`: both the layer and the bridge attach contexts.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests emit, and may fail")]

mod cases;

fn start() {
    telemetry_opentelemetry::install().unwrap();
}
