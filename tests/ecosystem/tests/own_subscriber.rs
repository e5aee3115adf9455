//! A program that builds its subscriber itself, with records of the `log` crate through
//! `tracing-log`, which `init` of tracing-subscriber sets up.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests")]

use std::time::Duration;
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{SinkBuilder, Telemetry};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[test]
fn layer_takes_tracing_and_what_tracing_log_hands_on() {
    let memory = MemoryExporter::new("memory");
    let filter = "info,app::quiet=off,app::loud=debug,[request{tenant=42}]=debug";
    let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
    let (telemetry, layer) =
        Telemetry::builder().no_console().poller(false).exporter(sink).init_layer().unwrap();
    tracing_subscriber::registry().with(layer).init();

    tracing::info!("of tracing");
    log::info!(target: "app", "of log: {}", 1);
    log::debug!(target: "app", "not wanted");
    log::debug!(target: "app::loud", "wanted");
    log::error!(target: "app::quiet", "not wanted");
    tracing::info_span!("request", tenant = 42).in_scope(|| log::debug!(target: "app", "inside"));

    let report = telemetry.flush(Duration::from_secs(20)).unwrap();
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    let events = memory.events();
    let seen: Vec<_> =
        events.iter().map(|event| (event.target.as_str(), event.message().unwrap())).collect();
    let expected = [
        ("own_subscriber", "of tracing"),
        ("app", "of log: 1"),
        ("app::loud", "wanted"),
        ("app", "inside"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(events[1].fields.len(), 1, "only the message: {:?}", events[1].fields);
    assert_eq!(events[3].spans[0].name, "request");

    // The subscriber stays, and the next start finds our layer in it.
    drop(telemetry);
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone());
    let telemetry = Telemetry::builder().no_console().log(false).exporter(sink).init().unwrap();
    log::info!(target: "app", "again");
    telemetry.shutdown();
    let events = memory.events();
    assert!(events.iter().any(|event| event.target == "app" && event.message() == Some("again")));
}
