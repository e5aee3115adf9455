//! Labels of all series, and buckets by name.

use super::*;

fn exported(registry: &Registry, name: &str) -> Vec<String> {
    let snapshot = registry.snapshot(0);
    let metric = snapshot.metrics.iter().find(|metric| &*metric.name == name).expect("is there");
    match &metric.data {
        Data::Counter { points } => points.iter().map(|p| format!("{:?}", p.labels)).collect(),
        other => panic!("{other:?}"),
    }
}

fn registry_in_eu(series_limit: usize) -> Registry {
    let registry = registry(series_limit);
    registry.configure(Settings::new().label("region", "eu")).expect("good");
    registry
}

#[test]
fn every_series_has_the_labels_of_all_the_overflow_series_included() {
    let registry = registry_in_eu(1);
    registry.counter("adds", ()).add(1);
    registry.counter("adds", user(1)).add(1);
    registry.observe("seen", &Labels::new(), Observation::Counter(1));
    let overflow = r#"{"otel.metric.overflow": Bool(true), "region": Str("eu")}"#;
    assert_eq!(exported(&registry, "adds"), [r#"{"region": Str("eu")}"#, overflow]);
    assert_eq!(exported(&registry, "seen"), [r#"{"region": Str("eu")}"#]);
    assert_eq!(registry.counter("adds", ()).value(), 1, "asked for as before");
}

#[test]
fn own_label_stands_above_and_an_equal_one_is_the_same_series() {
    let registry = registry_in_eu(10);
    registry.counter("adds", [("region", "us")]).add(1);
    registry.counter("adds", ()).add(2);
    registry.counter("adds", [("region", "eu")]).add(3);
    let both = [r#"{"region": Str("eu")}"#, r#"{"region": Str("us")}"#];
    assert_eq!(exported(&registry, "adds"), both);
    assert_eq!(registry.counter("adds", ()).value(), 5);
    assert!(registry.remove("adds", &Labels::from([("region", "eu")])));
    assert_eq!(exported(&registry, "adds"), [both[1]]);
}

#[test]
fn labels_that_come_later_are_those_of_earlier_series_too() {
    let registry = registry(10);
    let early = registry.counter("adds", user(1));
    early.add(1);
    registry.configure(Settings::new().label("region", "eu")).expect("good");
    assert_eq!(exported(&registry, "adds"), [r#"{"region": Str("eu"), "user": Str("1")}"#]);
    registry.counter("adds", user(1)).add(1);
    assert_eq!(early.value(), 2);
    registry.configure(Settings::new()).expect("good");
    assert_eq!(exported(&registry, "adds"), [r#"{"user": Str("1")}"#]);
}

proptest! {
    /// Whatever is asked for, before and after the labels are set.
    #[test]
    fn no_two_series_are_exported_alike_and_nothing_is_lost(
        steps in prop::collection::vec((0..6_usize, 0..3_usize), 1..60),
        limit in 1..6_usize,
    ) {
        let registry = registry(limit);
        let settings = [
            Settings::new(),
            Settings::new().label("a", "1"),
            Settings::new().label("a", "1").label("b", "1"),
        ];
        let sets: [Labels; 5] = [
            Labels::new(),
            Labels::from([("a", "1")]),
            Labels::from([("a", "2")]),
            Labels::from([("a", "1"), ("b", "1")]),
            Labels::from([("otel.metric.overflow", true)]),
        ];
        let mut adds = 0;
        for (step, which) in steps {
            match sets.get(step) {
                Some(labels) => {
                    registry.counter("adds", labels).add(1);
                    adds += 1;
                }
                None => registry.configure(settings[which].clone()).expect("good"),
            }
            if adds > 0 {
                let counts = counts(&registry.snapshot(0), "adds");
                prop_assert_eq!(counts.len(), exported(&registry, "adds").len());
                prop_assert_eq!(counts.values().sum::<u64>(), adds);
            }
        }
    }
}

#[test]
fn rules_hold_for_metrics_that_have_no_series_yet() {
    let registry = registry(10);
    registry.histogram("http.early", ()).record(1.0);
    registry.counter("http.requests", ()).add(1);
    registry.set_buckets("http.exact", [7.0]).expect("unused");
    let settings = Settings::new().histogram("http.*", Buckets::exponential());
    registry.configure(settings.clone()).expect("good");
    registry.configure(settings).expect("good");
    for name in ["http.early", "http.late", "http.exact", "other"] {
        registry.histogram(name, ()).record(1.0);
    }
    let bounds = |name| registry.histogram(name, ()).bounds().to_vec();
    assert_eq!(bounds("http.early"), DEFAULT_BUCKETS);
    assert!(registry.histogram("http.late", ()).value().buckets.exponential().is_some());
    assert_eq!(bounds("http.exact"), [7.0]);
    assert_eq!(bounds("other"), DEFAULT_BUCKETS);
    let [conflict] = &registry.conflicts()[..] else { panic!("{:?}", registry.conflicts()) };
    assert_eq!((&*conflict.name, &conflict.reason), ("http.early", &Reason::Buckets));
    let kinds: Vec<_> =
        registry.snapshot(0).metrics.into_iter().map(|metric| metric.data).collect();
    assert!(matches!(kinds[0], Data::Histogram { .. }), "{kinds:?}");
    assert!(matches!(kinds[2], Data::ExponentialHistogram { .. }), "{kinds:?}");
}

#[test]
fn settings_that_are_wrong_change_nothing() {
    let registry = registry_in_eu(10);
    let wrong = Settings::new().histogram("a", [2.0, 1.0]);
    assert!(registry.configure(wrong).expect_err("bad").is_invalid_buckets());
    registry.counter("adds", ()).add(1);
    assert_eq!(exported(&registry, "adds"), [r#"{"region": Str("eu")}"#]);
}

#[test]
fn overflow_is_a_conflict_once() {
    let registry = registry(2);
    (0..9).for_each(|n| registry.counter("adds", user(n)).add(1));
    let [conflict] = &registry.conflicts()[..] else { panic!("{:?}", registry.conflicts()) };
    assert_eq!(conflict.reason, Reason::Overflow { limit: 2 });
    let text = "metric `adds` has 2 series: further ones are, together, in one that is labelled \
                `otel.metric.overflow`";
    assert_eq!((conflict.to_string().as_str(), conflict.count), (text, 1));
}
