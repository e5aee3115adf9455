//! Spans: parents, fields, threads, ids.

use crate::face;
use std::time::Duration;
use telemetry_core::Level;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{ScopedPipeline, SinkBuilder};
use telemetry_core::testing::{MemoryExporter, OwnedValue};

pub(crate) fn pipeline() -> (ScopedPipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(Filter::level(Level::Trace));
    let pipeline = face::builder().sink(sink).scoped().unwrap();
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

/// A pipeline of its own, and what it delivered once `emit` has run.
pub(crate) fn captured(emit: impl FnOnce()) -> (MemoryExporter, telemetry_core::ledger::Report) {
    let (pipeline, memory) = pipeline();
    pipeline.run(emit);
    let report = crate::support::shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    (memory, report)
}

#[test]
fn parents_are_contextual_explicit_or_none() {
    let (memory, _) = captured(|| {
        let outer = tracing::info_span!("outer");
        let other = tracing::info_span!("other");
        let _outer = outer.enter();
        drop(tracing::info_span!("contextual"));
        drop(tracing::info_span!(parent: &other, "explicit"));
        drop(tracing::info_span!(parent: None, "root"));
        tracing::info!(parent: &other, "in other");
        tracing::info!(parent: None, "in none");
    });
    let spans = memory.spans();
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let parent = |name: &str| find(name).spans[0].parent_id;
    assert_eq!(parent("contextual"), find("outer").span_id);
    assert_eq!(parent("explicit"), find("other").span_id);
    assert_eq!(parent("root"), None);
    assert_eq!(find("contextual").trace_id, find("outer").trace_id);
    assert_eq!(find("explicit").trace_id, find("other").trace_id);
    let traces = ["outer", "other", "root"].map(|name| find(name).trace_id.unwrap());
    assert!(traces[0] != traces[1] && traces[1] != traces[2]);
    let events = memory.events();
    assert_eq!(events[0].span_id, find("other").span_id);
    assert_eq!((events[1].span_id, events[1].trace_id), (None, None));
}

#[test]
fn follows_from_is_a_link() {
    let (memory, report) = captured(|| {
        let cause = tracing::info_span!("cause");
        let effect = tracing::info_span!(parent: None, "effect");
        effect.follows_from(&cause);
    });
    let spans = memory.spans();
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let cause = find("cause");
    let links = &find("effect").spans[0].links;
    assert_eq!(links, &[(cause.trace_id.unwrap(), cause.span_id.unwrap())]);
    assert_eq!(report.stale_spans, 0);
}

#[test]
fn parent_stays_open_until_its_children_close() {
    let (memory, _) = captured(|| {
        let parent = tracing::info_span!("parent");
        let child = tracing::info_span!(parent: &parent, "child");
        drop(parent);
        child.in_scope(|| tracing::info!("still inside"));
        drop(child);
    });
    let names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["child", "parent"]);
    let around: Vec<_> = memory.events()[0].spans.iter().map(|span| span.name.clone()).collect();
    assert_eq!(around, ["child", "parent"]);
}

#[test]
fn spans_left_out_of_order_leave_the_others_current() {
    let (memory, _) = captured(|| {
        let (a, b) = (tracing::info_span!("a"), tracing::info_span!("b"));
        let (in_a, in_b) = (a.enter(), b.enter());
        drop(in_a);
        tracing::info!("in b");
        drop(in_b);
        tracing::info!("in none");
        let (in_a, again) = (a.enter(), a.enter());
        drop(in_a);
        tracing::info!("in a still");
        drop(again);
    });
    let events = memory.events();
    let innermost: Vec<_> =
        events.iter().map(|event| event.spans.first().map(|span| span.name.as_str())).collect();
    assert_eq!(innermost, [Some("b"), None, Some("a")]);
}
