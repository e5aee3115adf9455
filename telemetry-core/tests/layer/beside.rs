//! Beside other layers, under filters, and inside of what wraps layers.

use crate::face;
use crate::support::shut_down;
use std::sync::{Arc, Mutex};
use telemetry_core::TelemetryLayer;
use telemetry_core::context::{self, Carried, OpenSpan, Propagators};
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{ScopedPipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Span, Subscriber, dispatcher};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

/// Notes the names of events with those of the spans around them, outermost last.
#[derive(Debug, Default, Clone)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let spans = context.event_scope(event).into_iter().flatten();
        let line = spans.fold(message.0, |line, span| format!("{line} < {}", span.name()));
        self.0.lock().unwrap().push(line);
    }
}

fn pipeline(filter: &str) -> (ScopedPipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(Filter::parse(filter).unwrap());
    (face::builder().sink(sink).scoped().unwrap(), memory)
}

/// What our exporter got, in the form of [`Heard`].
fn lines(memory: &MemoryExporter) -> Vec<String> {
    let line = |event: &telemetry_core::testing::CapturedRecord| {
        let message = event.message().unwrap().to_owned();
        event.spans.iter().fold(message, |line, span| format!("{line} < {}", span.name))
    };
    memory.events().iter().map(line).collect()
}

/// Runs `emit` with `subscriber` as the thread's, and our pipeline taking what it emits.
fn captured(filter: &str, subscriber: impl Into<Dispatch>, emit: impl FnOnce()) -> MemoryExporter {
    let (pipeline, memory) = pipeline(filter);
    let dispatch = subscriber.into();
    pipeline.run(|| dispatcher::with_default(&dispatch, emit));
    drop(dispatch);
    shut_down(pipeline);
    memory
}

fn levels() {
    let outer = tracing::info_span!("outer");
    let _outer = outer.enter();
    let inner = tracing::debug_span!("inner");
    let _inner = inner.enter();
    tracing::info!("info");
    tracing::debug!("debug");
    tracing::trace!("trace");
}

#[test]
fn what_we_do_not_want_reaches_the_other_layers() {
    let heard = Heard::default();
    let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new()).with(heard.clone());
    let memory = captured("info", subscriber, levels);
    assert_eq!(lines(&memory), ["info < outer"]);
    let all = ["info < inner < outer", "debug < inner < outer", "trace < inner < outer"];
    assert_eq!(heard.take(), all);
    let subscriber = tracing_subscriber::registry().with(heard.clone()).with(TelemetryLayer::new());
    let memory = captured("off", subscriber, levels);
    assert!(lines(&memory).is_empty());
    assert_eq!(heard.take(), all);
}

#[test]
fn what_others_do_not_want_reaches_us() {
    let heard = Heard::default();
    let theirs = heard.clone().with_filter(LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(theirs).with(TelemetryLayer::new());
    let ours = ["info < inner < outer", "debug < inner < outer"];
    assert_eq!(lines(&captured("debug", subscriber, levels)), ours);
    assert_eq!(heard.take(), ["info < outer"]);
    let theirs = heard.clone().with_filter(LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new()).with(theirs);
    assert_eq!(lines(&captured("debug", subscriber, levels)), ours);
    assert_eq!(heard.take(), ["info < outer"]);
}

#[test]
fn filter_around_us_is_respected() {
    let no_inner = filter_fn(|metadata| metadata.name() != "inner");
    let subscriber =
        tracing_subscriber::registry().with(TelemetryLayer::new().with_filter(no_inner));
    let memory = captured("debug", subscriber, levels);
    assert_eq!(lines(&memory), ["info < outer", "debug < outer"]);
    let names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["outer"]);
    let levelled = TelemetryLayer::new().with_filter(LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(Heard::default()).with(levelled);
    assert_eq!(lines(&captured("trace", subscriber, levels)), ["info < outer"]);
}

/// A span that is known, a stranger in it, and a thread that is in the stranger alone.
fn in_a_stranger_on_another_thread(pipeline: &ScopedPipeline, dispatch: &Dispatch) {
    let known = tracing::info_span!("known");
    let stranger = tracing::info_span!(parent: &known, "stranger");
    let deeper = tracing::info_span!(parent: &stranger, "stranger");
    drop((known, stranger));
    let inside = || {
        let _deeper = deeper.enter();
        tracing::info!("contextual");
        tracing::info_span!("child").in_scope(|| tracing::info!("in the child"));
        let outside = tracing::info_span!(parent: None, "outside");
        let _outside = outside.enter();
        tracing::info!("outside");
        tracing::info!(parent: &deeper, "explicit");
        drop(tracing::info_span!(parent: &deeper, "explicit child"));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| pipeline.run(|| dispatcher::with_default(dispatch, inside)));
    });
}

fn assert_nearest(memory: &MemoryExporter) {
    let inside = ["contextual < known", "in the child < child < known"];
    assert_eq!(lines(memory), [&inside[..], &["outside < outside", "explicit < known"]].concat());
    let spans = memory.spans();
    let find = |name: &str| &spans.iter().find(|span| span.name == name).unwrap().spans[0];
    assert_eq!(find("child").parent_id, find("known").span_id);
    assert_eq!(find("explicit child").parent_id, find("known").span_id);
    assert_eq!(find("explicit child").trace_id, find("known").trace_id);
    assert_eq!(spans.len(), 4);
}

#[test]
fn inside_of_a_stranger_is_inside_of_the_nearest_known_span() {
    // Filtered out around us.
    let (first, memory) = pipeline("info");
    let no_strangers = filter_fn(|metadata| metadata.name() != "stranger");
    let layer = TelemetryLayer::new().with_filter(no_strangers);
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    first.run(|| {
        dispatcher::with_default(&dispatch, || {
            in_a_stranger_on_another_thread(&first, &dispatch);
        });
    });
    drop(dispatch);
    shut_down(first);
    assert_nearest(&memory);
    // Filtered out by ourselves, and there because another layer wants it.
    let (pipeline, memory) = pipeline("info");
    let subscriber = tracing_subscriber::registry().with(Heard::default());
    let dispatch = Dispatch::new(subscriber.with(TelemetryLayer::new()));
    pipeline.run(|| {
        dispatcher::with_default(&dispatch, || {
            let known = tracing::info_span!("known");
            let stranger = tracing::debug_span!(parent: &known, "stranger");
            let inside = || {
                let other = tracing::info_span!("other");
                let _other = other.enter();
                let entered = stranger.enter();
                tracing::info!("in the stranger");
                assert_eq!(context::current().unwrap().span_id, span_id(&known));
                drop(entered);
                tracing::info!("in the other");
            };
            std::thread::scope(|scope| {
                scope.spawn(|| pipeline.run(|| dispatcher::with_default(&dispatch, inside)));
            });
        });
    });
    shut_down(pipeline);
    assert_eq!(lines(&memory), ["in the stranger < known", "in the other < other"]);
}

fn span_id(span: &Span) -> context::SpanId {
    let open = span.with_subscriber(|(id, dispatch)| OpenSpan::of(dispatch, id)).flatten();
    open.unwrap().context().unwrap().span_id
}

#[test]
fn spans_are_found_through_whatever_wraps_the_layer() {
    type Boxed = Box<dyn Layer<Registry> + Send + Sync>;
    let plain: Boxed = Box::new(TelemetryLayer::new());
    let filtered: Boxed = Box::new(TelemetryLayer::new().with_filter(LevelFilter::INFO));
    let (reloaded, _handle) = reload::Layer::new(TelemetryLayer::new());
    let reloaded: Boxed = Box::new(reloaded);
    let inside: Boxed = Box::new(TelemetryLayer::new().and_then(Heard::default()));
    let several: Boxed = Box::new(vec![TelemetryLayer::new().boxed(), Heard::default().boxed()]);
    for layer in [plain, filtered, reloaded, inside, several] {
        let subscriber = tracing_subscriber::registry().with(layer).with(Heard::default());
        let memory = captured("info", subscriber, || {
            let span = tracing::info_span!("outer");
            let id = span_id(&span);
            span.in_scope(|| {
                assert_eq!(context::current().unwrap().span_id, id);
                levels();
            });
        });
        assert_eq!(lines(&memory), ["info < outer < outer"]);
    }
}

#[test]
fn filter_that_is_exchanged_around_us_is_respected_from_then_on() {
    let (level, handle) = reload::Layer::new(LevelFilter::WARN);
    let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new().with_filter(level));
    let memory = captured("trace", subscriber, || {
        levels();
        handle.reload(LevelFilter::DEBUG).unwrap();
        levels();
        handle.reload(LevelFilter::OFF).unwrap();
        levels();
    });
    let inside = ["info < inner < outer", "debug < inner < outer"];
    assert_eq!(lines(&memory), inside);
}

#[test]
fn two_registries_do_not_mix_their_spans_up() {
    let dispatch = || Dispatch::new(tracing_subscriber::registry().with(TelemetryLayer::new()));
    let (one, other) = (dispatch(), dispatch());
    let memory = captured("info", one.clone(), || {
        // The same numbers in both.
        let a = tracing::info_span!("a");
        let b = dispatcher::with_default(&other, || tracing::info_span!("b"));
        assert_eq!(a.id(), b.id());
        a.in_scope(|| tracing::info!("in a"));
        dispatcher::with_default(&other, || b.in_scope(|| tracing::info!("in b")));
        assert_ne!(span_id(&a), span_id(&b));
    });
    assert_eq!(lines(&memory), ["in a < a", "in b < b"]);
}

#[test]
fn subscriber_that_ends_before_its_spans_closes_them() {
    let (pipeline, memory) = pipeline("info");
    pipeline.run(|| {
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(TelemetryLayer::new()));
        dispatcher::with_default(&dispatch, || {
            let span = tracing::info_span!("left");
            dispatch.clone_span(&span.id().unwrap());
        });
    });
    shut_down(pipeline);
    let names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["left"]);
}

#[test]
fn level_hint_is_that_of_whoever_wants_most() {
    let hint = |filter: &str, theirs: LevelFilter| {
        let (pipeline, _memory) = pipeline(filter);
        let subscriber = tracing_subscriber::registry()
            .with(Heard::default().with_filter(theirs))
            .with(TelemetryLayer::new());
        let hint = subscriber.max_level_hint();
        shut_down(pipeline);
        hint
    };
    assert!(hint("debug", LevelFilter::INFO) >= Some(LevelFilter::DEBUG));
    assert!(hint("warn", LevelFilter::TRACE) == Some(LevelFilter::TRACE));
}

#[test]
fn carried_span_is_carried_for_all_layers() {
    let heard = Heard::default();
    let (pipeline, memory) = pipeline("info");
    let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new()).with(heard.clone());
    let dispatch = Dispatch::new(subscriber);
    let carried = dispatcher::with_default(&dispatch, || {
        pipeline.run(|| {
            let _outer = tracing::info_span!("outer").entered();
            let _stranger = tracing::debug_span!("stranger").entered();
            Carried::capture()
        })
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pipeline.run(|| {
                // Elsewhere the thread has no subscriber; what is carried knows its own.
                dispatcher::with_default(&dispatch, || {
                    let guard = carried.clone().enter();
                    let again = carried.enter();
                    tracing::info!("inside");
                    drop(guard);
                    tracing::info!("inside still");
                    drop(again);
                    tracing::info!("outside");
                });
            });
        });
    });
    pipeline.run(|| drop(carried));
    drop(dispatch);
    shut_down(pipeline);
    assert_eq!(lines(&memory), ["inside < outer", "inside still < outer", "outside"]);
    let all = ["inside < stranger < outer", "inside still < stranger < outer", "outside"];
    assert_eq!(heard.take(), all);
    let names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["outer"], "it is closed by whoever lets go last");
}

#[test]
fn caller_s_span_inside_of_one_is_carried_as_the_innermost() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let remote = Propagators::default().extract(&[("traceparent", parent)]);
    let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new());
    let dispatch = Dispatch::new(subscriber);
    let (pipeline, memory) = pipeline("info");
    pipeline.run(|| {
        dispatcher::with_default(&dispatch, || {
            let carried = tracing::info_span!("outer").in_scope(|| remote.run(Carried::capture));
            carried.run(|| drop(tracing::info_span!("inner")));
            assert_eq!(context::current(), None);
        });
    });
    drop(dispatch);
    shut_down(pipeline);
    let spans = memory.spans();
    let inner = spans.iter().find(|span| span.name == "inner").unwrap();
    assert_eq!(inner.spans[0].parent_id, Some(remote.span().unwrap().span_id));
    assert_eq!(inner.trace_id, Some(remote.span().unwrap().trace_id));
}
