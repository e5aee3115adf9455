//! Claims about the registry as a whole, against a model that is too simple to be wrong.

mod idle;
mod labels;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn fixed_clock() -> u64 {
    1_000
}

fn registry(series_limit: usize) -> Registry {
    Registry::with_clock(series_limit, fixed_clock)
}

fn counts(snapshot: &Snapshot, name: &str) -> BTreeMap<String, u64> {
    let metric = snapshot.metrics.iter().find(|m| &*m.name == name).expect("is there");
    let Data::Counter { points } = &metric.data else { panic!("{name} is not a counter") };
    let value = |point: &Point<Number>| match point.value {
        Number::U64(value) => value,
        other => panic!("{other:?}"),
    };
    points.iter().map(|point| (format!("{:?}", point.labels), value(point))).collect()
}

fn user(n: impl ToString) -> Labels {
    Labels::new().with("user", n.to_string())
}

proptest! {
    #[test]
    fn overflow_keeps_every_measurement_once(
        limit in 0..12_usize,
        adds in prop::collection::vec((0..20_u8, 0..1_000_u64), 1..300),
    ) {
        let registry = registry(limit);
        let mut model = BTreeMap::<String, u64>::new();
        for (set, value) in &adds {
            let own = format!("{:?}", user(set));
            let room = model.keys().filter(|key| !key.contains("overflow")).count() < limit;
            let overflow = r#"{"otel.metric.overflow": Bool(true)}"#.to_owned();
            let series = if room || model.contains_key(&own) { own } else { overflow };
            *model.entry(series).or_default() += value;
            registry.counter("adds", user(set)).add(*value);
        }
        prop_assert_eq!(counts(&registry.snapshot(0), "adds"), model);
    }
}

#[test]
fn million_adds_over_the_limit_are_all_there() {
    let registry = registry(SERIES_LIMIT);
    let (threads, adds) = (4, 250_000);
    std::thread::scope(|s| {
        for thread in 0..threads {
            let registry = &registry;
            s.spawn(move || {
                let sets: Vec<_> =
                    (0..2_500).map(|n| registry.counter("adds", user(n + thread * 7))).collect();
                (0..adds).for_each(|n| sets[n % sets.len()].add(1));
            });
        }
    });
    let counts = counts(&registry.snapshot(0), "adds");
    assert_eq!(counts.len(), SERIES_LIMIT + 1);
    assert_eq!(counts.values().sum::<u64>(), 1_000_000);
}

#[test]
fn no_overflow_at_the_limit() {
    let registry = registry(10);
    (0..10).for_each(|n| registry.counter("adds", user(n)).add(1));
    assert!(counts(&registry.snapshot(0), "adds").keys().all(|key| !key.contains("overflow")));
    registry.counter("adds", user(10)).add(5);
    registry.counter("adds", user(3)).add(1);
    let counts = counts(&registry.snapshot(0), "adds");
    assert_eq!(counts[r#"{"otel.metric.overflow": Bool(true)}"#], 5);
    assert_eq!(counts[&format!("{:?}", user(3))], 2);
}

#[test]
fn named_overflow_set_is_the_overflow_series() {
    let registry = registry(1);
    let overflow = Labels::new().with("otel.metric.overflow", true);
    registry.counter("adds", &overflow).add(1);
    registry.counter("adds", user(0)).add(1);
    registry.counter("adds", user(1)).add(1);
    assert_eq!(registry.snapshot(0).points(), 2);
    assert_eq!(registry.counter("adds", &overflow).value(), 2);
}

#[test]
fn first_kind_wins_and_the_other_handle_works_unseen() {
    let registry = registry(10);
    registry.counter("jobs", ()).add(2);
    let gauge = registry.gauge("jobs", ());
    gauge.set(7.0);
    registry.gauge("jobs", ());
    assert_eq!(gauge.value(), Some(7.0));
    assert_eq!(counts(&registry.snapshot(0), "jobs")["{}"], 2);
    let [conflict] = &registry.conflicts()[..] else { panic!("{:?}", registry.conflicts()) };
    assert_eq!(conflict.count, 2);
    assert_eq!(conflict.to_string(), "metric `jobs` is a counter, but was asked for as a gauge");
}

#[test]
fn bad_names_and_units_lose_nothing() {
    let registry = registry(10);
    registry.counter("2xx responses", ()).add(1);
    registry.counter("Jobs.Done", ()).add(1);
    registry.counter("jobs.done", ()).add(1);
    registry.describe("jobs.done", "µs", "done");
    registry.describe("jobs.done", "s", "other");
    let snapshot = registry.snapshot(0);
    assert_eq!(counts(&snapshot, "Jobs.Done")["{}"], 2);
    assert_eq!(counts(&snapshot, "m_2xx_responses")["{}"], 1);
    assert_eq!(&*snapshot.metrics[0].description, "done");
    assert_eq!(registry.conflicts().len(), 4, "{:?}", registry.conflicts());
    assert_eq!(registry.conflicts_total(), 6, "each use of another spelling counts");
}

#[test]
fn removed_series_is_absent_and_starts_anew() {
    let registry = registry(1);
    let old = registry.counter("adds", user(0));
    old.add(5);
    assert!(registry.remove("ADDS", &user(0)));
    assert!(!registry.remove("adds", &user(0)));
    old.add(5);
    assert_eq!(registry.snapshot(0).metrics, []);
    registry.counter("adds", user(1)).add(1);
    assert_eq!(counts(&registry.snapshot(0), "adds").len(), 1, "the place is free again");
}

#[test]
fn missing_values_are_absent() {
    let registry = registry(10);
    let gauge = registry.gauge("load", ());
    registry.describe("described.only", "1", "never measured");
    registry.observe("observed", &Labels::new(), Observation::Gauge(f64::NAN));
    registry.observe("observed.time", &Labels::new(), Observation::CounterF64(f64::INFINITY));
    assert_eq!(registry.snapshot(0).points(), 0);
    assert_eq!(registry.rejected(), 2);
    gauge.set(0.0);
    assert_eq!(registry.snapshot(0).points(), 1);
}

#[test]
fn observed_counter_keeps_its_start_across_a_gap() {
    let registry = Registry::with_clock(10, {
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
        static NOW: AtomicU64 = AtomicU64::new(0);
        || NOW.fetch_add(1, Relaxed)
    });
    let labels = Labels::new();
    for value in [10, 30] {
        registry.observe("reads", &labels, Observation::Counter(value));
        let snapshot = registry.snapshot(9);
        let Data::Counter { points } = &snapshot.metrics[0].data else { panic!() };
        assert_eq!(points[0].value, Number::U64(value));
        assert_eq!(points[0].start_unix_ns, registry.start_unix_ns());
        registry.remove("reads", &labels);
    }
    registry.counter("made.later", ());
    let snapshot = registry.snapshot(9);
    let Data::Counter { points } = &snapshot.metrics[0].data else { panic!() };
    assert!(points[0].start_unix_ns > registry.start_unix_ns());
}

#[test]
fn buckets_are_set_before_the_first_use() {
    let registry = registry(10);
    registry.set_buckets("a", [1.0, 2.0]).expect("unused");
    assert_eq!(registry.histogram("a", ()).bounds(), [1.0, 2.0]);
    registry.set_buckets("a", [1.0, 2.0]).expect("the same again");
    let error = registry.set_buckets("a", [3.0]).expect_err("in use");
    assert_eq!(error.to_string(), "`a` is already in use as a histogram: set its buckets before");
    assert!(error.is_in_use() && !error.is_invalid_buckets());
    assert!(registry.set_buckets("b", [2.0, 1.0]).expect_err("bad").is_invalid_buckets());
    assert_eq!(registry.histogram("b", ()).bounds(), DEFAULT_BUCKETS);
    registry.describe("c", "s", "");
    assert_eq!(registry.histogram("c", ()).bounds(), SECONDS_BUCKETS);
}

#[test]
fn buckets_follow_a_name_that_ends_with_its_unit() {
    let registry = registry(10);
    registry.describe("described_seconds", "ms", "");
    for (name, bounds) in [
        ("http_request_duration_seconds", &SECONDS_BUCKETS[..]),
        ("http.request.duration.seconds", &SECONDS_BUCKETS),
        ("described_seconds", &DEFAULT_BUCKETS),
        ("milliseconds", &DEFAULT_BUCKETS),
        ("seconds", &DEFAULT_BUCKETS),
    ] {
        assert_eq!(registry.histogram(name, ()).bounds(), bounds, "{name}");
    }
}

#[test]
fn number_of_metrics_is_bounded() {
    let registry = registry(1);
    for n in 0..METRICS_MAX + 5 {
        registry.counter(&format!("m{n}"), ()).add(1);
    }
    assert_eq!(registry.snapshot(0).points(), METRICS_MAX);
    assert_eq!(registry.conflicts_total(), 5);
    assert_eq!(registry.conflicts()[0].reason, Reason::TooManyMetrics);
}

#[test]
fn snapshot_is_sorted_and_repeatable() {
    let registry = registry(10);
    for name in ["b", "a", "c"] {
        registry.histogram(name, user(2)).record(1.0);
        registry.histogram(name, user(1)).record(f64::NAN);
    }
    let snapshot = registry.snapshot(7);
    assert_eq!(snapshot, registry.snapshot(7), "reading changes nothing");
    assert_eq!(snapshot.metrics.iter().map(|m| &*m.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    let Data::Histogram { points, .. } = &snapshot.metrics[0].data else { panic!() };
    assert_eq!(points.iter().map(|p| p.value.count).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((snapshot.start_unix_ns, snapshot.unix_ns), (1_000, 7));
    assert_eq!((registry.rejected(), snapshot.points()), (3, 6));
}

#[test]
fn same_series_from_many_threads_is_made_once() {
    let registry = registry(100);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| (0..100).for_each(|n| registry.counter("adds", user(n)).add(1)));
        }
    });
    let counts = counts(&registry.snapshot(0), "adds");
    assert_eq!((counts.len(), counts.values().sum()), (100, 800));
    assert!(counts.values().all(|count| *count == 8));
}
