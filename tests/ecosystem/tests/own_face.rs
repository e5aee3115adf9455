//! Without layers, the recorder is the subscriber itself: what libraries that look for a layer of
//! theirs are told, and what works instead.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests")]

use telemetry_toolkit::context::{self, Propagators};
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{SinkBuilder, Telemetry};
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError};

#[test]
fn set_parent_of_tracing_opentelemetry_finds_no_layer_and_ours_takes_its_place() {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone());
    let telemetry = Telemetry::builder().no_console().poller(false).exporter(sink).init().unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let remote = Propagators::default().extract(&[("traceparent", parent)]);
    let span = tracing::info_span!("request");
    let theirs = span.set_parent(opentelemetry::Context::new());
    assert!(matches!(theirs, Err(SetParentError::LayerNotFound)), "{theirs:?}");
    assert!(context::set_parent(&span, &remote));
    span.in_scope(|| tracing::info!("inside"));
    drop(span);
    // Nor does tracing-error find its layer; it says so.
    let trace = tracing::info_span!("around").in_scope(tracing_error::SpanTrace::capture);
    assert_eq!(trace.status(), tracing_error::SpanTraceStatus::UNSUPPORTED);
    telemetry.shutdown();
    let trace_id = Some(remote.span().unwrap().trace_id);
    assert!(memory.events().iter().any(|event| event.trace_id == trace_id));
    assert_eq!(memory.spans()[0].trace_id, trace_id);
}
