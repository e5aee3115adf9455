//! Another library's `tracing` subscriber is the global one.

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Debug)]
struct SomebodyElse;

impl Subscriber for SomebodyElse {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn foreign_subscriber_is_an_error_unless_it_is_left_alone() {
    tracing::subscriber::set_global_default(SomebodyElse).unwrap();
    let builder = || telemetry_toolkit::builder().no_console().poller(false);
    let error = builder().init().unwrap_err();
    assert!(error.is_foreign(), "{error}");

    let memory = telemetry_toolkit::testing::MemoryExporter::new("memory");
    let sink = telemetry_toolkit::SinkBuilder::new(memory.clone());
    let telemetry = builder().tracing(false).exporter(sink).init().unwrap();
    tracing::info!("theirs");
    log::info!("ours");
    assert!(telemetry.shutdown().is_complete());
    let records = memory.records();
    let messages: Vec<_> = records.iter().filter_map(|record| record.message()).collect();
    assert_eq!(messages, ["ours"]);
}
