//! All values of a registry at one moment: the one type exporters read.
//!
//! # Invariants
//!
//! - Metrics are sorted by name, points by labels: equal states give equal snapshots.
//! - A metric in a snapshot has at least one point.
//! - Sums and histograms are cumulative since the point's `start_unix_ns`, which never changes
//!   while the series lives.

use std::sync::Arc;

use super::labels::Labels;

/// Holds the values of a [`Registry`](super::Registry) at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When the registry was made, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// When the values were read, in nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// The metrics that have a value, sorted by name.
    pub metrics: Vec<Metric>,
}

impl Snapshot {
    /// Returns the number of data points: the unit in which metrics are delivered or lost.
    pub fn points(&self) -> usize {
        self.metrics.iter().map(|metric| metric.data.points()).sum()
    }
}

/// Holds one metric and its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name, as first given.
    pub name: Arc<str>,
    /// What it means; may be empty.
    pub description: Arc<str>,
    /// The UCUM unit; may be empty.
    pub unit: Arc<str>,
    /// The kind and the points.
    pub data: Data,
}

/// Holds the points of a metric, by kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// Monotonic sums, cumulative.
    Counter {
        /// One point per series; [`Number::U64`] or [`Number::F64`].
        points: Vec<Point<Number>>,
    },
    /// Sums that may go down, cumulative.
    UpDownCounter {
        /// One point per series; [`Number::I64`].
        points: Vec<Point<Number>>,
    },
    /// Last values.
    Gauge {
        /// One point per series; [`Number::F64`].
        points: Vec<Point<Number>>,
    },
    /// Distributions in explicit buckets, cumulative.
    Histogram {
        /// The inclusive upper bounds of all buckets but the last, ascending; of all points.
        bounds: Arc<[f64]>,
        /// One point per series.
        points: Vec<Point<HistogramValue>>,
    },
    /// Distributions in base-2 exponential buckets, cumulative.
    ExponentialHistogram {
        /// One point per series.
        points: Vec<Point<HistogramValue<ExponentialBuckets>>>,
    },
}

impl Data {
    /// Returns the number of points.
    pub fn points(&self) -> usize {
        match self {
            Self::Counter { points } | Self::UpDownCounter { points } | Self::Gauge { points } => {
                points.len()
            }
            Self::Histogram { points, .. } => points.len(),
            Self::ExponentialHistogram { points } => points.len(),
        }
    }
}

/// Holds the value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<V> {
    /// The attributes of the series.
    pub labels: Labels,
    /// Since when `value` adds up, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// The value.
    pub value: V,
}

/// Holds a number in the type it was measured in.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// Of a [`Counter`](super::Counter).
    U64(u64),
    /// Of an [`UpDownCounter`](super::UpDownCounter).
    I64(i64),
    /// Of a [`CounterF64`](super::CounterF64) or a [`Gauge`](super::Gauge); always finite.
    F64(f64),
}

impl Number {
    /// Returns the number as a float: above 2^53 an integer is rounded.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::U64(value) => value as f64,
            Self::I64(value) => value as f64,
            Self::F64(value) => value,
        }
    }
}

/// Holds a distribution; its buckets are explicit ones, unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue<B = Vec<u64>> {
    /// How many values were recorded: the sum of `buckets`.
    pub count: u64,
    /// The sum of the values; always finite.
    pub sum: f64,
    /// The least value, if there is any.
    pub min: Option<f64>,
    /// The greatest value, if there is any.
    pub max: Option<f64>,
    /// How many values fell in each bucket, not cumulative: of explicit buckets one more than there
    /// are bounds.
    pub buckets: B,
}

impl<B> HistogramValue<B> {
    pub(super) fn map<C>(self, buckets: impl FnOnce(B) -> C) -> HistogramValue<C> {
        let Self { count, sum, min, max, .. } = self;
        HistogramValue { count, sum, min, max, buckets: buckets(self.buckets) }
    }
}

/// Holds the buckets of a histogram of either kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BucketCounts {
    /// Of explicit buckets: one more than there are bounds.
    Explicit(Vec<u64>),
    /// Of base-2 exponential buckets.
    Exponential(ExponentialBuckets),
}

impl BucketCounts {
    /// Returns the counts of explicit buckets.
    pub fn explicit(&self) -> Option<&[u64]> {
        if let Self::Explicit(counts) = self { Some(counts) } else { None }
    }

    /// Returns exponential buckets.
    pub fn exponential(&self) -> Option<&ExponentialBuckets> {
        if let Self::Exponential(buckets) = self { Some(buckets) } else { None }
    }
}

/// Holds base-2 exponential buckets (OpenTelemetry metrics data model, exponential histogram).
///
/// Bucket `i` holds magnitudes above `2^(i / 2^scale)`, up to and including
/// `2^((i + 1) / 2^scale)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExponentialBuckets {
    /// How fine the buckets are: 20 at most, and less the further the values are apart.
    pub scale: i32,
    /// How many values were zero.
    pub zero_count: u64,
    /// The buckets of values above zero.
    pub positive: ExponentialRange,
    /// The buckets of values below zero, by magnitude.
    pub negative: ExponentialRange,
}

impl ExponentialBuckets {
    /// Returns how many values are in the buckets, those that were zero included.
    pub fn count(&self) -> u64 {
        let ranges = [&self.positive, &self.negative];
        ranges.iter().flat_map(|range| &range.counts).sum::<u64>() + self.zero_count
    }
}

/// Holds consecutive exponential buckets of one sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExponentialRange {
    /// The index of the first bucket; 0 if there is none.
    pub offset: i32,
    /// How many values fell in each, from `offset` on; at most 160.
    pub counts: Vec<u64>,
}
