//! What arrives, and when, while nothing fails.

use crate::support::{LONG, Outcomes, builder, logs, numbers, over_both, soon, started};
use std::sync::Arc;
use std::time::Duration;
use telemetry_core::export::{Exporter, Outcome};
use telemetry_core::ledger::{Signal, Units};
use telemetry_core::metric::{Buckets, Registry};
use telemetry_core::testing::BatchFixture;
use telemetry_core::{Level, clock};
use telemetry_otlp::Protocol;
use telemetry_otlp::receiver::{MetricKind, Number, Receiver, Value};

fn logs_and_spans_arrive_with_their_fields(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let mut fixture = BatchFixture::new();
    let fields = ["http.route", "otel.kind", "otel.name"];
    let root = fixture.span("request", Level::Info, &fields, None, 1_000, |writer| {
        writer.str(0, "/users");
        writer.str(1, "server");
        writer.str(2, "GET /users");
    });
    let child = fixture.span("query", Level::Debug, &[], Some(root), 2_000, |_| {});
    fixture.event("app::db", Level::Warn, &["message", "rows"], Some(child), 2_500, |writer| {
        writer.str(0, "slow");
        writer.u64(1, 7);
    });
    fixture.close(child, 3_000);
    fixture.close(root, 4_000);

    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, fixture.finish());
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Delivered]);

    let logs = receiver.logs();
    assert_eq!(logs.len(), 1);
    let log = &logs[0];
    assert_eq!((&*log.scope, &log.body), ("app::db", &Value::Text("slow".to_owned())));
    assert_eq!((log.severity_number, log.severity_text.as_str()), (13, "WARN"));
    assert_eq!(log.attributes["rows"], Value::I64(7));
    assert_eq!(log.attributes["code.line.number"], Value::I64(7));
    assert_eq!(log.resource["service.name"], Value::Text("it".to_owned()));
    assert_eq!((log.unix_ns, log.observed_unix_ns), (2_500, 2_500));

    let spans = receiver.spans();
    let [query, request] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((request.name.as_str(), request.kind), ("GET /users", 2));
    assert_eq!(request.attributes["http.route"], Value::Text("/users".to_owned()));
    assert!(!request.attributes.contains_key("otel.kind"));
    assert_eq!((query.start_unix_ns, query.end_unix_ns), (2_000, 3_000));
    assert_eq!(query.parent_id, request.span_id);
    assert_eq!((log.trace_id, log.span_id), (query.trace_id, query.span_id));
    exporter.shutdown(soon(LONG));
}

fn metrics_arrive_as_the_registry_has_them(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let registry = Registry::new();
    registry.describe("requests", "{request}", "All requests");
    registry.counter("requests", [("route", "/a")]).add(3);
    registry.up_down_counter("open", ()).add(-2);
    registry.gauge("load", ()).set(0.5);
    registry.histogram("duration", ()).record(0.2);
    registry.set_buckets("size", Buckets::exponential()).unwrap();
    [0.0, 2.0, 3.0].iter().for_each(|size| registry.histogram("size", ()).record(*size));
    let snapshot = Arc::new(registry.snapshot(clock::unix_ns()));

    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    let units = Units::of(Signal::Metric, snapshot.points() as u64);
    exporter.metrics(&snapshot, outcomes.ack(units));
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Delivered]);
    assert_eq!(receiver.counts(), units);

    let metrics = receiver.metrics();
    let metric = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
    let requests = metric("requests");
    assert_eq!((requests.kind, requests.unit.as_str()), (MetricKind::Counter, "{request}"));
    assert_eq!(requests.points[0].value, Number::I64(3));
    assert_eq!(requests.points[0].attributes["route"], Value::Text("/a".to_owned()));
    assert!(requests.points[0].start_unix_ns > 0);
    assert_eq!(metric("open").kind, MetricKind::UpDownCounter);
    assert_eq!(metric("open").points[0].value, Number::I64(-2));
    assert_eq!(metric("load").points[0].value, Number::F64(0.5));
    let Number::Histogram(duration) = &metric("duration").points[0].value else { panic!() };
    assert_eq!((duration.count, duration.sum), (1, Some(0.2)));
    assert_eq!(duration.buckets.len(), duration.bounds.len() + 1);
    assert_eq!(metric("size").kind, MetricKind::ExponentialHistogram);
    let Number::ExponentialHistogram(size) = &metric("size").points[0].value else { panic!() };
    assert_eq!((size.count, size.sum, size.zero_count), (3, Some(5.0), 1));
    assert_eq!((size.min, size.max), (Some(0.0), Some(3.0)));
    // The scale at which 2 and 3 are at most 160 buckets apart: 0.58 octaves.
    assert_eq!((size.scale, size.positive.0, size.positive.1.len()), (8, 255, 151));
    exporter.shutdown(soon(LONG));
}

fn records_are_sent_after_the_delay_without_a_flush(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let delay = Duration::from_millis(50);
    let mut exporter = started(builder(protocol, &receiver.endpoint()).delay(delay));
    let outcomes = Outcomes::default();
    let begin = clock::now();
    outcomes.export(&mut exporter, logs(0, 3));
    outcomes.export(&mut exporter, logs(3, 4));
    assert!(receiver.wait_for(LONG, |counts| counts.get(Signal::Log) == 7));
    assert!(receiver.requests()[0].at - begin >= delay);
    exporter.shutdown(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Delivered, Outcome::Delivered]);
}

fn large_batches_are_split_and_no_request_is_too_large(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let mut exporter = started(builder(protocol, &receiver.endpoint()).request_bytes(64 * 1024));
    let outcomes = Outcomes::default();
    for batch in 0..5 {
        outcomes.export(&mut exporter, logs(batch * 4000, 4000));
    }
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), vec![Outcome::Delivered; 5]);
    let numbers = numbers(&receiver);
    assert_eq!(numbers.len(), 20_000);
    assert!(numbers.values().all(|count| *count == 1));
    let largest = receiver.requests().iter().map(|request| request.body_bytes).max();
    assert!((60_000..70_000).contains(&largest.unwrap()), "{largest:?}");
    exporter.shutdown(soon(LONG));
}

fn many_records_make_a_request_before_the_delay(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 8192));
    outcomes.export(&mut exporter, logs(8192, 1));
    assert!(receiver.wait_for(LONG, |counts| counts.get(Signal::Log) == 8192));
    exporter.shutdown(soon(LONG));
    assert_eq!(receiver.counts().get(Signal::Log), 8193);
    assert_eq!(outcomes.all(), [Outcome::Delivered, Outcome::Delivered]);
}

fn batch_without_records_is_delivered_without_a_request(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, BatchFixture::new().finish());
    let snapshot = Arc::new(Registry::new().snapshot(1));
    exporter.metrics(&snapshot, outcomes.ack(Units::default()));
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Delivered, Outcome::Delivered]);
    assert!(receiver.requests().is_empty());
    exporter.shutdown(soon(LONG));
}

over_both! {
    logs_and_spans_arrive_with_their_fields
    metrics_arrive_as_the_registry_has_them
    records_are_sent_after_the_delay_without_a_flush
    large_batches_are_split_and_no_request_is_too_large
    many_records_make_a_request_before_the_delay
    batch_without_records_is_delivered_without_a_request
}
