//! Distributions in explicit buckets: fixed memory, however many values are recorded.
//!
//! # Invariants
//!
//! - Bucket `i` holds the values above `bounds[i - 1]` up to and including `bounds[i]`; one more
//!   bucket holds what is above the last bound.
//! - The count is the sum of the buckets: the two cannot differ, in no reading.
//! - A value that is not finite changes neither buckets, sum, minimum nor maximum; it is counted
//!   as rejected. A sum beyond the range of `f64` stays at its end.
//!
//! A reading at the same time as writes may hold a value in its bucket and not yet in its sum, or
//! the reverse; it is exact as soon as the writers are quiet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::error::{Error, ErrorKind};
use super::instrument::{Rejected, update_f64};
use super::shard::{Line, shards, thread_index};
use super::snapshot::HistogramValue;

/// The bounds of a histogram whose metric was given none (OpenTelemetry metrics SDK, explicit
/// bucket histogram aggregation).
pub const DEFAULT_BUCKETS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

/// The bounds of a histogram whose metric was given none, but is described with the unit `s`.
///
/// [`DEFAULT_BUCKETS`] suits milliseconds: it would put nearly every duration in seconds into one
/// bucket. These are the bounds that the semantic conventions advise for
/// `http.server.request.duration`.
pub const SECONDS_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Most bounds a histogram may have: it bounds the memory of a series, and what a scrape carries.
pub const BUCKETS_MAX: usize = 512;

const LINE_CELLS: usize = 16;
const SUM: usize = 0;
const MIN: usize = 1;
const MAX: usize = 2;
/// Where the buckets begin in the cells of a shard.
const BUCKETS: usize = 3;

/// All shards in one allocation: `lines_per_shard` lines each.
///
/// ```text
/// shard 0: | sum min max b0 b1 … | … bn |   shard 1: | sum min max b0 b1 … | … bn |
/// ```
struct Cells {
    bounds: Arc<[f64]>,
    lines: Box<[Line<[AtomicU64; LINE_CELLS]>]>,
    lines_per_shard: usize,
    shard_mask: usize,
    rejected: Arc<Rejected>,
}

/// Records how values are distributed: durations, sizes.
///
/// Recording is a search for the bucket and two atomic operations on cache lines of the calling
/// thread, at most about 20 ns. A series takes `8 * (bounds + 4)` bytes, rounded up to 128, for
/// each shard (at most 8). Cloning gives another handle of the same series.
///
/// ```
/// # let registry = telemetry_core::metric::Registry::new();
/// registry.set_buckets("job.duration", &[0.1, 1.0, 10.0])?;
/// let duration = registry.histogram("job.duration", [("queue", "mail")]);
/// duration.record(0.1);
/// duration.record(3.0);
/// assert_eq!(duration.value().buckets, [1, 0, 1, 0], "bounds belong to the bucket below");
/// # Ok::<(), telemetry_core::metric::Error>(())
/// ```
#[derive(Clone)]
pub struct Histogram(Arc<Cells>);

impl Histogram {
    pub(super) fn detached(bounds: Arc<[f64]>, rejected: &Arc<Rejected>) -> Self {
        let lines_per_shard = (BUCKETS + bounds.len() + 1).div_ceil(LINE_CELLS);
        let lines: Box<[Line<[AtomicU64; LINE_CELLS]>]> =
            (0..lines_per_shard * shards()).map(|_| Line::default()).collect();
        for first in lines.iter().step_by(lines_per_shard) {
            first.0[MIN].store(f64::INFINITY.to_bits(), Relaxed);
            first.0[MAX].store(f64::NEG_INFINITY.to_bits(), Relaxed);
        }
        let shard_mask = shards() - 1;
        let rejected = Arc::clone(rejected);
        Self(Arc::new(Cells { bounds, lines, lines_per_shard, shard_mask, rejected }))
    }

    /// Records `value`. A non-finite value is rejected and counted.
    #[inline]
    pub fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    /// Records `value`, `count` times.
    #[inline]
    pub fn record_many(&self, value: f64, count: u64) {
        let cells = &*self.0;
        if !value.is_finite() {
            return cells.rejected.add(count);
        }
        if count == 0 {
            return;
        }
        let first = (thread_index() & cells.shard_mask) * cells.lines_per_shard;
        let head = &cells.lines[first].0;
        let added = if count == 1 { value } else { value * count as f64 };
        update_f64(&head[SUM], |sum| Some(saturate(sum + saturate(added))));
        // Most values move neither end: a plain load finds that out.
        if value < f64::from_bits(head[MIN].load(Relaxed)) {
            update_f64(&head[MIN], |min| (value < min).then_some(value));
        }
        if value > f64::from_bits(head[MAX].load(Relaxed)) {
            update_f64(&head[MAX], |max| (value > max).then_some(value));
        }
        let bucket = BUCKETS + cells.bounds.partition_point(|bound| *bound < value);
        let line = &cells.lines[first + bucket / LINE_CELLS].0;
        line[bucket % LINE_CELLS].fetch_add(count, Relaxed);
    }

    /// Returns the distribution so far.
    pub fn value(&self) -> HistogramValue {
        let cells = &*self.0;
        let mut value = HistogramValue {
            count: 0,
            sum: 0.0,
            min: None,
            max: None,
            buckets: vec![0; cells.bounds.len() + 1],
        };
        for shard in cells.lines.chunks_exact(cells.lines_per_shard) {
            let float = |at: usize| f64::from_bits(shard[0].0[at].load(Relaxed));
            value.sum = saturate(value.sum + float(SUM));
            if let (min, max) = (float(MIN), float(MAX))
                && min <= max
            {
                value.min = Some(value.min.map_or(min, |least| least.min(min)));
                value.max = Some(value.max.map_or(max, |most| most.max(max)));
            }
            for (at, bucket) in value.buckets.iter_mut().enumerate() {
                let at = BUCKETS + at;
                *bucket += shard[at / LINE_CELLS].0[at % LINE_CELLS].load(Relaxed);
            }
        }
        value.count = value.buckets.iter().sum();
        value
    }

    /// Returns the upper bounds of all buckets but the last, in ascending order.
    pub fn bounds(&self) -> &[f64] {
        &self.0.bounds
    }

    pub(super) fn shared_bounds(&self) -> Arc<[f64]> {
        Arc::clone(&self.0.bounds)
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.value()).finish()
    }
}

fn saturate(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

/// Checks that `bounds` can divide values: finite, strictly ascending, between 1 and
/// [`BUCKETS_MAX`] of them.
pub(super) fn check_bounds(name: &str, bounds: &[f64]) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::new(ErrorKind::Buckets, name, text));
    if bounds.is_empty() || bounds.len() > BUCKETS_MAX {
        let count = bounds.len();
        return refuse(format!("has {count} bounds, but must have 1 to {BUCKETS_MAX}"));
    }
    for (at, bound) in bounds.iter().enumerate() {
        if !bound.is_finite() {
            return refuse(format!("has bound {at} at {bound}, but it must be finite"));
        }
        if at > 0 && *bound <= bounds[at - 1] {
            let below = bounds[at - 1];
            return refuse(format!("has bound {at} at {bound}, but it must be above {below}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(bounds: &[f64]) -> (Histogram, Arc<Rejected>) {
        let rejected = Arc::new(Rejected::default());
        (Histogram::detached(bounds.into(), &rejected), rejected)
    }

    /// The definition, one value at a time, with no search and no shard.
    fn model(bounds: &[f64], values: &[f64]) -> HistogramValue {
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
            buckets,
        }
    }

    fn any_value() -> impl Strategy<Value = f64> {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, 5.0, 10.0];
        prop_oneof![8 => -1e6..1e6, 2 => prop::sample::select(odd.to_vec())]
    }

    proptest! {
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
        assert_eq!(value.buckets[..3], [600, 3_000, 3_000]);
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
}
