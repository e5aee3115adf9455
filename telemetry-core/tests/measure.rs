//! The measuring macros over the life of a process: before a recorder is installed, with it, beside
//! recorders of a thread, of ours and of others, and after an expiry or a removal.
//!
//! One test, because the process has one recorder.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry_core::bridge::metrics::Recorder;
use telemetry_core::metric::{self, Data, Labels, Registry, Settings};
use telemetry_core::{clock, counter, gauge, histogram};

/// Another library's recorder: the sum of each counter, by key.
#[derive(Clone, Default)]
struct Foreign(Arc<Mutex<BTreeMap<String, u64>>>);

struct ForeignCounter(Foreign, String);

impl metrics::CounterFn for ForeignCounter {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, value: u64) {
        self.increment(value);
    }
}

impl metrics::Recorder for Foreign {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(
        &self,
        key: &metrics::Key,
        metadata: &metrics::Metadata<'_>,
    ) -> metrics::Counter {
        assert_eq!(metadata.target(), "measure");
        metrics::Counter::from_arc(Arc::new(ForeignCounter(self.clone(), key.to_string())))
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }

    fn register_histogram(
        &self,
        _: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

/// Passes on to a recorder of ours, under other names.
struct Around(Recorder);

fn prefixed(key: &metrics::Key) -> metrics::Key {
    let labels: Vec<_> = key.labels().cloned().collect();
    metrics::Key::from_parts(format!("app.{}", key.name()), labels)
}

impl metrics::Recorder for Around {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, key: &metrics::Key, m: &metrics::Metadata<'_>) -> metrics::Counter {
        metrics::Recorder::register_counter(&self.0, &prefixed(key), m)
    }

    fn register_gauge(&self, key: &metrics::Key, m: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Recorder::register_gauge(&self.0, &prefixed(key), m)
    }

    fn register_histogram(
        &self,
        key: &metrics::Key,
        m: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        metrics::Recorder::register_histogram(&self.0, &prefixed(key), m)
    }
}

/// One call site with literals, and one without.
fn measure(route: &str, status: u16) {
    counter!("literal", "kind" => "a", "n" => 1, "on" => true).add(1);
    counter!("labelled", "status" => status, "route" => route).add(1);
}

fn literal_labels() -> Labels {
    Labels::new().with("kind", "a").with("n", 1).with("on", true)
}

fn values(registry: &Registry) -> (u64, u64) {
    let route = Labels::new().with("route", "/a").with("status", 200);
    let literal = registry.counter("literal", literal_labels()).value();
    (literal, registry.counter("labelled", route).value())
}

fn before_a_recorder_is_installed() {
    measure("/a", 200);
    assert_eq!(values(metric::global()), (1, 1));
    gauge!("fill").set(0.5);
    gauge!("fill", "queue" => String::from("mail")).add(2.0);
    histogram!("took").record_many(0.2, 3);
    histogram!("took", "route" => format!("/{}", 1)).record(0.1);
    assert_eq!(metric::global().gauge("fill", ()).value(), Some(0.5));
    assert_eq!(metric::global().gauge("fill", [("queue", "mail")]).value(), Some(2.0));
    assert_eq!(metric::global().histogram("took", ()).value().count, 3);
    assert_eq!(metric::global().histogram("took", [("route", "/1")]).value().count, 1);
}

fn equal_keys_end_at_the_last(first: &str, last: &str) {
    counter!("twice", "key" => first, "other" => 1, "key" => last).add(1);
    let labels = Labels::new().with("key", last.to_owned()).with("other", 1);
    assert_eq!(metric::global().counter("twice", labels).value(), 1);
}

/// What goes to a recorder of ours goes nowhere else.
fn recorder_of_ours_takes_it_alone(before: (u64, u64)) {
    for _ in 0..2 {
        let registry = Registry::new();
        metrics::with_local_recorder(&Recorder::new(registry.clone()), || {
            measure("/a", 200);
            measure("/a", 200);
        });
        assert_eq!((registry.snapshot(0).points(), values(&registry)), (2, (2, 2)));
    }
    assert_eq!(values(metric::global()), before);
}

/// What passes on to a recorder of ours is asked like any other's, and takes it alone.
fn recorder_around_ours_takes_it_alone(before: (u64, u64)) {
    let registry = Registry::new();
    // It begins where ours does, and is not larger.
    let around = Around(Recorder::new(registry.clone()));
    metrics::with_local_recorder(&around, || measure("/a", 200));
    let prefixed: Vec<_> =
        registry.snapshot(0).metrics.iter().map(|metric| metric.name.to_string()).collect();
    assert_eq!(prefixed, ["app.labelled", "app.literal"]);
    assert_eq!(values(metric::global()), before);
}

/// What goes to another's recorder is counted by us, too.
fn recorder_of_others_takes_it_as_well(before: (u64, u64)) {
    let foreign = Foreign::default();
    metrics::with_local_recorder(&foreign, || measure("/a", 200));
    let sums = foreign.0.lock().unwrap().clone();
    assert_eq!(sums.values().sum::<u64>(), 2, "{sums:?}");
    assert!(sums.keys().any(|key| key.contains("kind = a") && key.contains("on = true")));
    assert!(sums.keys().any(|key| key.contains("route = /a") && key.contains("status = 200")));
    assert_eq!(values(metric::global()), (before.0 + 1, before.1 + 1));
}

fn removed_series_is_not_written_to() {
    assert!(metric::global().remove("literal", &literal_labels()));
    measure("/a", 200);
    measure("/a", 200);
    assert_eq!(values(metric::global()).0, 2, "a new series");
}

fn points(name: &str) -> usize {
    let snapshot = metric::global().snapshot(0);
    let metric = snapshot.metrics.iter().find(|metric| &*metric.name == name);
    metric.map_or(0, |metric| metric.data.points())
}

fn expiry_hides_the_literal_and_drops_the_labelled() {
    let registry = metric::global();
    registry.configure(Settings::new().idle_timeout(Duration::from_secs(60))).unwrap();
    // A site of its own: that of `measure` has lost its series for good.
    let measure = |route: &str| {
        counter!("idle.literal", "kind" => "a").add(1);
        counter!("idle.labelled", "route" => route).add(1);
    };
    measure("/a");
    let begin = clock::now();
    for minutes in 0..4 {
        let now = begin + Duration::from_secs(60 * minutes);
        registry.expire(now, now);
    }
    assert_eq!((points("idle.literal"), points("idle.labelled")), (0, 0));
    measure("/a");
    let value = |name: &str| {
        let snapshot = registry.snapshot(0);
        let metric = snapshot.metrics.iter().find(|metric| &*metric.name == name).unwrap();
        let Data::Counter { points } = &metric.data else { panic!() };
        points[0].value.as_f64()
    };
    assert_eq!(value("idle.literal"), 2.0, "goes on");
    assert_eq!(value("idle.labelled"), 1.0, "begins anew");
    registry.configure(Settings::new()).unwrap();
}

#[test]
fn macros_measure_wherever_and_whenever_they_are_called() {
    before_a_recorder_is_installed();
    equal_keys_end_at_the_last("a", "b");
    recorder_of_ours_takes_it_alone((1, 1));
    recorder_of_others_takes_it_as_well((1, 1));
    Recorder::new(metric::global().clone()).install().unwrap();
    for _ in 0..3 {
        measure("/a", 200);
    }
    assert_eq!(values(metric::global()), (5, 5));
    recorder_of_ours_takes_it_alone((5, 5));
    recorder_around_ours_takes_it_alone((5, 5));
    recorder_of_others_takes_it_as_well((5, 5));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..1_000).for_each(|_| measure("/a", 200)));
        }
    });
    assert_eq!(values(metric::global()), (4_006, 4_006));
    assert_eq!((points("literal"), points("labelled")), (1, 1), "a series each, and no other");
    expiry_hides_the_literal_and_drops_the_labelled();
    removed_series_is_not_written_to();
}
