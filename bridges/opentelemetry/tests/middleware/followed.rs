//! The cases with `install`: both the layer and the bridge attach contexts.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

mod cases;

fn start() {
    telemetry_opentelemetry::install().unwrap();
}
