//! The exporter in a pipeline, fed by `tracing`: what the ledger says is what the peer got.
//!
//! A file of its own, because the pipeline owns the process's collector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use telemetry_core::ledger::{Cause, Report, Signal, Units};
use telemetry_core::metric::Registry;
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_otlp::receiver::{Answer, Receiver, Value};
use telemetry_otlp::{OtlpBuilder, OtlpExporter, Protocol};

const LONG: Duration = Duration::from_secs(60);
const MS: fn(u64) -> Duration = Duration::from_millis;
const THREADS: i64 = 4;
const EVENTS: i64 = 2500;

/// One pipeline at a time.
static ATTACHED: Mutex<()> = Mutex::new(());

fn builder(protocol: Protocol, endpoint: &str) -> OtlpBuilder {
    OtlpExporter::builder()
        .protocol(protocol)
        .endpoint(endpoint)
        .delay(MS(20))
        .timeout(LONG)
        .retry_timeout(LONG)
        .backoff(MS(10), MS(50))
        .request_bytes(128 * 1024)
}

fn pipeline(builder: OtlpBuilder, registry: &Registry) -> Pipeline {
    telemetry_core::diagnostics::set_level(None);
    let exporter = builder.build().unwrap();
    let sink = SinkBuilder::new(exporter).queue_bytes(64 << 20).metric_interval(MS(50));
    Pipeline::builder().sink(sink).registry(registry.clone()).attach().unwrap()
}

/// Every thread's numbered events, each thread in a span that follows from another.
fn emit() {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let cause = tracing::info_span!("cause");
                let span = tracing::info_span!("work", thread, otel.kind = "consumer");
                span.follows_from(&cause);
                span.in_scope(|| {
                    for number in 0..EVENTS {
                        tracing::info!(number = thread * EVENTS + number, "numbered");
                    }
                });
            });
        }
    });
}

fn assert_all_arrived(receiver: &Receiver, report: &Report) {
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    let otlp = report.exporter("otlp").unwrap();
    for signal in [Signal::Log, Signal::Span] {
        assert_eq!(otlp.counts(signal).delivered, receiver.counts().get(signal), "{report}");
    }
    let numbered = |log: &telemetry_otlp::receiver::Log| match log.attributes.get("number") {
        Some(Value::I64(number)) => Some(*number),
        _ => None,
    };
    let numbers: Vec<i64> = receiver.logs().iter().filter_map(numbered).collect();
    assert_eq!(numbers.len() as i64, THREADS * EVENTS);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
}

fn everything_emitted_arrives_once(protocol: Protocol) {
    let _guard = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner);
    let receiver = Receiver::start().unwrap();
    let registry = Registry::new();
    registry.counter("jobs", ()).add(3);
    let pipeline = pipeline(builder(protocol, &receiver.endpoint()), &registry);
    emit();
    assert!(receiver.wait_for(LONG, |counts| counts.get(Signal::Metric) > 0));
    let report = pipeline.shutdown(LONG);
    assert_all_arrived(&receiver, &report);
    assert_eq!(receiver.metrics()[0].name, "jobs");

    let spans = receiver.spans();
    assert_eq!(spans.len() as i64, 2 * THREADS);
    for work in spans.iter().filter(|span| span.name == "work") {
        assert_eq!(work.kind, 5);
        let [(Some(trace_id), Some(span_id))] = work.links[..] else { panic!("{work:?}") };
        let is_cause = |span: &&telemetry_otlp::receiver::Span| {
            span.trace_id == Some(trace_id) && span.span_id == Some(span_id)
        };
        assert_eq!(spans.iter().find(is_cause).unwrap().name, "cause");
        let logs = receiver.logs();
        let inside = logs.iter().filter(|log| log.span_id == work.span_id);
        assert_eq!(inside.count() as i64, EVENTS);
    }
}

fn outage_is_survived_and_the_ledger_agrees_with_the_peer(protocol: Protocol) {
    let _guard = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner);
    let receiver = Receiver::start().unwrap();
    receiver.script((0..12).map(|n| [Answer::status(503), Answer::Disconnect][n % 2].clone()));
    // Over gRPC all requests share a connection: when it ends, the answers of others are lost, too,
    // and what the peer has taken is sent again.
    let builder = builder(protocol, &receiver.endpoint()).concurrency(1);
    let pipeline = pipeline(builder, &Registry::new());
    emit();
    let begin = telemetry_core::clock::now();
    pipeline.flush(LONG).unwrap();
    assert!(telemetry_core::clock::now() - begin < LONG / 2);
    assert_all_arrived(&receiver, &pipeline.shutdown(LONG));
    assert!(receiver.requests().len() > 12);
}

fn peer_that_is_gone_costs_no_time_beyond_the_deadline(protocol: Protocol) {
    let _guard = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner);
    let receiver = Receiver::start().unwrap();
    receiver.otherwise(Answer::Hang);
    let pipeline = pipeline(builder(protocol, &receiver.endpoint()), &Registry::new());
    emit();
    let begin = telemetry_core::clock::now();
    let report = pipeline.shutdown(MS(700));
    let time = telemetry_core::clock::now() - begin;
    assert!(time < LONG / 2, "{time:?}");
    assert!(report.is_balanced(), "{report}");
    assert_eq!(receiver.counts(), Units::default());
    let logs = report.exporter("otlp").unwrap().counts(Signal::Log);
    assert_eq!((logs.delivered, logs.pending), (0, 0), "{report}");
    // Diagnostics are records too.
    assert!(logs.dropped_for(Cause::ShutdownTimeout) >= (THREADS * EVENTS) as u64, "{report}");
}

#[test]
fn everything_emitted_arrives_once_over_http() {
    everything_emitted_arrives_once(Protocol::HttpProtobuf);
}

#[test]
fn everything_emitted_arrives_once_over_grpc() {
    everything_emitted_arrives_once(Protocol::Grpc);
}

#[test]
fn outage_is_survived_and_the_ledger_agrees_with_the_peer_over_http() {
    outage_is_survived_and_the_ledger_agrees_with_the_peer(Protocol::HttpProtobuf);
}

#[test]
fn outage_is_survived_and_the_ledger_agrees_with_the_peer_over_grpc() {
    outage_is_survived_and_the_ledger_agrees_with_the_peer(Protocol::Grpc);
}

#[test]
fn peer_that_is_gone_costs_no_time_beyond_the_deadline_over_http() {
    peer_that_is_gone_costs_no_time_beyond_the_deadline(Protocol::HttpProtobuf);
}

#[test]
fn peer_that_is_gone_costs_no_time_beyond_the_deadline_over_grpc() {
    peer_that_is_gone_costs_no_time_beyond_the_deadline(Protocol::Grpc);
}

/// Where the child of the test below finds the receiver.
const ENDPOINT: &str = "TELEMETRY_TEST_ENDPOINT";

/// What the child does.
fn start_without_descriptors(endpoint: &str) {
    let mut taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let pipeline = pipeline(builder(Protocol::HttpProtobuf, endpoint), &Registry::new());
    tracing::info!("nobody can send it");
    let report = pipeline.flush(LONG).unwrap();
    let logs = report.exporter("otlp").unwrap().counts(Signal::Log);
    assert_eq!(logs.dropped_for(Cause::Rejected), logs.emitted, "{report}");
    taken.clear();
    tracing::info!("sent");
    let report = pipeline.shutdown(LONG);
    let logs = report.exporter("otlp").unwrap().counts(Signal::Log);
    assert!(logs.delivered >= 1, "{report}");
    assert!(report.is_balanced(), "{report}");
}

#[test]
fn transport_that_could_not_start_starts_when_it_can() {
    if let Ok(endpoint) = std::env::var(ENDPOINT) {
        return start_without_descriptors(&endpoint);
    }
    let receiver = Receiver::start().unwrap();
    let name = "transport_that_could_not_start_starts_when_it_can";
    let output = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 40 && exec "$0" --exact "$1" --nocapture --test-threads 1"#])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(ENDPOINT, receiver.endpoint())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bodies: Vec<_> = receiver.logs().into_iter().map(|log| log.body).collect();
    assert!(bodies.contains(&Value::Text("sent".to_owned())), "{bodies:?}");
}
