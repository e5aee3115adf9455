//! Orders over HTTP: JSON lines, spans over OTLP, a page for Prometheus.

use axum::extract::Request;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::error::Error;
use tower_http::trace::TraceLayer;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

fn start_telemetry() -> Result<SdkTracerProvider, Box<dyn Error>> {
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .with_http_listener(([127, 0, 0, 1], shop::port_from("METRICS_PORT", 9000)?))
        .install()?;
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(
            Resource::builder().with_service_name("shop").with_attribute(version).build(),
        )
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    tracing_subscriber::registry()
        .with(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with(fmt::layer().json().with_span_events(FmtSpan::CLOSE))
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("shop")))
        .try_init()?;
    Ok(provider)
}

fn request_span(request: &Request) -> Span {
    let span = info_span!("request", method = %request.method(), path = request.uri().path());
    let parent = global::get_text_map_propagator(|propagator| {
        propagator.extract(&HeaderExtractor(request.headers()))
    });
    let _ = span.set_parent(parent);
    span
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = start_telemetry()?;
    let trace = TraceLayer::new_for_http().make_span_with(request_span);
    shop::serve(shop::router().layer(trace)).await?;
    provider.shutdown()?;
    Ok(())
}
