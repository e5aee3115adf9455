//! Context: a caller's span as parent, states of traces, baggage, key-values of scopes.

use crate::spans::pipeline;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use telemetry_core::bridge::metrics::Recorder;
use telemetry_core::context::{
    self, Baggage, Carried, InContext, OwnedSpan, Propagators, RemoteContext, SpanParent,
    TraceFlags,
};
use telemetry_core::counter;
use telemetry_core::metric::{self, Labels, Value};
use telemetry_core::testing::{CapturedRecord, MemoryExporter, OwnedValue};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn remote(flags: &str, state: &str) -> RemoteContext {
    let parent = format!("00-{TRACE}-{SPAN}-{flags}");
    let headers = [
        ("traceparent", parent.as_str()),
        ("tracestate", state),
        ("baggage", "tenant=acme,user=7"),
    ];
    Propagators::default().extract(&headers)
}

fn captured(emit: impl FnOnce()) -> MemoryExporter {
    let (pipeline, memory) = pipeline();
    pipeline.run(emit);
    let report = crate::support::shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    memory
}

fn text(record: &CapturedRecord, key: &str) -> Option<String> {
    let found = record.fields.iter().rfind(|(other, _)| other == key)?;
    Some(match &found.1 {
        OwnedValue::Text(text) => text.clone(),
        other => format!("{other:?}"),
    })
}

fn event<'a>(events: &'a [CapturedRecord], message: &str) -> &'a CapturedRecord {
    events.iter().find(|event| event.message() == Some(message)).unwrap()
}

#[test]
fn caller_s_span_is_the_parent_of_the_spans_inside() {
    let memory = captured(|| {
        let cause = tracing::info_span!("cause");
        let span = remote("01", "").run(|| {
            tracing::info!("in the caller's span");
            tracing::info_span!("server")
        });
        span.follows_from(&cause);
        span.in_scope(|| drop(tracing::info_span!("inner")));
        drop(tracing::info_span!("outside"));
    });
    let spans = memory.spans();
    let find = |name: &str| &spans.iter().find(|span| span.name == name).unwrap().spans[0];
    let server = find("server");
    assert_eq!(server.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(server.parent_id.unwrap().to_string(), SPAN);
    assert!(server.has_remote_parent);
    assert_eq!(server.links.len(), 1);
    let inner = find("inner");
    assert_eq!((inner.trace_id, inner.parent_id), (server.trace_id, server.span_id));
    assert!(!inner.has_remote_parent);
    assert_ne!(find("outside").trace_id, server.trace_id);
    let events = memory.events();
    assert_eq!(events[0].trace_id, server.trace_id);
    assert_eq!(events[0].span_id.unwrap().to_string(), SPAN);
}

#[test]
fn caller_s_flags_are_honoured_and_sent_on() {
    let memory = captured(|| {
        for (flags, expected) in [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3)] {
            let span = remote(flags, "").run(|| tracing::info_span!("server"));
            let inside = span.in_scope(|| context::current().unwrap());
            assert_eq!(inside.flags.bits(), expected);
            assert!(!inside.is_remote);
        }
    });
    assert_eq!(memory.spans().len(), 3, "those that the caller did not sample stay away");
}

#[test]
fn own_roots_are_sampled_and_random() {
    captured(|| {
        assert_eq!(context::current(), None);
        let span = tracing::info_span!("root");
        let current = span.in_scope(|| context::current().unwrap());
        assert_eq!(current.flags, TraceFlags::SAMPLED | TraceFlags::RANDOM);
        assert!(current.state.is_empty());
    });
}

#[test]
fn state_travels_with_the_trace_to_other_threads_and_ends_with_it() {
    captured(|| {
        let span = remote("01", "a=1,b=2").run(|| tracing::info_span!("server"));
        let inner = span.in_scope(|| tracing::info_span!("inner"));
        drop(span);
        let state = || context::current().unwrap().state.to_string();
        assert_eq!(inner.in_scope(state), "a=1,b=2");
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(inner.in_scope(state), "a=1,b=2"));
        });
        let trace_id = inner.in_scope(|| context::current().unwrap().trace_id);
        drop(inner);
        assert_eq!(remote("01", "").run(|| context::current().unwrap().trace_id), trace_id);
        assert_eq!(remote("01", "").run(state), "");
    });
}

#[test]
fn spans_tell_the_state_of_their_trace_when_all_is_over() {
    let memory = captured(|| {
        let span = remote("01", "a=1,b=2").run(|| tracing::info_span!("server", n = 7));
        let inner = span.in_scope(|| tracing::info_span!("inner", text = "x"));
        drop(span);
        inner.in_scope(|| drop(tracing::info_span!("deep", n = 8)));
        inner.record("text", "y");
        drop(inner);
        drop(remote("01", "").run(|| tracing::info_span!("none", n = 9)));
        drop(tracing::info_span!("root"));
    });
    let spans = memory.spans();
    let told = |name: &str| {
        let span = &spans.iter().find(|span| span.name == name).unwrap().spans[0];
        (span.trace_state.to_string(), span.fields.iter().map(|f| f.1.clone()).collect::<Vec<_>>())
    };
    let text = |text: &str| OwnedValue::Text(text.to_owned());
    assert_eq!(told("server"), ("a=1,b=2".to_owned(), vec![OwnedValue::I64(7)]));
    assert_eq!(told("inner"), ("a=1,b=2".to_owned(), vec![text("y")]));
    assert_eq!(told("deep"), ("a=1,b=2".to_owned(), vec![OwnedValue::I64(8)]));
    assert_eq!(told("none"), (String::new(), vec![OwnedValue::I64(9)]));
    assert_eq!(told("root"), (String::new(), vec![]));
}

#[test]
fn context_that_is_entered_is_injected() {
    let (parent, state) = (format!("00-{TRACE}-{SPAN}-03"), "a=1".to_owned());
    let mut sent: Vec<(String, String)> = Vec::new();
    remote("03", "a=1").run(|| Propagators::default().inject(&mut sent));
    let expected = [("traceparent", parent), ("tracestate", state)];
    for (n, (name, value)) in expected.into_iter().enumerate() {
        assert_eq!(sent[n], (name.to_owned(), value));
    }
    assert_eq!(sent[2].1, "tenant=acme,user=7");
    sent.clear();
    Propagators::default().inject(&mut sent);
    context::inject(&mut sent);
    assert_eq!(sent, []);
}

#[test]
fn baggage_is_cleared_and_comes_back() {
    remote("01", "").run(|| {
        {
            let _guard = context::with_baggage(Baggage::default());
            assert!(context::baggage().is_empty());
            assert!(context::current().is_some(), "the span stays");
        }
        assert_eq!(context::baggage().get("user"), Some("7"));
        RemoteContext::default().run(|| assert!(context::baggage().is_empty()));
    });
    assert!(context::baggage().is_empty());
}

#[test]
fn guards_may_go_in_any_order() {
    captured(|| {
        let outer = context::scope([("a", 1)]);
        let inner = context::scope([("b", 2)]);
        drop(outer);
        assert_eq!(context::values().get("a"), Some(&Value::from(1)), "inner was made in it");
        drop(inner);
        assert!(context::values().is_empty());
        let caller = remote("01", "");
        let first = caller.enter();
        let span = tracing::info_span!("server");
        let entered = span.enter();
        drop(first);
        assert_eq!(context::current().unwrap().trace_id.to_string(), TRACE);
        drop(entered);
        assert_eq!(context::current(), None);
    });
}

#[test]
fn a_caller_s_span_that_is_entered_twice_is_left_where_it_was_entered() {
    captured(|| {
        let caller = remote("01", "");
        let first = caller.enter();
        let span = tracing::info_span!("between").entered();
        let second = caller.enter();
        drop(first);
        assert_eq!(context::current().unwrap().span_id.to_string(), SPAN, "the second one stays");
        drop(second);
        assert_eq!(context::current().unwrap().trace_id.to_string(), TRACE);
        assert_ne!(context::current().unwrap().span_id.to_string(), SPAN);
        drop(span);
        assert_eq!(context::current(), None);
    });
}

#[test]
fn spans_by_handle_have_parents_fields_and_times_of_their_own() {
    let callsite = context::span_callsite(telemetry_core::Level::Info, "library", "by handle");
    let began = telemetry_core::clock::unix_ns() - 10_000_000_000;
    let memory = captured(|| {
        let tenant = |writer: &mut telemetry_core::record::Writer<'_>| {
            writer.inline("tenant", &"acme");
            writer.inline("password", &"s3cret");
        };
        let around = tracing::info_span!("around").entered();
        let span = OwnedSpan::start(callsite, SpanParent::Current, Some(began), tenant).unwrap();
        let inner = OwnedSpan::start(callsite, SpanParent::Here(span.open()), None, |_| {});
        let context = span.open().context().unwrap();
        let _entered = context.enter();
        drop(tracing::info_span!("inside"));
        let handle = span.open();
        span.end_at(began + 5_000_000_000);
        assert!(handle.context().is_some(), "what names its handle holds it open");
        drop(inner);
        assert!(handle.context().is_none());
        handle.record(|writer| writer.inline("late", &true));
        drop(around);
    });
    let spans = memory.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["inside", "by handle", "by handle", "around"]);
    let (inside, inner, span, around) = (&spans[0], &spans[1], &spans[2], &spans[3]);
    assert_eq!(span.spans[0].parent_id, around.span_id);
    assert_eq!(inner.spans[0].parent_id, span.span_id);
    assert_eq!(inside.spans[0].parent_id, span.span_id);
    assert_eq!(text(span, "tenant").as_deref(), Some("acme"));
    assert_eq!(text(span, "password").as_deref(), Some("[redacted]"));
    assert_eq!(text(span, "late"), None);
    let apart = span.spans[0].start_unix_ns.abs_diff(began);
    assert!(apart < 1_000_000_000, "{apart} ns apart");
}

#[test]
fn records_inside_get_the_values_and_their_own_stand_behind() {
    let memory = captured(|| {
        let _outer = context::scope([("tenant", Value::from("acme")), ("n", 1.into())]);
        let span = tracing::info_span!("work", n = 5);
        let _inner = context::scope([("n", Value::from(2)), ("message", "not this".into())]);
        tracing::info!(tenant = "own", "event");
        telemetry_core::event!(Info, "own.macro", { n = 7 }, { message = "macro" });
        span.in_scope(|| tracing::info!("in span"));
        drop(_inner);
        drop(_outer);
        tracing::info!("after");
    });
    let events = memory.events();
    let values = |message: &str| {
        let event = event(&events, message);
        (text(event, "tenant"), text(event, "n"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(values("event"), (some("own"), some("I64(2)")));
    assert_eq!(values("macro"), (some("acme"), some("I64(7)")));
    assert_eq!(values("in span"), (some("acme"), some("I64(2)")));
    assert_eq!(values("after"), (None, None));
    let span = &memory.spans()[0];
    assert_eq!((text(span, "tenant"), text(span, "n")), (some("acme"), some("I64(5)")));
}

#[test]
fn nested_records_and_records_without_a_scoped_pipeline_have_the_values() {
    struct Speaks;
    impl std::fmt::Debug for Speaks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let _scope = context::scope([("inner", true)]);
            tracing::info!("from Debug");
            f.write_str("spoken")
        }
    }
    let memory = captured(|| {
        let _scope = context::scope([("tenant", "acme")]);
        tracing::info!(value = ?Speaks, "speaking");
        tracing::info!("later");
    });
    let events = memory.events();
    for message in ["speaking", "from Debug", "later"] {
        assert_eq!(text(event(&events, message), "tenant").as_deref(), Some("acme"), "{message}");
    }
    assert!(text(event(&events, "from Debug"), "inner").is_some());
    assert!(text(event(&events, "later"), "inner").is_none());
}

/// Waits once.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn futures_take_their_context_from_thread_to_thread() {
    struct SaysGoodbye;
    impl Drop for SaysGoodbye {
        fn drop(&mut self) {
            tracing::info!("dropped");
        }
    }
    let (pipeline, memory) = pipeline();
    let work = async {
        let _goodbye = SaysGoodbye;
        tracing::info!("first");
        pause().await;
        tracing::info!("second");
        pause().await;
    };
    let work = {
        let _scope = context::scope([("outer", "1")]);
        Box::pin(work.in_remote(&remote("01", "a=1")).in_scope_values([("tenant", "acme")]))
    };
    let mut work = work;
    for _ in 0..2 {
        work = std::thread::scope(|scope| {
            let poll = || {
                pipeline.run(|| {
                    let mut work = work;
                    let mut context = Context::from_waker(Waker::noop());
                    assert!(pin!(&mut work).poll(&mut context).is_pending());
                    assert_eq!(context::current(), None, "the context is left between polls");
                    tracing::info!("between");
                    work
                })
            };
            scope.spawn(poll).join().unwrap()
        });
    }
    pipeline.run(|| drop(work));
    crate::support::shut_down(pipeline);
    let events = memory.events();
    for message in ["first", "second", "dropped"] {
        let event = event(&events, message);
        assert_eq!(event.trace_id.unwrap().to_string(), TRACE, "{message}");
        assert_eq!(text(event, "tenant").as_deref(), Some("acme"));
        assert_eq!(text(event, "outer").as_deref(), Some("1"));
    }
    assert_eq!(text(event(&events, "between"), "tenant"), None);
}

#[test]
fn what_is_captured_goes_along_to_a_thread() {
    let (pipeline, memory) = pipeline();
    let carried = pipeline.run(|| {
        let _scope = context::scope([("tenant", "acme")]);
        let _baggage = context::with_baggage(Baggage::parse(["k=v"]));
        tracing::info_span!("starter").in_scope(Carried::capture)
    });
    let copy = carried.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pipeline.run(|| {
                let _other = context::scope([("other", 1)]);
                carried.run(|| {
                    tracing::info!("carried");
                    drop(tracing::info_span!("child"));
                    assert_eq!(context::baggage().get("k"), Some("v"));
                    assert_eq!(context::values().len(), 1, "the capture replaces the thread's");
                });
                assert_eq!(context::values().len(), 1);
                assert!(memory.spans().iter().all(|span| span.name != "starter"));
                drop(carried);
            });
        });
    });
    pipeline.run(|| drop(copy));
    crate::support::shut_down(pipeline);
    let spans = memory.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["child", "starter"], "the span stays open while it is carried");
    assert_eq!(spans[0].spans[0].parent_id, spans[1].span_id);
    let events = memory.events();
    assert_eq!(text(&events[0], "tenant").as_deref(), Some("acme"));
    assert_eq!(events[0].span_id, spans[1].span_id);
}

#[test]
fn threads_know_who_started_them() {
    let _scope = context::scope([("tenant", "acme")]);
    let values = context::spawn_thread("worker-7", context::values).unwrap().join().unwrap();
    assert_eq!(values.get("tenant"), Some(&Value::from("acme")));
    assert_eq!(values.get("task.name"), Some(&Value::from("worker-7")));
    let location = values.get("task.location").unwrap().to_string();
    assert!(location.contains("context.rs:"), "{location}");
}

#[test]
fn baggage_on_the_allow_list_becomes_fields() {
    context::set_baggage_fields(["user"]);
    let memory = captured(|| remote("01", "").run(|| tracing::info!("inside")));
    context::set_baggage_fields([""; 0]);
    let events = memory.events();
    assert_eq!(text(&events[0], "user").as_deref(), Some("7"));
    assert_eq!(text(&events[0], "tenant"), None);
}

/// Counts, by all kinds of call sites.
fn count(queue: &str) {
    counter!("scope.literal", "queue" => "mail").add(1);
    counter!("scope.borrowed", "queue" => queue).add(1);
    counter!("scope.own", "measured.tenant" => "own").add(1);
}

/// What was counted with these labels.
fn counted(name: &str, labels: &[(&'static str, &'static str)]) -> u64 {
    metric::global().counter(name, labels.iter().copied().collect::<Labels>()).value()
}

#[test]
fn measurements_inside_have_the_listed_values_as_labels() {
    context::set_metric_labels(["measured.tenant"]);
    let queue = ("queue", "mail");
    let acme = ("measured.tenant", "acme");
    count("mail");
    {
        let values = [("measured.tenant", "acme"), ("measured.user", "7")];
        let _scope = context::scope(values);
        count("mail");
        context::spawn_thread("counts", || count("mail")).unwrap().join().unwrap();
        let registry = metric::Registry::new();
        metrics::with_local_recorder(&Recorder::new(registry.clone()), || {
            metrics::counter!("scope.facade", "queue" => "mail").increment(1);
            counter!("scope.local").add(1);
        });
        assert_eq!(registry.counter("scope.facade", [acme, queue]).value(), 1);
        assert_eq!(registry.counter("scope.local", [acme]).value(), 1);
    }
    let work = async { count("mail") }.in_scope_values([("measured.tenant", "acme")]);
    assert!(pin!(work).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    count("mail");
    for name in ["scope.literal", "scope.borrowed"] {
        assert_eq!((counted(name, &[queue]), counted(name, &[acme, queue])), (2, 3), "{name}");
    }
    assert_eq!(counted("scope.own", &[("measured.tenant", "own")]), 5);
}
