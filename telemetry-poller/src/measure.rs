//! One measurement: what it observes, and what happens when it cannot.
//!
//! # Invariants
//!
//! - What a run observed is written after it succeeded; a failed run writes nothing.
//! - A series that the last successful run did not observe is removed, and all of them when a run
//!   fails: what is not known is absent.
//! - After `n` failures in a row it is left out of `2^(n - 1) - 1` polls, at most 63.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use telemetry_core::metric::{Labels, Observation, Registry};

use crate::report::{Failure, MeasurementInfo, PolledValue};
use crate::schedule::now;

/// What a measurement may fail with: `?` turns any error into it.
pub type MeasureError = Box<dyn StdError + Send + Sync>;

pub(crate) type Run = Box<dyn FnMut(&mut Measure) -> Result<(), MeasureError> + Send>;

/// Most doublings of the wait: 64 polls, about ten minutes by default.
const DOUBLINGS_MAX: u32 = 6;

/// Longest error text that is kept, in characters.
const ERROR_CHARS_MAX: usize = 1024;

/// Most values of a measurement that are kept to be looked at.
const VALUES_MAX: usize = 64;

type SeriesKey = (Cow<'static, str>, Labels);

/// Takes what a measurement observes.
///
/// Observe the whole state in every run: a series that is left out is removed. The values are
/// those of the asynchronous instruments of OpenTelemetry: current totals, not differences.
///
/// ```
/// # use telemetry_core::metric::Registry;
/// # use telemetry_poller::Poller;
/// # let registry = Registry::new();
/// let poller = Poller::builder()
///     .registry(registry.clone())
///     .process(false)
///     .measure("motd", |measure| {
///         let text = std::fs::metadata("/nonexistent/motd")?;
///         measure.gauge("motd.size", (), text.len() as f64);
///         Ok(())
///     })
///     .start()?;
/// let report = poller.poll_now()?;
/// assert_eq!(report.failures[0].measurement.as_ref(), "motd");
/// assert_eq!(registry.snapshot(0).points(), 0, "not 0, but absent");
/// # Ok::<(), telemetry_poller::Error>(())
/// ```
#[derive(Debug)]
pub struct Measure {
    registry: Registry,
    observed: Vec<(Cow<'static, str>, Labels, Observation)>,
}

impl Measure {
    /// Observes the total of something that never goes down.
    pub fn counter(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: impl Into<Labels>,
        total: u64,
    ) {
        self.observe(name, labels, Observation::Counter(total));
    }

    /// Observes a total that is not whole: seconds. Values that are not finite are left out.
    pub fn counter_f64(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: impl Into<Labels>,
        total: f64,
    ) {
        self.observe(name, labels, Observation::CounterF64(total));
    }

    /// Observes how many there are of something that comes and goes.
    pub fn up_down_counter(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: impl Into<Labels>,
        value: i64,
    ) {
        self.observe(name, labels, Observation::UpDownCounter(value));
    }

    /// Observes a value that is not added up. Values that are not finite are left out.
    pub fn gauge(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: impl Into<Labels>,
        value: f64,
    ) {
        self.observe(name, labels, Observation::Gauge(value));
    }

    /// Returns the registry, for histograms and descriptions.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn observe(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: impl Into<Labels>,
        observation: Observation,
    ) {
        self.observed.push((name.into(), labels.into(), observation));
    }
}

/// A measurement and its history.
pub(crate) struct Measurement {
    pub(crate) info: MeasurementInfo,
    run: Run,
    /// What the last run observed.
    series: BTreeSet<SeriesKey>,
    /// The first values of it.
    values: Vec<PolledValue>,
}

impl Measurement {
    pub(crate) fn new(name: &str, run: Run) -> Self {
        Self { info: MeasurementInfo::new(name), run, series: BTreeSet::new(), values: Vec::new() }
    }

    /// Returns what the last run observed, if that succeeded.
    pub(crate) fn values(&self) -> &[PolledValue] {
        &self.values
    }

    /// Returns whether it has to wait, and counts this poll as waited.
    pub(crate) fn waits(&mut self) -> bool {
        let waits = self.info.waiting_polls > 0;
        self.info.waiting_polls = self.info.waiting_polls.saturating_sub(1);
        waits
    }

    /// Runs it, and returns how many values it observed.
    pub(crate) fn poll(&mut self, registry: &Registry) -> Result<usize, Failure> {
        self.info.runs += 1;
        let mut measure = Measure { registry: registry.clone(), observed: Vec::new() };
        // The error is made text inside: its `Display` is the user's code too. A closure that
        // panicked may have left its own state half changed; ours is not touched by it.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (self.run)(&mut measure).map_err(|error| describe(&*error))
        }));
        let (error, panicked) = match outcome {
            Ok(Ok(())) => return Ok(self.succeed(registry, measure)),
            Ok(Err(error)) => (error, false),
            Err(payload) => (panic_text(payload), true),
        };
        self.fail(registry, &error);
        let consecutive = self.info.consecutive_failures;
        Err(Failure { measurement: self.info.name.clone(), error, consecutive, panicked })
    }

    fn succeed(&mut self, registry: &Registry, measure: Measure) -> usize {
        let observations = measure.observed.len();
        let mut series = BTreeSet::new();
        self.values.clear();
        let at = now();
        for (name, labels, observation) in measure.observed {
            registry.observe(&name, &labels, observation);
            if !is_finite(observation) {
                continue;
            }
            if self.values.len() < VALUES_MAX {
                let (name, labels) = (name.clone(), labels.clone());
                self.values.push(PolledValue { name, labels, value: observation, at });
            }
            series.insert((name, labels));
        }
        self.replace_series(registry, series);
        self.info.consecutive_failures = 0;
        self.info.waiting_polls = 0;
        observations
    }

    fn fail(&mut self, registry: &Registry, error: &str) {
        self.replace_series(registry, BTreeSet::new());
        self.values.clear();
        let info = &mut self.info;
        info.failures += 1;
        info.waiting_polls = (1 << info.consecutive_failures.min(DOUBLINGS_MAX)) - 1;
        info.consecutive_failures = info.consecutive_failures.saturating_add(1);
        info.last_error = Some(error.to_owned());
    }

    fn replace_series(&mut self, registry: &Registry, series: BTreeSet<SeriesKey>) {
        for (name, labels) in self.series.difference(&series) {
            registry.remove(name, labels);
        }
        self.info.series = series.len();
        self.series = series;
    }
}

fn is_finite(observation: Observation) -> bool {
    match observation {
        Observation::CounterF64(value) | Observation::Gauge(value) => value.is_finite(),
        _ => true,
    }
}

/// Writes `error` and what it comes from, as one text.
fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source
        && text.len() < ERROR_CHARS_MAX
    {
        // Writing into a `String` cannot fail; a `Display` that says so ends its own part only.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text.chars().take(ERROR_CHARS_MAX).collect()
}

pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    // A payload of a type of the user's may panic once more when it is dropped.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text.map_or("no message".to_owned(), |text| text.chars().take(ERROR_CHARS_MAX).collect())
}
