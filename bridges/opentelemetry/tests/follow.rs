//! One idea of where a thread is, on both sides, whatever is entered and left in whichever order.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{
    FutureExt, Span as _, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, global};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};
use telemetry_core::context::{self, Baggage, InContext, Propagators, SpanContext};
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::{CapturedRecord, CapturedSpan, MemoryExporter, OwnedValue};
use telemetry_opentelemetry::TracerProvider;
use tracing::{Instrument, info, info_span};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn captured(emit: impl FnOnce()) -> MemoryExporter {
    telemetry_opentelemetry::install().unwrap();
    context::set_propagators(Propagators::default());
    let memory = MemoryExporter::new("memory");
    let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).scoped().unwrap();
    pipeline.run(emit);
    assert_eq!(context::current(), None, "everything was left");
    assert!(!Context::current().span().span_context().is_valid());
    let report = pipeline.shutdown(Duration::from_secs(10));
    assert!(!report.timed_out && report.lost() == 0, "{report}");
    memory
}

fn span(memory: &MemoryExporter, name: &str) -> CapturedSpan {
    let spans = memory.spans();
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span `{name}` in {spans:?}")).spans[0].clone()
}

fn field(fields: &[(String, OwnedValue)], key: &str) -> Option<String> {
    let found = fields.iter().rfind(|(other, _)| other == key)?;
    Some(match &found.1 {
        OwnedValue::Text(text) => text.clone(),
        other => format!("{other:?}"),
    })
}

fn event(memory: &MemoryExporter, name: &str) -> CapturedRecord {
    let events = memory.events();
    let is_it = |event: &&CapturedRecord| event.name == name || event.message() == Some(name);
    events.iter().find(is_it).unwrap_or_else(|| panic!("no `{name}`: {events:?}")).clone()
}

/// What both sides say of the current span.
#[track_caller]
fn here() -> Option<SpanContext> {
    let ours = context::current();
    let theirs = Context::current().span().span_context().clone();
    let text = ours.as_ref().map(|span| format!("{} {}", span.trace_id, span.span_id));
    let their_text = format!("{} {}", theirs.trace_id(), theirs.span_id());
    assert_eq!(text, theirs.is_valid().then_some(their_text));
    ours
}

#[test]
fn spans_of_tracing_are_their_current_span() {
    let memory = captured(|| {
        assert_eq!(here(), None);
        let outer = info_span!("outer").entered();
        let outside = here();
        info_span!("inner", route = tracing::field::Empty).in_scope(|| {
            assert_ne!(here(), outside);
            let now = Context::current();
            assert!(now.span().is_recording());
            now.span().set_attribute(KeyValue::new("tenant", "acme"));
            now.span().set_attribute(KeyValue::new("n", 7));
            now.span().add_event("noted", vec![KeyValue::new("why", true)]);
            now.span().set_status(Status::error("broken"));
            now.span().set_status(Status::Unset);
            now.span().update_name("better name");
            now.span().end(); // is not theirs to end
            assert!(here().is_some());
        });
        assert_eq!(here(), outside);
        drop(outer);
    });
    let inner = span(&memory, "inner");
    assert_eq!(field(&inner.fields, "tenant").as_deref(), Some("acme"));
    assert_eq!(field(&inner.fields, "n").as_deref(), Some("I64(7)"));
    assert_eq!(field(&inner.fields, "otel.name").as_deref(), Some("better name"));
    assert_eq!(field(&inner.fields, "otel.status_code").as_deref(), Some("ERROR"));
    assert_eq!(field(&inner.fields, "otel.status_message").as_deref(), Some("broken"));
    let noted = event(&memory, "noted");
    assert_eq!((noted.span_id, noted.trace_id), (inner.span_id, inner.trace_id));
    assert_eq!(field(&noted.fields, "why").as_deref(), Some("Bool(true)"));
}

#[test]
fn their_spans_are_records_with_everything_they_are_given() {
    let began_ns = telemetry_core::clock::unix_ns() - 10_000_000_000;
    let began = UNIX_EPOCH + Duration::from_nanos(began_ns);
    let ended = began + Duration::from_secs(5);
    let memory = captured(|| {
        let tracer = global::tracer("library");
        let other = tracer.start("other");
        let mut span = tracer
            .span_builder("send")
            .with_kind(SpanKind::Producer)
            .with_start_time(began)
            .with_attributes([KeyValue::new("peer", "192.0.2.1"), KeyValue::new("port", 80)])
            .with_links(vec![opentelemetry::trace::Link::with_context(
                other.span_context().clone(),
            )])
            .start(&tracer);
        span.set_attributes([KeyValue::new("bytes", 5), KeyValue::new("port", 81)]);
        span.record_error(&std::fmt::Error);
        span.set_status(Status::Ok);
        span.set_status(Status::error("too late: it is ok for good"));
        span.end_with_timestamp(ended);
        span.set_attribute(KeyValue::new("late", true));
        assert!(!span.is_recording());
    });
    let records = memory.spans();
    let sent = records.iter().find(|span| span.name == "send").unwrap();
    let view = &sent.spans[0];
    assert_eq!(sent.target, "library");
    assert_eq!(field(&sent.fields, "otel.kind").as_deref(), Some("producer"));
    assert_eq!(field(&sent.fields, "peer").as_deref(), Some("192.0.2.1"));
    assert_eq!(field(&sent.fields, "port").as_deref(), Some("I64(81)"), "the later one counts");
    assert_eq!(field(&sent.fields, "bytes").as_deref(), Some("I64(5)"));
    assert_eq!(field(&sent.fields, "otel.status_code").as_deref(), Some("OK"));
    assert_eq!(field(&sent.fields, "late"), None);
    let other = span(&memory, "other");
    assert_eq!(view.links, [(other.trace_id.unwrap(), other.span_id.unwrap())]);
    let exception = event(&memory, "exception");
    assert_eq!(exception.level, telemetry_core::Level::Error);
    assert_eq!(exception.span_id, view.span_id);
    assert!(field(&exception.fields, "exception.message").is_some());
    let seconds = Duration::from_nanos(sent.duration_ns).as_secs_f64();
    assert!((seconds - 5.0).abs() < 1.0, "{seconds}");
    let apart = Duration::from_nanos(view.start_unix_ns.abs_diff(began_ns));
    assert!(apart < Duration::from_secs(1), "{apart:?}");
}

#[test]
fn whatever_is_innermost_is_the_parent() {
    let memory = captured(|| {
        let tracer = global::tracer("library");
        info_span!("a").in_scope(|| {
            tracer.in_span("b", |_| {
                here();
                info!("in b");
                info_span!("c").in_scope(|| {
                    here();
                    tracer.in_span("d", |context| {
                        here();
                        // The context of a span goes along, and its span is the parent elsewhere.
                        std::thread::scope(|scope| {
                            scope.spawn(|| {
                                let _attached = context.clone().attach();
                                assert_eq!(here().unwrap().span_id, {
                                    let id = context.span().span_context().span_id().to_bytes();
                                    context::SpanId::new(u64::from_be_bytes(id)).unwrap()
                                });
                            });
                        });
                        drop(info_span!("e"));
                    });
                });
            });
            assert!(here().is_some());
        });
    });
    let ids = ["a", "b", "c", "d", "e"].map(|name| span(&memory, name));
    assert_eq!(ids[0].parent_id, None);
    for pair in ids.windows(2) {
        assert_eq!(pair[1].parent_id, pair[0].span_id, "{} in {}", pair[1].name, pair[0].name);
        assert_eq!(pair[1].trace_id, pair[0].trace_id);
        assert!(!pair[1].has_remote_parent);
    }
    assert_eq!(event(&memory, "in b").span_id, ids[1].span_id);
}

#[test]
fn a_context_without_a_span_is_none_for_us_and_outside_is_none_for_them() {
    let memory = captured(|| {
        info_span!("around").in_scope(|| {
            let attached = Context::new().attach();
            assert_eq!(here(), None);
            drop(info_span!("root"));
            drop(attached);
            assert!(here().is_some());
            let _outside = context::outside();
            assert_eq!(here(), None);
            global::tracer("library").start("root of theirs").end();
        });
    });
    assert_eq!(span(&memory, "root").parent_id, None);
    assert_eq!(span(&memory, "root of theirs").parent_id, None);
    assert_ne!(span(&memory, "root").trace_id, span(&memory, "around").trace_id);
}

#[test]
fn headers_are_the_same_on_both_sides() {
    let sent = HashMap::from([
        ("traceparent".to_owned(), PARENT.to_owned()),
        ("tracestate".to_owned(), "a=1,b=2".to_owned()),
        ("baggage".to_owned(), "k=a%2Cb;ttl=3,l=w".to_owned()),
    ]);
    let memory = captured(|| {
        let extracted = global::get_text_map_propagator(|propagator| propagator.extract(&sent));
        let _attached = extracted.attach();
        let now = here().unwrap();
        assert!(now.is_remote);
        assert_eq!(now.state.as_str(), "a=1,b=2");
        assert_eq!(context::baggage().get("k"), Some("a,b"));
        assert_eq!(context::baggage().metadata("k"), Some("ttl=3"));
        info_span!("server").in_scope(|| {
            assert_eq!(here().unwrap().state.as_str(), "a=1,b=2");
            let (mut theirs, mut ours) = (HashMap::new(), HashMap::new());
            global::get_text_map_propagator(|propagator| propagator.inject(&mut theirs));
            context::inject(&mut ours);
            let members =
                |headers: &HashMap<String, String>| Baggage::parse([&*headers["baggage"]]);
            let (one, other) = (members(&theirs), members(&ours));
            for key in ["k", "l"] {
                assert_eq!(
                    (one.get(key), one.metadata(key)),
                    (other.get(key), other.metadata(key))
                );
            }
            for name in ["traceparent", "tracestate"] {
                assert_eq!(theirs[name], ours[name]);
            }
        });
    });
    let server = span(&memory, "server");
    assert!(server.has_remote_parent && PARENT.contains(&server.parent_id.unwrap().to_string()));
}

#[test]
fn baggage_is_one() {
    captured(|| {
        let _ours = context::with_baggage(Baggage::parse(["a=1"]));
        assert_eq!(Context::current().baggage().get("a").unwrap().as_str(), "1");
        {
            let _span = info_span!("span").entered();
            let _theirs = Context::current_with_baggage([KeyValue::new("b", "2")]).attach();
            assert_eq!(context::baggage(), Baggage::parse(["b=2"]), "the later one counts");
            assert!(here().is_some(), "the span stays");
            {
                let _cleared = context::with_baggage(Baggage::default());
                assert!(Context::current().baggage().is_empty());
            }
            assert_eq!(Context::current().baggage().len(), 1);
        }
        assert_eq!(context::baggage(), Baggage::parse(["a=1"]));
        let _scope = context::scope([("key", "value")]);
        assert_eq!(Context::current().baggage().get("a").unwrap().as_str(), "1");
    });
}

#[test]
fn futures_take_either_context_along() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    telemetry_opentelemetry::install().unwrap();
    let remote = Propagators::default().extract(&[("traceparent", PARENT), ("baggage", "k=v")]);
    let ask = || async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
            assert!(PARENT.contains(&here().unwrap().trace_id.to_string()));
            assert_eq!(Context::current().baggage().get("k").unwrap().as_str(), "v");
        }
    };
    let context = remote.run(Context::current);
    runtime.block_on(async {
        let theirs = tokio::spawn(ask().with_context(context));
        let ours = tokio::spawn(ask().instrument(info_span!("nobody wants it")).in_remote(&remote));
        theirs.await.unwrap();
        ours.await.unwrap();
        assert_eq!(here(), None);
    });
}

#[test]
fn unsampled_spans_do_not_record_and_are_parents_all_the_same() {
    let memory = captured(|| {
        let headers = [("traceparent", PARENT.replace("-01", "-00"))];
        let _remote = Propagators::default().extract(&headers).enter();
        global::tracer("library").in_span("span", |context| {
            assert!(!context.span().is_recording());
            context.span().add_event("unheard", vec![]);
            here();
            info!("a log event");
        });
    });
    assert_eq!(memory.spans(), []);
    assert_eq!(memory.events().len(), 1);
    assert!(PARENT.contains(&memory.events()[0].trace_id.unwrap().to_string()));
}

#[test]
fn what_a_filter_refuses_has_its_parent_s_context() {
    telemetry_opentelemetry::install().unwrap();
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter("info,chatty=off".parse().unwrap());
    let pipeline = Pipeline::builder().sink(sink).scoped().unwrap();
    pipeline.run(|| {
        info_span!("around").in_scope(|| {
            let around = here();
            let tracer = TracerProvider::new().tracer("chatty");
            tracer.in_span("noise", |context| {
                assert!(!context.span().is_recording());
                assert_eq!(here(), around);
                drop(info_span!("inside"));
            });
        });
    });
    pipeline.shutdown(Duration::from_secs(10));
    assert_eq!(memory.spans().len(), 2);
    assert_eq!(span(&memory, "inside").parent_id, span(&memory, "around").span_id);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "threads of a user's program")]
fn thread_s_end_is_no_harm() {
    struct LastWords;
    impl Drop for LastWords {
        fn drop(&mut self) {
            info_span!("last").in_scope(|| info!("words"));
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<LastWords>> = const {
        std::cell::RefCell::new(None)
    });
    telemetry_opentelemetry::install().unwrap();
    for is_first in [true, false] {
        let thread = std::thread::spawn(move || {
            let pipeline = Pipeline::builder();
            let sink = SinkBuilder::new(MemoryExporter::new("memory"));
            let pipeline = pipeline.sink(sink).scoped().unwrap();
            pipeline.run(|| {
                if is_first {
                    LAST.set(Some(LastWords));
                }
                info_span!("span").in_scope(|| drop(Context::current()));
                std::mem::forget(info_span!("never left").entered());
                std::mem::forget(Context::current_with_baggage([KeyValue::new("k", "v")]).attach());
                if !is_first {
                    LAST.set(Some(LastWords));
                }
            });
        });
        thread.join().unwrap();
    }
}

/// Something to enter, and to leave later, in any order.
#[derive(Debug, Clone, Copy)]
enum Step {
    Span,
    Attach,
    AttachNone,
    Remote,
    Baggage,
    /// The nth of what is entered.
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Span),
        2 => Just(Step::Attach),
        1 => Just(Step::AttachNone),
        1 => Just(Step::Remote),
        1 => Just(Step::Baggage),
        5 => (0_usize..8).prop_map(Step::Leave),
    ]
}

/// What was entered.
struct Entry {
    /// Which span is current there because of it.
    span: Option<String>,
    /// Is it a span, or does it only have the one from before?
    is_span: bool,
    is_theirs: bool,
    _guard: Box<dyn std::any::Any>,
}

/// Enters something.
fn enter(step: Step) -> Entry {
    let guard: Box<dyn std::any::Any> = match step {
        Step::Span => Box::new(info_span!("step").entered()),
        Step::Attach => {
            let span = TracerProvider::new().tracer("library").start("step");
            Box::new(Context::current_with_span(span).attach())
        }
        Step::AttachNone => Box::new(Context::new().attach()),
        Step::Remote => {
            Box::new(Propagators::default().extract(&[("traceparent", PARENT)]).enter())
        }
        Step::Baggage => {
            Box::new(Context::current_with_baggage([KeyValue::new("k", "v")]).attach())
        }
        Step::Leave(_) => unreachable!(),
    };
    let (_, theirs) = sides();
    let is_span = !matches!(step, Step::Baggage);
    let is_theirs = matches!(step, Step::Attach | Step::AttachNone | Step::Baggage);
    Entry { span: theirs, is_span, is_theirs, _guard: guard }
}

/// The current span as we see it, and as they do.
fn sides() -> (Option<String>, Option<String>) {
    let theirs = Context::current().span().span_context().clone();
    let theirs = theirs.is_valid().then(|| theirs.span_id().to_string());
    (context::current().map(|span| span.span_id.to_string()), theirs)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_agree_whatever_is_left_when(steps in prop::collection::vec(step(), 1..40)) {
        captured(|| {
            let mut entries: Vec<Entry> = Vec::new();
            // Was a context of theirs detached that was not the current one? They do not tell.
            let mut is_unsure = false;
            for step in steps {
                match step {
                    Step::Leave(_) if entries.is_empty() => {}
                    Step::Leave(n) => {
                        let n = n % entries.len();
                        is_unsure |= entries[n].is_theirs && n + 1 < entries.len();
                        drop(entries.remove(n));
                    }
                    step => entries.push(enter(step)),
                }
                is_unsure &= !entries.is_empty();
                // A context of theirs keeps the span that it was made in, whether that is left
                // or not; we leave it, or do as they do.
                let (ours, theirs) = sides();
                let innermost = entries.iter().rfind(|entry| entry.is_span);
                let innermost = innermost.and_then(|entry| entry.span.clone());
                assert_eq!(theirs, entries.last().and_then(|entry| entry.span.clone()));
                let is_right = ours == innermost || ours == theirs || is_unsure;
                assert!(is_right, "{ours:?} {innermost:?} {theirs:?}");
            }
            while let Some(entry) = entries.pop() {
                drop(entry);
            }
        });
    }
}
