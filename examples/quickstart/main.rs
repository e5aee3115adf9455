//! Logs, a span and process statistics: `cargo run --example quickstart`.

use tracing::{info, instrument};

#[instrument]
fn greet(name: &str) {
    info!(length = name.len(), "hello");
}

fn main() -> Result<(), telemetry_toolkit::Error> {
    let _telemetry = telemetry_toolkit::init()?;
    greet("world");
    Ok(())
}
