//! Claims about histograms of both kinds, against their definitions.

use super::*;
use crate::metric::ExponentialRange;
use proptest::prelude::*;

fn histogram(bounds: &[f64]) -> (Histogram, Arc<Rejected>) {
    let rejected = Arc::new(Rejected::default());
    (Histogram::detached(&bounds.into(), &rejected), rejected)
}

fn exponential() -> (Histogram, Arc<Rejected>) {
    let rejected = Arc::new(Rejected::default());
    (Histogram::detached(&Buckets::exponential(), &rejected), rejected)
}

/// The definition, one value at a time, with no search and no shard.
fn model(bounds: &[f64], values: &[f64]) -> HistogramValue<BucketCounts> {
    let mut buckets = vec![0; bounds.len() + 1];
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    for value in &finite {
        let at = bounds.iter().position(|bound| value <= bound).unwrap_or(bounds.len());
        buckets[at] += 1;
    }
    HistogramValue {
        count: finite.len() as u64,
        sum: finite.iter().sum(),
        min: finite.iter().copied().reduce(f64::min),
        max: finite.iter().copied().reduce(f64::max),
        buckets: BucketCounts::Explicit(buckets),
    }
}

/// The definition: the finest scale at which both signs fit, and each value in its bucket.
fn exponential_model(values: &[f64]) -> HistogramValue<BucketCounts> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let of_sign =
        |sign: f64| -> Vec<f64> { finite.iter().map(|v| v * sign).filter(|v| *v > 0.0).collect() };
    let (positive, negative) = (of_sign(1.0), of_sign(-1.0));
    let fits = |values: &[f64], scale: i32| {
        let indices = || values.iter().map(|v| scale::index(*v, scale));
        indices().max().zip(indices().min()).is_none_or(|(max, min)| max - min < 160)
    };
    let fits = |scale: &i32| fits(&positive, *scale) && fits(&negative, *scale);
    let scale = (-10..=20).rev().find(fits).expect("all of them fit at -4");
    let range = |values: &[f64]| {
        let indices = || values.iter().map(|v| scale::index(*v, scale));
        let offset = indices().min().unwrap_or(0);
        let mut counts = vec![0; indices().max().map_or(0, |max| max - offset + 1) as usize];
        indices().for_each(|index| counts[(index - offset) as usize] += 1);
        ExponentialRange { offset, counts }
    };
    HistogramValue {
        count: finite.len() as u64,
        sum: finite.iter().fold(0.0, |sum, v| (sum + v).clamp(f64::MIN, f64::MAX)),
        min: finite.iter().copied().reduce(f64::min),
        max: finite.iter().copied().reduce(f64::max),
        buckets: BucketCounts::Exponential(ExponentialBuckets {
            scale,
            zero_count: finite.iter().filter(|v| **v == 0.0).count() as u64,
            positive: range(&positive),
            negative: range(&negative),
        }),
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, 5.0, 10.0];
    prop_oneof![8 => -1e6..1e6, 2 => prop::sample::select(odd.to_vec())]
}

/// Values of every size, close together and far apart.
fn sized_values() -> impl Strategy<Value = Vec<f64>> {
    let close = (-300..300_i32, prop::collection::vec(1.0..1.2_f64, 0..60))
        .prop_map(|(e, values)| values.into_iter().map(|v| v * 2.0_f64.powi(e)).collect());
    let near = prop::collection::vec(any_value(), 0..100);
    let far = prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..60);
    prop::collection::vec(prop_oneof![4 => close, 2 => near, 1 => far], 0..4)
        .prop_map(|parts: Vec<Vec<f64>>| parts.concat())
}

proptest! {
    #[test]
    fn exponential_buckets_are_those_of_the_definition(values in sized_values()) {
        let (histogram, rejected) = exponential();
        values.iter().for_each(|value| histogram.record(*value));
        let expected = exponential_model(&values);
        prop_assert_eq!(histogram.value(), expected.clone());
        prop_assert_eq!(rejected.count(), values.len() as u64 - expected.count);
    }

    #[test]
    fn exponential_buckets_are_the_same_on_any_threads(values in sized_values()) {
        let (histogram, _) = exponential();
        std::thread::scope(|s| {
            for part in values.chunks(values.len() / 3 + 1) {
                let histogram = &histogram;
                s.spawn(move || part.iter().for_each(|value| histogram.record(*value)));
            }
        });
        let (value, expected) = (histogram.value(), exponential_model(&values));
        prop_assert_eq!(value.buckets, expected.buckets);
        prop_assert_eq!((value.min, value.max), (expected.min, expected.max));
    }

    #[test]
    fn agrees_with_the_definition(
        mut bounds in prop::collection::vec(-1e4..1e5, 1..60),
        values in prop::collection::vec(any_value(), 0..200),
    ) {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let (histogram, rejected) = histogram(&bounds);
        values.iter().for_each(|value| histogram.record(*value));
        let expected = model(&bounds, &values);
        prop_assert_eq!(histogram.value(), expected.clone());
        prop_assert_eq!(rejected.count(), values.len() as u64 - expected.count);
    }

    #[test]
    fn many_equal_values_are_as_good_as_one_by_one(
        value in -1000_i32..1000,
        count in 0..50_u64,
    ) {
        let (one, _) = histogram(&DEFAULT_BUCKETS);
        let (many, _) = histogram(&DEFAULT_BUCKETS);
        (0..count).for_each(|_| one.record(f64::from(value)));
        many.record_many(f64::from(value), count);
        prop_assert_eq!(one.value(), many.value());
    }
}

#[test]
fn threads_record_exactly() {
    let (histogram, _) = histogram(&DEFAULT_BUCKETS);
    std::thread::scope(|s| {
        for _ in 0..12 {
            s.spawn(|| (0..5_000_u32).for_each(|n| histogram.record(f64::from(n % 100))));
        }
    });
    let value = histogram.value();
    assert_eq!((value.count, value.min, value.max), (60_000, Some(0.0), Some(99.0)));
    assert_eq!(value.sum, 12.0 * 50.0 * 4_950.0);
    assert_eq!(value.buckets.explicit().expect("explicit")[..3], [600, 3_000, 3_000]);
}

/// Every value that comes makes the buckets coarser, while others count and one reads.
#[test]
fn counts_are_exact_while_the_scale_changes() {
    let wide: Vec<f64> = (0..24).map(|n| 1.0 + 2.0_f64.powi(-20 + 2 * n)).collect();
    for round in 0..300 {
        let (histogram, _) = exponential();
        let histogram = &histogram;
        std::thread::scope(|s| {
            for thread in 0..3 {
                let wide = &wide;
                s.spawn(move || {
                    for n in 0..wide.len() {
                        let at = (n * (thread + 1) + round) % wide.len();
                        histogram.record(wide[at]);
                        histogram.record(-wide[n]);
                        histogram.record(1.0);
                    }
                });
            }
            let mut last = 0;
            for _ in 0..20 {
                let count = histogram.value().count;
                assert!((last..=3 * 3 * 24).contains(&count), "{count} after {last}");
                last = count;
            }
        });
        let value = histogram.value();
        assert_eq!((value.count, histogram.count()), (3 * 3 * 24, 3 * 3 * 24));
        let BucketCounts::Exponential(buckets) = value.buckets else { panic!() };
        assert_eq!(buckets.negative.counts.iter().sum::<u64>(), 3 * 24);
        assert_eq!(buckets.count(), value.count);
    }
}

#[test]
fn bucket_that_is_full_stays_full() {
    let (histogram, _) = exponential();
    histogram.record_many(1.0, u64::MAX);
    histogram.record_many(1.0, 7);
    histogram.record(1e9);
    let value = histogram.value();
    assert_eq!(value.count, (1 << 58) - 1 + 1);
    assert_eq!(value.buckets.exponential().map(|b| b.positive.counts[0]), Some((1 << 58) - 1));
}

#[test]
fn all_floats_fit_in_one_histogram() {
    let (histogram, _) = exponential();
    let ends = [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 1.0, 0.0, -0.0];
    ends.iter().for_each(|value| histogram.record(*value));
    ends.iter().for_each(|value| histogram.record(-value));
    let value = histogram.value();
    let buckets = value.buckets.exponential().expect("exponential");
    assert_eq!((value.count, buckets.zero_count, buckets.scale), (12, 4, -4));
    assert_eq!(buckets.positive, buckets.negative);
}

#[test]
fn sum_beyond_the_range_stays_finite() {
    let (histogram, rejected) = histogram(&[1.0]);
    histogram.record(f64::MAX);
    histogram.record_many(f64::MAX, 3);
    assert_eq!(histogram.value().sum, f64::MAX);
    assert_eq!((histogram.value().count, rejected.count()), (4, 0));
}

#[test]
fn bounds_that_cannot_divide_are_refused_with_the_place() {
    let text = |bounds: &[f64]| check_bounds("a.b", bounds).expect_err("bad").to_string();
    assert_eq!(text(&[]), "`a.b` has 0 bounds, but must have 1 to 512");
    assert_eq!(text(&[1.0, 1.0]), "`a.b` has bound 1 at 1, but it must be above 1");
    assert_eq!(text(&[2.0, 1.0]), "`a.b` has bound 1 at 1, but it must be above 2");
    assert_eq!(text(&[f64::NAN]), "`a.b` has bound 0 at NaN, but it must be finite");
    assert_eq!(text(&[0.0, f64::INFINITY]), "`a.b` has bound 1 at inf, but it must be finite");
    assert!(check_bounds("a.b", &vec![0.0; 513]).is_err());
    assert!(check_bounds("a.b", &DEFAULT_BUCKETS).is_ok());
    assert!(check_bounds("a.b", &SECONDS_BUCKETS).is_ok());
}
