//! Distributions in fixed memory, however many values are recorded.
//!
//! # Invariants
//!
//! - Explicit bucket `i` holds the values above `bounds[i - 1]` up to and including `bounds[i]`; one
//!   more bucket holds what is above the last bound.
//! - The count is the sum of the buckets: the two cannot differ, in no reading.
//! - A value that is not finite changes neither buckets, sum, minimum nor maximum; it is counted
//!   as rejected. A sum beyond the range of `f64` stays at its end.
//!
//! A reading at the same time as writes may hold a value in its bucket and not yet in its sum, or
//! the reverse; it is exact as soon as the writers are quiet.

mod explicit;
mod exponential;
mod extent;
mod scale;

use std::fmt;
use std::sync::Arc;

pub(crate) use explicit::Explicit;
pub(crate) use exponential::Exponential;

use super::error::{Error, ErrorKind};
use super::instrument::{Rejected, Removed};
use super::snapshot::{BucketCounts, ExponentialBuckets, HistogramValue};

/// The bounds of a histogram whose metric was given none (OpenTelemetry metrics SDK, explicit
/// bucket histogram aggregation).
pub const DEFAULT_BUCKETS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

/// The bounds of a histogram whose metric was given none, but is described with the unit `s`, or
/// with none and called `…_seconds`.
///
/// [`DEFAULT_BUCKETS`] suits milliseconds: it would put nearly every duration in seconds into one
/// bucket. These are the bounds that the semantic conventions advise for
/// `http.server.request.duration`.
pub const SECONDS_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Most bounds a histogram may have: it bounds the memory of a series, and what a scrape carries.
pub const BUCKETS_MAX: usize = 512;

/// Says how the histograms of a metric divide their values.
///
/// ```
/// use telemetry_core::metric::{Buckets, Registry};
///
/// let registry = Registry::new();
/// registry.set_buckets("job.duration", [0.1, 1.0, 10.0])?;
/// registry.set_buckets("job.size", Buckets::exponential())?;
/// # Ok::<(), telemetry_core::metric::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(pub(super) Division);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Division {
    Explicit(Arc<[f64]>),
    Exponential,
}

impl Buckets {
    /// Divides at these bounds, which belong to the bucket below: 1 to [`BUCKETS_MAX`], ascending.
    pub fn explicit(bounds: impl AsRef<[f64]>) -> Self {
        Self(Division::Explicit(bounds.as_ref().into()))
    }

    /// Divides by powers of a base that adapts to the values (OpenTelemetry, base-2 exponential
    /// bucket histogram): at most 160 buckets for each sign, of equal *relative* width.
    ///
    /// Nobody has to know the values beforehand: those from 1 ms to 10 s fall into buckets 9 %
    /// wide, those within a factor of 4 into buckets 1 % wide. A series takes 2.6 KiB at most for
    /// each shard, 1.3 KiB where no value is negative, made at the shard's first value.
    pub fn exponential() -> Self {
        Self(Division::Exponential)
    }

    /// Checks that the bounds, if there are any, can divide values.
    pub(super) fn check(&self, name: &str) -> Result<(), Error> {
        match &self.0 {
            Division::Explicit(bounds) => check_bounds(name, bounds),
            Division::Exponential => Ok(()),
        }
    }

    /// Those of a metric of this name and unit that was given none.
    ///
    /// Names as Prometheus asks for them end with the unit; who writes them often describes none.
    pub(super) fn suiting(name: &str, unit: &str) -> Self {
        let names_seconds = || ["_seconds", ".seconds"].iter().any(|end| name.ends_with(end));
        let in_seconds = unit == "s" || unit.is_empty() && names_seconds();
        Self::explicit(if in_seconds { &SECONDS_BUCKETS[..] } else { &DEFAULT_BUCKETS })
    }
}

impl fmt::Display for Buckets {
    /// `exponential`, or `explicit` and the bounds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Division::Exponential => f.write_str("exponential"),
            Division::Explicit(bounds) => {
                let bounds: Vec<_> = bounds.iter().map(f64::to_string).collect();
                write!(f, "explicit {}", bounds.join(", "))
            }
        }
    }
}

impl<const N: usize> From<[f64; N]> for Buckets {
    fn from(bounds: [f64; N]) -> Self {
        Self::explicit(bounds)
    }
}

impl From<&[f64]> for Buckets {
    fn from(bounds: &[f64]) -> Self {
        Self::explicit(bounds)
    }
}

/// Records how values are distributed: durations, sizes.
///
/// Recording is a search for the bucket and two atomic operations on cache lines of the calling
/// thread, at most about 20 ns. With explicit buckets a series takes `8 * (bounds + 4)` bytes,
/// rounded up to 128, for each shard (at most 8). Cloning gives another handle of the same series.
///
/// ```
/// # let registry = telemetry_core::metric::Registry::new();
/// registry.set_buckets("job.duration", [0.1, 1.0, 10.0])?;
/// let duration = registry.histogram("job.duration", [("queue", "mail")]);
/// duration.record(0.1);
/// duration.record(3.0);
/// let buckets = duration.value().buckets;
/// assert_eq!(buckets.explicit(), Some(&[1, 0, 1, 0][..]), "bounds belong to the bucket below");
/// # Ok::<(), telemetry_core::metric::Error>(())
/// ```
#[derive(Clone)]
pub struct Histogram(Distribution);

/// The cells of a histogram.
#[derive(Clone)]
pub(crate) enum Distribution {
    Explicit(Arc<Explicit>),
    Exponential(Arc<Exponential>),
}

impl Histogram {
    pub(super) fn detached(buckets: &Buckets, rejected: &Arc<Rejected>) -> Self {
        let rejected = Arc::clone(rejected);
        Self(match &buckets.0 {
            Division::Explicit(bounds) => {
                Distribution::Explicit(Arc::new(Explicit::new(Arc::clone(bounds), rejected)))
            }
            Division::Exponential => {
                Distribution::Exponential(Arc::new(Exponential::new(rejected)))
            }
        })
    }

    /// Records `value`. A non-finite value is rejected and counted.
    #[inline]
    pub fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    /// Records `value`, `count` times.
    #[inline]
    pub fn record_many(&self, value: f64, count: u64) {
        match &self.0 {
            Distribution::Explicit(cells) => cells.record(value, count),
            Distribution::Exponential(cells) => cells.record(value, count),
        }
    }

    /// Returns the distribution so far.
    pub fn value(&self) -> HistogramValue<BucketCounts> {
        match &self.0 {
            Distribution::Explicit(cells) => cells.value().map(BucketCounts::Explicit),
            Distribution::Exponential(cells) => cells.value().map(BucketCounts::Exponential),
        }
    }

    /// Returns the upper bounds of all explicit buckets but the last, in ascending order; of
    /// exponential ones none, for they move.
    pub fn bounds(&self) -> &[f64] {
        match &self.0 {
            Distribution::Explicit(cells) => cells.bounds(),
            Distribution::Exponential(_) => &[],
        }
    }

    pub(super) fn explicit(&self) -> Option<(Arc<[f64]>, HistogramValue)> {
        match &self.0 {
            Distribution::Explicit(cells) => Some((Arc::clone(cells.bounds()), cells.value())),
            Distribution::Exponential(_) => None,
        }
    }

    pub(super) fn exponential(&self) -> Option<HistogramValue<ExponentialBuckets>> {
        match &self.0 {
            Distribution::Explicit(_) => None,
            Distribution::Exponential(cells) => Some(cells.value()),
        }
    }

    /// Returns how many values were recorded.
    pub(super) fn count(&self) -> u64 {
        match &self.0 {
            Distribution::Explicit(cells) => cells.count(),
            Distribution::Exponential(cells) => cells.count(),
        }
    }

    /// Returns whether nobody else has a handle.
    pub(super) fn is_only_handle(&mut self) -> bool {
        match &mut self.0 {
            Distribution::Explicit(cells) => Arc::get_mut(cells).is_some(),
            Distribution::Exponential(cells) => Arc::get_mut(cells).is_some(),
        }
    }

    #[inline]
    pub(super) fn removed(&self) -> &Removed {
        match &self.0 {
            Distribution::Explicit(cells) => &cells.removed,
            Distribution::Exponential(cells) => &cells.removed,
        }
    }

    #[inline]
    pub(crate) fn is_removed(&self) -> bool {
        self.removed().is_set()
    }

    pub(crate) fn into_shared(self) -> Distribution {
        self.0
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.value()).finish()
    }
}

/// Checks that `bounds` can divide values: finite, strictly ascending, between 1 and
/// [`BUCKETS_MAX`] of them.
fn check_bounds(name: &str, bounds: &[f64]) -> Result<(), Error> {
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
mod tests;
