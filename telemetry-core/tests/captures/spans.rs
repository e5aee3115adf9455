//! Spans that begin or end outside of a capture, and spans of other captures.

use crate::capture;
use std::time::Duration;
use telemetry_core::context::Propagators;
use telemetry_core::{assert_event, assert_no_event, assert_span_tree};
use tracing::{debug_span, info, info_span};

#[test]
fn span_of_before_is_named_around_what_is_captured() {
    let outer = capture();
    let (request, query) = (info_span!("request", id = 7), info_span!("query"));
    let entered = request.entered();
    {
        let captured = capture();
        info!("directly");
        query.in_scope(|| {
            let _inner = debug_span!("inner").entered();
            info!("deeper");
        });
        assert_event!(captured, message: "directly", span: "request");
        let deeper = assert_event!(captured, message: "deeper");
        assert_eq!(deeper.span_path(), "query > inner");
        // They are not the capture's own.
        assert_span_tree!(captured, "inner");
        assert_eq!(captured.spans().len(), 1);
    }
    drop((entered, query));
    assert_span_tree!(outer, "request, query");
    assert_eq!(outer.spans().len(), 2, "{:?}", outer.records());
    assert_no_event!(outer);
}

#[test]
fn span_that_outlives_its_capture_closes_without_harm() {
    let captured = capture();
    let span = info_span!("long");
    let entered = span.clone().entered();
    assert_eq!(captured.span_tree().spans()[0].duration, None);
    drop(captured);
    span.record("nothing", 1);
    drop(entered);
    drop(span);
    let captured = capture();
    info!("after");
    assert_span_tree!(captured, "");
    assert_eq!((captured.records().len(), captured.lost()), (1, 0));
}

#[test]
fn span_ends_in_the_capture_it_began_in_from_wherever_it_is_closed() {
    let outer = capture();
    let here = info_span!("closed_inside", result = tracing::field::Empty);
    let there = info_span!("closed_by_another_thread", result = tracing::field::Empty);
    {
        let inner = capture();
        here.record("result", 1);
        drop(here);
        assert!(inner.records().is_empty());
    }
    let close = move || {
        there.record("result", 2);
        drop(there);
    };
    std::thread::spawn(close).join().unwrap();
    let spans = outer.spans();
    let results: Vec<_> =
        spans.iter().map(|span| span.field("result").unwrap().as_i128().unwrap()).collect();
    assert_eq!(results, [1, 2], "{spans:?}");
}

#[test]
fn innermost_capture_takes_and_the_outer_one_goes_on_after_it() {
    let outer = capture();
    info!("before");
    {
        let inner = capture();
        info!("inside");
        assert_event!(inner, count: 1);
    }
    info!("after");
    let messages: Vec<_> =
        outer.events().iter().map(|event| event.message().unwrap().to_owned()).collect();
    assert_eq!(messages, ["before", "after"]);
}

#[test]
fn spans_of_a_trace_that_is_not_sampled_are_captured() {
    let captured = capture();
    let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")];
    let remote = Propagators::default().extract(&headers);
    remote.run(|| info_span!("request").in_scope(|| info!("inside")));
    let span = &captured.spans()[0];
    assert!(!span.trace_flags.is_sampled() && span.spans[0].has_remote_parent, "{span:?}");
    assert_event!(captured, span: "request");
}

#[test]
fn captures_may_end_in_any_order() {
    let outer = capture();
    let inner = capture();
    drop(outer);
    info!("inside");
    assert_event!(inner, message: "inside");
    drop(inner);
    info!("to nobody");
    let last = capture();
    info!("last");
    assert_eq!(last.events().len(), 1);
}

#[test]
fn durations_are_those_of_the_spans() {
    let captured = capture();
    let span = info_span!("slow");
    std::thread::sleep(Duration::from_millis(20));
    drop(span);
    let duration = captured.spans()[0].duration();
    assert!((Duration::from_millis(15)..Duration::from_secs(20)).contains(&duration));
    let in_the_tree = captured.span_tree().spans()[0].duration.unwrap();
    assert!(in_the_tree.abs_diff(duration) < duration / 2, "{in_the_tree:?}, {duration:?}");
}

#[test]
fn thousands_of_nested_spans_are_drawn_on_a_small_stack() {
    let captured = capture();
    let mut spans = vec![info_span!("root").entered()];
    for _ in 0..5_000 {
        spans.push(info_span!("nested").entered());
    }
    while let Some(span) = spans.pop() {
        drop(span);
    }
    let tree = captured.span_tree();
    assert_eq!((tree.spans().len(), tree.roots().len()), (5_001, 1));
    assert_eq!(tree.to_string().lines().count(), 5_001);
}
