//! Open spans that get another parent.

use crate::face;
use crate::spans::{captured, pipeline};
use crate::support::{assert_at_rest, shut_down};
use std::sync::mpsc;
use telemetry_core::context::{self, OpenSpan, Propagators, RemoteContext, SpanId};
use telemetry_core::pipeline::SinkBuilder;
use telemetry_core::testing::{CapturedRecord, CapturedSpan, MemoryExporter};
use tracing::Span;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn remote_of(trace: &str, flags: &str, state: &str) -> RemoteContext {
    let parent = format!("00-{trace}-{PARENT}-{flags}");
    let headers = [("traceparent", parent.as_str()), ("tracestate", state)];
    Propagators::default().extract(&headers)
}

fn remote() -> RemoteContext {
    remote_of(TRACE, "01", "")
}

fn open(span: &Span) -> Option<OpenSpan> {
    span.with_subscriber(|(id, dispatch)| OpenSpan::of(dispatch, id)).flatten()
}

fn set_parent(span: &Span, remote: &RemoteContext) -> bool {
    open(span).is_some_and(|open| open.set_parent(remote))
}

fn named<'a>(spans: &'a [CapturedRecord], name: &str) -> &'a CapturedSpan {
    &spans.iter().find(|span| span.name == name).unwrap().spans[0]
}

fn trace(span: &CapturedSpan) -> String {
    span.trace_id.unwrap().to_string()
}

#[track_caller]
fn assert_inside(child: &CapturedSpan, parent: &CapturedSpan) {
    assert_eq!((child.trace_id, child.parent_id), (parent.trace_id, parent.span_id));
}

#[test]
fn span_and_what_is_opened_inside_later_are_in_the_new_trace() {
    let (memory, report) = captured(|| {
        let around = tracing::info_span!("around");
        let _around = around.enter();
        let request = tracing::info_span!("request", path = "/");
        assert!(set_parent(&request, &remote()));
        let context = open(&request).unwrap().context().unwrap();
        request.in_scope(|| {
            assert_eq!(context::current(), Some(context));
            tracing::info!("inside");
            tracing::info_span!("query").in_scope(|| tracing::info!("deeper"));
        });
        request.record("path", "/later");
        tracing::info!("outside");
    });
    assert_at_rest(&report);
    let spans = memory.spans();
    let request = named(&spans, "request");
    assert_eq!(trace(request), TRACE);
    assert_eq!(request.parent_id.unwrap().to_string(), PARENT);
    assert!(request.has_remote_parent);
    assert_inside(named(&spans, "query"), request);
    let around = named(&spans, "around");
    assert!(around.trace_id != request.trace_id && around.parent_id.is_none());
    let events = memory.events();
    let traces: Vec<_> = events.iter().map(|event| event.trace_id).collect();
    assert_eq!(traces, [request.trace_id, request.trace_id, around.trace_id]);
    let names = |n: usize| events[n].spans.iter().map(|span| span.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(0), ["request"], "the span around it is around it no more");
    assert_eq!(names(1), ["query", "request"]);
    let closed = spans.iter().find(|span| span.name == "request").unwrap();
    assert_eq!(closed.trace_id, request.trace_id);
}

#[test]
fn span_that_was_around_it_is_held_open_by_it_no_more() {
    captured(|| {
        let around = tracing::info_span!("around");
        let inner = tracing::info_span!(parent: &around, "inner");
        let of_around = open(&around).unwrap();
        assert!(set_parent(&inner, &remote()));
        assert!(of_around.context().is_some());
        // On a registry the inner one holds the outer one all the same.
        let is_held = face::HOLDS_PARENTS_ITSELF;
        drop(around);
        assert_eq!(of_around.context().is_some(), is_held);
        drop(inner);
        assert!(of_around.context().is_none() && !of_around.set_parent(&remote()));
    });
}

#[test]
fn children_opened_before_keep_their_trace() {
    let (memory, _) = captured(|| {
        let span = tracing::info_span!("span");
        let before = tracing::info_span!(parent: &span, "before");
        assert!(set_parent(&span, &remote()));
        let after = tracing::info_span!(parent: &span, "after");
        before.in_scope(|| tracing::info!("in the one before"));
        drop((before, after));
    });
    let spans = memory.spans();
    let (span, before) = (named(&spans, "span"), named(&spans, "before"));
    assert_inside(named(&spans, "after"), span);
    assert_eq!(before.parent_id, span.span_id);
    assert_ne!(before.trace_id, span.trace_id);
    assert_eq!(memory.events()[0].trace_id, before.trace_id);
}

#[test]
fn thread_that_is_inside_is_in_the_new_trace_at_once() {
    let (memory, _) = captured(|| {
        let span = tracing::info_span!("span");
        let inside = span.enter();
        let again = span.enter();
        let inner = tracing::info_span!("inner");
        let in_inner = inner.enter();
        assert!(set_parent(&span, &remote()));
        drop(in_inner);
        tracing::info!("after");
        drop(again);
        tracing::info!("still inside");
        drop(inside);
    });
    let traces: Vec<_> =
        memory.events().iter().map(|event| event.trace_id.unwrap().to_string()).collect();
    assert_eq!(traces, [TRACE, TRACE]);
}

#[test]
fn thread_that_opened_the_span_learns_what_another_one_did_to_it() {
    let (pipeline, memory) = pipeline();
    pipeline.run(|| {
        let span = tracing::info_span!("span");
        std::thread::scope(|scope| {
            scope.spawn(|| pipeline.run(|| assert!(set_parent(&span, &remote()))));
        });
        span.in_scope(|| {
            tracing::info!("inside");
            drop(tracing::info_span!("inner"));
        });
    });
    shut_down(pipeline);
    let spans = memory.spans();
    assert_eq!(trace(named(&spans, "span")), TRACE);
    assert_inside(named(&spans, "inner"), named(&spans, "span"));
    assert_eq!(memory.events()[0].trace_id.unwrap().to_string(), TRACE);
}

#[test]
fn flags_and_state_come_from_the_new_parent() {
    let (memory, _) = captured(|| {
        let unsampled = tracing::info_span!("unsampled");
        assert!(set_parent(&unsampled, &remote_of(TRACE, "00", "")));
        unsampled.in_scope(|| assert!(!context::current().unwrap().flags.is_sampled()));
        let other = "0af7651916cd43dd8448eb211c80319c";
        let twice = tracing::info_span!("twice");
        assert!(set_parent(&twice, &remote_of(other, "01", "a=1")));
        let state = || context::current().unwrap().state.to_string();
        assert_eq!(twice.in_scope(state), "a=1");
        assert!(set_parent(&twice, &remote_of(TRACE, "03", "b=2")));
        assert_eq!(twice.in_scope(state), "b=2");
        let forgotten = remote_of(other, "01", "");
        assert_eq!(forgotten.run(state), "", "nobody is in that trace any more");
        assert_eq!(twice.in_scope(|| context::current().unwrap().flags.bits()), 3);
        twice.in_scope(|| drop(tracing::info_span!("inside")));
    });
    let states: Vec<_> =
        memory.spans().iter().map(|span| span.spans[0].trace_state.to_string()).collect();
    assert_eq!(states, ["b=2", "b=2"]);
    let names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["inside", "twice"]);
}

#[test]
fn parent_may_be_a_span_of_this_process() {
    let (memory, _) = captured(|| {
        let parent = tracing::info_span!("parent");
        let context = open(&parent).unwrap().context();
        let child = tracing::info_span!(parent: None, "child");
        assert!(set_parent(&child, &RemoteContext::new(context, Default::default())));
        child.in_scope(|| tracing::info!("inside"));
        drop(child);
    });
    let spans = memory.spans();
    assert_inside(named(&spans, "child"), named(&spans, "parent"));
    assert!(!named(&spans, "child").has_remote_parent);
    let around: Vec<_> = memory.events()[0].spans.iter().map(|span| span.name.clone()).collect();
    assert_eq!(around, ["child", "parent"]);
}

#[test]
fn nonsense_changes_nothing() {
    let (memory, report) = captured(|| {
        assert!(open(&Span::none()).is_none());
        let span = tracing::info_span!("span");
        assert!(!set_parent(&span, &RemoteContext::default()), "a context without a span");
        let itself = open(&span).unwrap().context();
        assert!(!set_parent(&span, &RemoteContext::new(itself, Default::default())));
        let gone = {
            let span = tracing::info_span!("gone");
            open(&span).unwrap()
        };
        assert!(!gone.set_parent(&remote()) && gone.context().is_none());
    });
    assert!(report.stale_spans <= 1, "{report}");
    assert!(memory.spans().iter().all(|span| span.spans[0].parent_id.is_none()));
}

#[test]
fn circle_of_parents_ends() {
    let (memory, _) = captured(|| {
        let outer = tracing::info_span!("outer");
        let inner = tracing::info_span!(parent: &outer, "inner");
        let context = open(&inner).unwrap().context();
        let context = SpanId::new(context.as_ref().unwrap().span_id.get()).and(context);
        assert!(set_parent(&outer, &RemoteContext::new(context, Default::default())));
        inner.in_scope(|| tracing::info!("inside"));
        drop((inner, outer));
    });
    assert_eq!((memory.events().len(), memory.spans().len()), (1, 2));
}

#[test]
fn filters_by_spans_look_no_further_than_the_new_parent() {
    let memory = MemoryExporter::new("memory");
    let filter = "info,[request{tenant=42}]=debug".parse().unwrap();
    let sink = SinkBuilder::new(memory.clone()).filter(filter);
    let pipeline = face::builder().sink(sink).scoped().unwrap();
    pipeline.run(|| {
        let request = tracing::info_span!("request", tenant = 42);
        let task = request.in_scope(|| tracing::info_span!("task"));
        task.in_scope(|| tracing::debug!("inside the request"));
        assert!(set_parent(&task, &remote()));
        task.in_scope(|| tracing::debug!("elsewhere"));
    });
    shut_down(pipeline);
    let events = memory.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].message(), Some("inside the request"));
}

#[test]
fn many_threads_give_spans_other_parents_while_others_enter_them() {
    const SPANS: u64 = 2_000;
    let (pipeline, memory) = pipeline();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Span>(16);
        let pipeline = &pipeline;
        scope.spawn(move || {
            pipeline.run(|| {
                for span in receiver {
                    set_parent(&span, &remote());
                    span.in_scope(|| tracing::info!("elsewhere"));
                }
            });
        });
        pipeline.run(|| {
            for n in 0..SPANS {
                let span = tracing::info_span!("span", n);
                sender.send(span.clone()).unwrap();
                if n % 3 == 0 {
                    set_parent(&span, &remote());
                }
                span.in_scope(|| tracing::info!("here"));
            }
            drop(sender);
        });
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    let spans = memory.spans();
    assert_eq!(spans.len(), SPANS as usize);
    assert!(spans.iter().all(|span| trace(&span.spans[0]) == TRACE));
}
