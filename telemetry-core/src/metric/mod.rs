//! Measurements: a registry of sharded atomics that any thread writes and exporters read.
//!
//! # Invariants
//!
//! - Measuring with a handle never takes a lock that a reader holds, and never loses a value: sums
//!   are exact also under overload (measurements have no queue). It never allocates, but for the
//!   first value that a shard of an exponential histogram gets.
//! - Everything is bounded: metrics, series of a metric ([`SERIES_LIMIT`], then one overflow
//!   series), memory of a series (no bag of samples).
//! - Missing is absent: a gauge never set, a series removed and one that is idle are not in a
//!   snapshot.
//! - A value that is not finite never reaches a sum; it is counted ([`Registry::rejected`]).
//! - The first request for a name wins; the others keep working and are listed
//!   ([`Registry::conflicts`]). Nothing a caller passes makes this module panic.
//!
//! Application code, the `metrics` facade ([`bridge::metrics`](crate::bridge::metrics)) and the
//! poller write; the worker reads one [`Snapshot`] per interval for all exporters.
//!
//! ```
//! use telemetry_core::metric;
//!
//! let registry = metric::global();
//! registry.describe("http.server.request.duration", "s", "Duration of HTTP server requests");
//! let duration = registry.histogram("http.server.request.duration", [("http.route", "/users")]);
//! duration.record(0.012);
//! assert_eq!(duration.value().count, 1);
//! ```

mod conflict;
mod error;
mod family;
mod histogram;
mod idle;
mod instrument;
mod labels;
mod lookup;
mod name;
mod registry;
mod series;
mod settings;
mod shard;
mod snapshot;
mod table;

use std::sync::OnceLock;

pub use conflict::{CONFLICTS_MAX, Conflict, Kind, Reason};
pub use error::Error;
pub(crate) use family::Family;
pub use histogram::{BUCKETS_MAX, Buckets, DEFAULT_BUCKETS, Histogram, SECONDS_BUCKETS};
pub(crate) use histogram::{Distribution, Explicit, Exponential};
pub use instrument::{Counter, CounterF64, Gauge, UpDownCounter};
pub(crate) use instrument::{Last, Sum};
pub use labels::{Labels, Value};
pub(crate) use lookup::Borrowed;
#[doc(hidden)]
pub use lookup::{AsLabel, ValueRef};
pub(crate) use registry::Forget;
pub use registry::{METRICS_MAX, Observation, Registry, SERIES_LIMIT};
pub(crate) use series::Instrument;
pub use settings::Settings;
pub use snapshot::{
    BucketCounts, Data, ExponentialBuckets, ExponentialRange, HistogramValue, Metric, Number,
    Point, Snapshot,
};

/// Returns the registry of the process; it lives as long as the process, so its handles outlive
/// any pipeline.
#[inline]
pub fn global() -> &'static Registry {
    static GLOBAL: OnceLock<Registry> = OnceLock::new();
    GLOBAL.get_or_init(Registry::new)
}

#[cfg(test)]
mod tests;
