//! Layers of other libraries beside ours, given to the builder.
//!
//! One test, because the process has one subscriber.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests"
)]

use std::sync::{Arc, Mutex, OnceLock};
use telemetry_toolkit::context::{self, Propagators};
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{Builder, SinkBuilder, builder};
use tracing::dispatcher::WeakDispatch;
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer};

#[derive(Debug, Default, Clone)]
struct Heard(Arc<Mutex<Vec<String>>>, Arc<OnceLock<WeakDispatch>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.1.set(dispatch.downgrade()).expect("it is told once");
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        self.0.lock().unwrap().push(format!("{} {}", metadata.level(), metadata.target()));
    }
}

fn quiet(memory: &MemoryExporter) -> Builder {
    with_filter(memory, "info")
}

fn with_filter(memory: &MemoryExporter, filter: &str) -> Builder {
    let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
    builder().no_console().poller(false).exporter(sink).exit_hook(false)
}

fn messages(memory: &MemoryExporter) -> Vec<String> {
    let ours = |record: &&telemetry_toolkit::testing::CapturedRecord| record.target != "telemetry";
    let events = memory.events();
    events.iter().filter(ours).map(|event| event.message().unwrap().to_owned()).collect()
}

fn emit() {
    tracing::error!(target: "app", "error");
    tracing::info!(target: "app", "info");
    tracing::debug!(target: "app", "debug");
    log::info!("log");
}

fn both_get_what_they_want(heard: &Heard) {
    let memory = MemoryExporter::new("memory");
    let errors = heard.clone().with_filter(LevelFilter::ERROR);
    let telemetry = quiet(&memory).layer(errors).init().unwrap();
    emit();
    let thread = std::thread::spawn(|| panic!("told to both"));
    assert!(thread.join().is_err());
    let report = telemetry.shutdown();
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    assert_eq!(messages(&memory), ["error", "info", "log", "told to both"]);
    assert_eq!(heard.take(), ["ERROR app", "ERROR panic"]);
    assert!(heard.1.get().unwrap().upgrade().is_some(), "a layer hears of its subscriber");
}

fn nothing_is_left_of_us_after_a_shutdown(heard: &Heard) {
    emit();
    assert_eq!(heard.take(), ["ERROR app"]);
}

fn next_init_uses_the_same_layers(heard: &Heard) {
    let memory = MemoryExporter::new("memory");
    let telemetry = with_filter(&memory, "debug").init().unwrap();
    emit();
    telemetry.shutdown();
    assert_eq!(messages(&memory), ["error", "info", "debug", "log"]);
    assert_eq!(heard.take(), ["ERROR app"]);

    let (memory, late) = (MemoryExporter::new("memory"), Heard::default());
    let telemetry = quiet(&memory).layer(late.clone()).init().unwrap();
    emit();
    telemetry.shutdown();
    assert_eq!(messages(&memory), ["error", "info", "log"]);
    assert!(late.take().is_empty(), "it is left out, with a warning");
    assert_eq!(heard.take(), ["ERROR app"]);
}

fn open_spans_get_other_parents() {
    let memory = MemoryExporter::new("memory");
    let telemetry = quiet(&memory).init().unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let remote = Propagators::default().extract(&[("traceparent", parent)]);
    let span = tracing::info_span!("request");
    assert!(context::set_parent(&span, &remote));
    assert!(!context::set_parent(&tracing::Span::none(), &remote));
    let context = context::of(&span).unwrap();
    assert_eq!(context.trace_id, remote.span().unwrap().trace_id);
    span.in_scope(|| assert_eq!(context::current(), Some(context)));
    drop(span);
    telemetry.shutdown();
    let spans = memory.spans();
    assert_eq!(spans[0].spans[0].parent_id, Some(remote.span().unwrap().span_id));
}

fn layers_without_a_subscriber_are_an_error() {
    let error = quiet(&MemoryExporter::new("memory")).tracing(false).layer(Heard::default()).init();
    let error = error.unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("`tracing`"), "{error}");
}

#[test]
fn layers_of_others_stand_beside_ours() {
    let heard = Heard::default();
    both_get_what_they_want(&heard);
    nothing_is_left_of_us_after_a_shutdown(&heard);
    next_init_uses_the_same_layers(&heard);
    open_spans_get_other_parents();
    layers_without_a_subscriber_are_an_error();
}
