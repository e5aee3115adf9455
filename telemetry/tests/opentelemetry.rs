//! Code that knows OpenTelemetry's API only, in a program that has telemetry.
//!
//! One test, because the process has one pipeline and one tracer provider.

use opentelemetry::trace::{TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use std::collections::HashMap;
use telemetry_toolkit::SinkBuilder;
use telemetry_toolkit::testing::MemoryExporter;

/// A library's function: it has never heard of `tracing`.
fn query(headers: &mut HashMap<String, String>) {
    let mut injected = HashMap::new();
    Context::current().span().set_attribute(KeyValue::new("library", "v1"));
    global::tracer("library").in_span("query", |context| {
        context.span().set_attribute(KeyValue::new("rows", 3));
        tracing::info!("inside");
        global::get_text_map_propagator(|propagator| propagator.inject(&mut injected));
    });
    headers.extend(injected);
}

#[test]
fn libraries_of_opentelemetry_take_part() {
    let memory = MemoryExporter::new("memory");
    let builder = telemetry_toolkit::builder().no_console().poller(false).exit_hook(false);
    let telemetry = builder.exporter(SinkBuilder::new(memory.clone())).init().unwrap();
    let mut headers = HashMap::new();
    tracing::info_span!("request").in_scope(|| query(&mut headers));
    assert!(telemetry.shutdown().is_complete());
    let spans = memory.spans();
    let [query, request] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((query.name.as_str(), request.name.as_str()), ("query", "request"));
    assert_eq!(query.target, "library");
    assert_eq!(query.spans[0].parent_id, request.span_id);
    assert!(request.fields.iter().any(|(key, _)| key == "library"));
    assert_eq!(memory.events()[0].span_id, query.span_id);
    assert!(headers["traceparent"].contains(&query.span_id.unwrap().to_string()));
    // Nobody wants it any more: nothing is recorded, and nothing fails.
    global::tracer("library").in_span("late", |context| {
        assert!(!context.span().is_recording());
    });
}
