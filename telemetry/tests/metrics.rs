//! Metrics from the macros to a collector, as the builder's settings and the environment say.
//!
//! One test, because the process has one pipeline.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use std::time::Duration;
use telemetry_toolkit::metric::{self, Buckets, Data};
use telemetry_toolkit::receiver::{Metric, MetricKind, Number, Receiver, Value};
use telemetry_toolkit::{Builder, MetricsRecorder, builder, context, counter, histogram};

fn quiet(receiver: &Receiver) -> Builder {
    builder()
        .no_console()
        .poller(false)
        .exit_hook(false)
        .otlp_endpoint(receiver.endpoint())
        .metric_interval(Duration::from_millis(20))
}

/// The last that the collector got of a metric.
fn last(receiver: &Receiver, name: &str) -> Metric {
    let metrics = receiver.metrics();
    metrics.into_iter().rev().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"))
}

fn settings_reach_the_collector() {
    let receiver = Receiver::start().unwrap();
    let variables = |name: &str| {
        (name == "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
            .then(|| "base2_exponential_bucket_histogram".to_owned())
    };
    counter!("early").add(1);
    let telemetry = quiet(&receiver)
        .histogram("db.*", Buckets::explicit([0.5, 1.0]))
        .from_variables(variables)
        .metric_label("region", "eu")
        .metric_scope_labels(["tenant"])
        .init()
        .unwrap();
    metrics::describe_histogram!("http.time", metrics::Unit::Seconds, "How long it took");
    metrics::describe_counter!("requests", metrics::Unit::Count, "All of them");
    metrics::histogram!("http.time", "route" => "/a").record(0.25);
    histogram!("db.time").record(0.75);
    let route = String::from("/a");
    counter!("requests", "route" => &route, "region" => "us").add(2);
    metrics::counter!("requests", "route" => route).increment(3);
    {
        let _scope = context::scope([("tenant", "acme"), ("user", "7")]);
        counter!("in.scope").add(1);
        metrics::counter!("in.scope").increment(1);
    }
    let report = telemetry.shutdown();
    assert!(report.is_complete() && report.is_balanced(), "{report}");

    let in_scope = &last(&receiver, "in.scope").points[0];
    assert_eq!(in_scope.attributes["tenant"], Value::Text("acme".to_owned()));
    assert_eq!((in_scope.attributes.get("user"), &in_scope.value), (None, &Number::I64(2)));
    let time = last(&receiver, "http.time");
    assert_eq!((time.unit.as_str(), time.description.as_str()), ("s", "How long it took"));
    assert_eq!(time.kind, MetricKind::ExponentialHistogram);
    assert_eq!(time.points[0].attributes["region"], Value::Text("eu".to_owned()));
    let db = last(&receiver, "db.time");
    let Number::Histogram(value) = &db.points[0].value else { panic!("{db:?}") };
    assert_eq!((&value.bounds[..], &value.buckets[..]), (&[0.5, 1.0][..], &[0, 1, 0][..]));
    let requests = last(&receiver, "requests");
    assert_eq!(requests.unit, "{count}");
    let regions: Vec<_> = requests
        .points
        .iter()
        .map(|point| (point.attributes["region"].to_string(), point.value.clone()))
        .collect();
    let expected = [("eu".to_owned(), Number::I64(3)), ("us".to_owned(), Number::I64(2))];
    assert!(expected.iter().all(|one| regions.contains(one)), "{regions:?}");
    assert_eq!(last(&receiver, "early").points[0].value, Number::I64(1));
}

fn value_of(name: &str) -> Option<f64> {
    let snapshot = metric::global().snapshot(0);
    let metric = snapshot.metrics.iter().find(|metric| &*metric.name == name)?;
    let Data::Counter { points } = &metric.data else { panic!("{metric:?}") };
    Some(points[0].value.as_f64())
}

fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_true() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not {what} after 30 s");
}

fn idle_series_go_and_come_back() {
    let receiver = Receiver::start().unwrap();
    let telemetry = quiet(&receiver).metric_idle_timeout(Duration::from_secs(1)).init().unwrap();
    let held = metrics::counter!("held", "user" => String::from("ann"));
    held.increment(1);
    metrics::counter!("dropped", "user" => String::from("ann")).increment(5);
    counter!("dropped.too", "user" => &String::from("ann")).add(5);
    wait_until("idle", || {
        ["held", "dropped", "dropped.too"].iter().all(|name| value_of(name).is_none())
    });
    held.increment(1);
    metrics::counter!("dropped", "user" => String::from("ann")).increment(1);
    assert_eq!(value_of("held"), Some(2.0), "goes on");
    let dropped = value_of("dropped").unwrap();
    // Whether the cache of the facade had let go of it yet.
    assert!(dropped == 1.0 || dropped == 6.0, "{dropped}");
    assert!(telemetry.shutdown().is_complete());
    for name in ["held", "dropped", "dropped.too"] {
        let values: Vec<_> = receiver.metrics();
        assert!(values.iter().any(|metric| metric.name == name), "{name} was exported first");
    }
}

fn scoped_registry_takes_what_a_test_measures() {
    let registry = metric::Registry::new();
    metrics::with_local_recorder(&MetricsRecorder::new(registry.clone()), || {
        counter!("scoped").add(1);
        metrics::counter!("scoped").increment(1);
    });
    assert_eq!(registry.counter("scoped", ()).value(), 2);
    assert_eq!(value_of("scoped"), None);
}

fn settings_that_are_wrong_fail_init() {
    type Set = fn(Builder) -> Builder;
    let cases: [(&str, Set); 3] = [
        ("`http requests` matches no metric", |b| b.histogram("http requests", [1.0])),
        ("`a` has bound 1 at 1", |b| b.histogram("a", [2.0, 1.0])),
        ("`idle_timeout` is 5ms", |b| b.metric_idle_timeout(Duration::from_millis(5))),
    ];
    for (expected, set) in cases {
        let error = set(builder().no_console()).init().expect_err(expected);
        assert!(error.is_setting() && error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn metrics_of_the_facade() {
    settings_that_are_wrong_fail_init();
    settings_reach_the_collector();
    idle_series_go_and_come_back();
    scoped_registry_takes_what_a_test_measures();
}
