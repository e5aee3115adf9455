//! What a poll did, and how each measurement fares.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry_core::metric::{Labels, Observation};

/// Reports one poll.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PollReport {
    /// The number of the poll, from 1.
    pub sequence: u64,
    /// How long it took.
    pub duration: Duration,
    /// How many ticks were skipped since the previous poll, because that took longer than the
    /// period or the thread was not run.
    pub missed_ticks: u64,
    /// How many measurements ran.
    pub measured: usize,
    /// How many measurements that failed before wait for their next try.
    pub waiting: usize,
    /// How many values were observed.
    pub observations: usize,
    /// What failed.
    pub failures: Vec<Failure>,
    /// The measurements that failed before and now succeeded.
    pub recovered: Vec<Arc<str>>,
    /// How many times a callback given to [`on_poll`](crate::Builder::on_poll) panicked, in all
    /// polls before this one.
    pub callback_panics: u64,
}

/// Reports a measurement that failed.
///
/// Print it where [`is_first`](Self::is_first) holds: then each cause makes one line, however long
/// it lasts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The name of the measurement.
    pub measurement: Arc<str>,
    /// The error with its sources, or the panic's message; at most 1 KiB.
    pub error: String,
    /// How many times it has failed in a row.
    pub consecutive: u32,
    /// Whether it panicked.
    pub panicked: bool,
}

impl Failure {
    /// Returns whether the measurement worked the time before, or this was its first time.
    pub fn is_first(&self) -> bool {
        self.consecutive == 1
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.panicked { "panicked" } else { "failed" };
        write!(f, "measurement `{}` {how}: {}", self.measurement, self.error)
    }
}

/// A value that a measurement observed the last time it ran.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolledValue {
    /// The name of the metric.
    pub name: Cow<'static, str>,
    /// The attributes of the series.
    pub labels: Labels,
    /// The value.
    pub value: Observation,
    /// When it was observed.
    pub at: Instant,
}

/// Tells how a measurement fares.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MeasurementInfo {
    /// The name of the measurement.
    pub name: Arc<str>,
    /// How many times it ran.
    pub runs: u64,
    /// How many times it failed.
    pub failures: u64,
    /// How many times it has failed since it last worked.
    pub consecutive_failures: u32,
    /// For how many polls it is left out until it is tried again.
    pub waiting_polls: u32,
    /// The last error, also if it has worked since.
    pub last_error: Option<String>,
    /// How many series it observed the last time.
    pub series: usize,
}

impl MeasurementInfo {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            runs: 0,
            failures: 0,
            consecutive_failures: 0,
            waiting_polls: 0,
            last_error: None,
            series: 0,
        }
    }
}
