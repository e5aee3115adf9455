//! Orders over HTTP: JSON lines, and everything over OTLP.

use axum::extract::Request;
use std::error::Error;
use telemetry_toolkit::headers::Headers;
use telemetry_toolkit::{Telemetry, context};
use tower_http::trace::TraceLayer;
use tracing::{Span, info_span};

fn start_telemetry() -> Result<Telemetry, telemetry_toolkit::Error> {
    Telemetry::builder().service("shop", env!("CARGO_PKG_VERSION")).from_env().init()
}

fn request_span(request: &Request) -> Span {
    let remote = context::extract(&Headers(request.headers()));
    let path = request.uri().path();
    remote.run(|| info_span!("request", method = %request.method(), path))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _telemetry = start_telemetry()?;
    let trace = TraceLayer::new_for_http().make_span_with(request_span);
    shop::serve(shop::router().layer(trace)).await?;
    Ok(())
}
