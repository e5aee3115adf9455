//! Data points as lines.

use crate::support::strict;
use serde_json::json;
use std::sync::{Arc, Mutex};
use telemetry_core::export::{Ack, Exporter, Outcome, Signals};
use telemetry_core::ledger::{Signal, Units};
use telemetry_core::metric::{Buckets, Labels, Registry, Snapshot};
use telemetry_core::testing::Lines;
use telemetry_json::{JsonExporter, JsonExporterBuilder};

fn lines_of(builder: JsonExporterBuilder, snapshot: Snapshot) -> Vec<serde_json::Value> {
    let sink = Lines::default();
    let mut exporter = builder.writer(Box::new(sink.clone())).build().unwrap();
    let outcome = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&outcome);
    let units = Units::of(Signal::Metric, snapshot.points() as u64);
    let ack = Ack::for_tests(units, move |outcome| *seen.lock().unwrap() = Some(outcome));
    exporter.metrics(&Arc::new(snapshot), ack);
    assert_eq!(*outcome.lock().unwrap(), Some(Outcome::Delivered));
    sink.text().lines().map(strict).collect()
}

#[test]
fn every_point_is_a_line_with_typed_attributes() {
    let registry = Registry::new();
    registry.describe("requests", "{request}", "Requests");
    registry.counter("requests", [("route", "/a")]).add(2);
    registry.counter("requests", Labels::new().with("route", "/b").with("ok", true)).add(3);
    registry.gauge("load", ()).set(0.5);
    registry.up_down_counter("open", ()).add(-4);
    let lines = lines_of(JsonExporter::builder(), registry.snapshot(crate::support::NOW));
    assert_eq!(lines.len(), 4);
    let of = |name: &str| -> Vec<_> { lines.iter().filter(|line| line["name"] == name).collect() };
    assert_eq!(of("load")[0]["value"], json!(0.5));
    assert_eq!(of("load")[0]["type"], "gauge");
    assert!(of("load")[0].get("unit").is_none());
    assert_eq!(of("open")[0]["value"], json!(-4));
    assert_eq!(of("open")[0]["type"], "up_down_counter");
    let requests = of("requests");
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|line| line["unit"] == "{request}" && line["kind"] == "metric"));
    let ok = requests.iter().find(|line| line["attributes"] == json!({"ok": true, "route": "/b"}));
    assert_eq!(ok.map(|line| &line["value"]), Some(&json!(3)));
}

#[test]
fn histogram_has_its_buckets() {
    let registry = Registry::new();
    let duration = registry.histogram("duration", ());
    duration.record(0.01);
    duration.record(3.0);
    let line = &lines_of(JsonExporter::builder(), registry.snapshot(crate::support::NOW))[0];
    assert_eq!((&line["count"], &line["sum"]), (&json!(2), &json!(3.01)));
    assert_eq!((&line["min"], &line["max"]), (&json!(0.01), &json!(3.0)));
    let buckets = line["buckets"].as_array().unwrap();
    assert_eq!(line["bounds"].as_array().unwrap().len() + 1, buckets.len());
    assert_eq!(buckets.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(), 2);
}

#[test]
fn exponential_histogram_has_its_ranges() {
    let registry = Registry::new();
    registry.set_buckets("size", Buckets::exponential()).unwrap();
    let size = registry.histogram("size", ());
    [0.0, -1.0, 1.0, 4.0].iter().for_each(|value| size.record(*value));
    let line = &lines_of(JsonExporter::builder(), registry.snapshot(crate::support::NOW))[0];
    assert_eq!(line["type"], "exponential_histogram");
    assert_eq!(
        (&line["count"], &line["sum"], &line["zero_count"]),
        (&json!(4), &json!(4.0), &json!(1))
    );
    assert_eq!((&line["min"], &line["max"]), (&json!(-1.0), &json!(4.0)));
    // Two octaves in at most 160 buckets: 64 each.
    assert_eq!((&line["scale"], &line["positive"]["offset"]), (&json!(6), &json!(-1)));
    assert_eq!(line["positive"]["buckets"].as_array().unwrap().len(), 129);
    assert_eq!(line["negative"], json!({"offset": -1, "buckets": [1]}));
}

#[test]
fn point_that_is_too_long_is_cut_and_says_so() {
    let registry = Registry::new();
    let labels: Labels = (0..50).map(|n| (format!("key{n}"), "\u{202e}".repeat(1000))).collect();
    registry.counter("n", labels).add(1);
    let line = &lines_of(
        JsonExporter::builder().line_bytes_max(1024),
        registry.snapshot(crate::support::NOW),
    )[0];
    assert!(line.to_string().len() < 1024);
    assert_eq!((&line["value"], &line["cut"]), (&json!(1), &json!(true)));
}

#[test]
fn switches_decide_what_the_exporter_asks_for() {
    let signals = |builder: JsonExporterBuilder| {
        builder.writer(Box::new(std::io::sink())).build().unwrap().signals()
    };
    assert_eq!(signals(JsonExporter::builder()), Signals::ALL);
    assert_eq!(signals(JsonExporter::builder().metrics(false).spans(false)), Signals::LOGS);
}
