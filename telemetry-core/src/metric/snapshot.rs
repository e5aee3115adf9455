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
}

impl Data {
    /// Returns the number of points.
    pub fn points(&self) -> usize {
        match self {
            Self::Counter { points } | Self::UpDownCounter { points } | Self::Gauge { points } => {
                points.len()
            }
            Self::Histogram { points, .. } => points.len(),
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

/// Holds a distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue {
    /// How many values were recorded: the sum of `buckets`.
    pub count: u64,
    /// The sum of the values; always finite.
    pub sum: f64,
    /// The least value, if there is any.
    pub min: Option<f64>,
    /// The greatest value, if there is any.
    pub max: Option<f64>,
    /// How many values fell in each bucket: one more than there are bounds. Not cumulative.
    pub buckets: Vec<u64>,
}
