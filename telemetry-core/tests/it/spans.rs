//! Spans: parents, fields, threads, ids.

use std::time::Duration;
use telemetry_core::Level;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{Pipeline, ScopedPipeline, SinkBuilder};
use telemetry_core::testing::{MemoryExporter, OwnedValue};

pub(crate) fn pipeline() -> (ScopedPipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(Filter::level(Level::Trace));
    let pipeline = Pipeline::builder().sink(sink).scoped().unwrap();
    (pipeline, memory)
}

#[test]
fn event_carries_the_spans_around_it_with_their_fields() {
    let (pipeline, memory) = pipeline();
    pipeline.run(|| {
        let outer = tracing::info_span!("outer", tenant = 42, late = tracing::field::Empty);
        let _outer = outer.enter();
        let inner = tracing::debug_span!("inner", path = "/x");
        inner.in_scope(|| tracing::info!(n = 1, "before"));
        outer.record("late", "now");
        inner.in_scope(|| tracing::info!(n = 2, "after"));
    });
    let report = pipeline.flush(Duration::from_secs(5)).unwrap();
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    let events = memory.events();
    assert_eq!(events.len(), 2);
    let late = |n: usize| events[n].spans[1].fields.iter().find(|(key, _)| key == "late").cloned();
    assert_eq!(late(0), None, "the field is as of the record");
    assert_eq!(late(1), Some(("late".to_owned(), OwnedValue::Text("now".to_owned()))));
    let names: Vec<_> = events[0].spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["inner", "outer"]);
    let spans = memory.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].name, "inner");
    assert_eq!(spans[0].spans[0].parent_id, spans[1].span_id);
    assert_eq!(spans[0].trace_id, events[0].trace_id);
}
