//! Without `install`: contexts are asked for, and an empty one stands for where the thread is.

use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use std::collections::HashMap;
use std::time::Duration;
use telemetry_core::context::{self, Baggage, Propagators};
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;
use telemetry_opentelemetry::{Propagator, TracerProvider, otel_context};
use tracing::info_span;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn where_the_thread_is_can_be_asked_for() {
    context::set_propagators(Propagators::default());
    let memory = MemoryExporter::new("memory");
    let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).scoped().unwrap();
    pipeline.run(|| {
        assert!(!otel_context().span().span_context().is_valid());
        let headers = [("traceparent", PARENT), ("baggage", "k=v")];
        let _remote = Propagators::default().extract(&headers).enter();
        assert!(otel_context().span().span_context().is_remote());
        let _span = info_span!("request").entered();
        assert!(!Context::current().span().span_context().is_valid(), "nothing is attached");
        let now = otel_context();
        assert_eq!(now.baggage().get("k").unwrap().as_str(), "v");
        now.span().set_attribute(KeyValue::new("tenant", "acme"));

        // Code that gets the context, and code that knows of none.
        let tracer = TracerProvider::new().tracer("library");
        tracer.start_with_context("given", &now).end();
        tracer.start("found").end();
        let mut sent = HashMap::new();
        Propagator::new().inject(&mut sent);
        let current = context::current().unwrap();
        assert!(sent["traceparent"].contains(&current.span_id.to_string()));
        assert_eq!(Baggage::parse([&*sent["baggage"]]), context::baggage());
        let fields: Vec<String> = Propagator::new().fields().map(str::to_owned).collect();
        assert_eq!(fields, ["traceparent", "tracestate", "baggage"]);
    });
    pipeline.shutdown(Duration::from_secs(10));
    let spans = memory.spans();
    let request = &spans[2];
    assert_eq!(request.name, "request");
    assert!(request.fields.iter().any(|(key, _)| key == "tenant"));
    for span in &spans[..2] {
        assert_eq!(span.spans[0].parent_id, request.span_id, "{}", span.name);
        assert_eq!(span.trace_id, request.trace_id);
    }
}
