//! What was measured inside a capture.
//!
//! # Invariants
//!
//! - A metric that was not measured is absent, and equal to no number: a name that is written wrong
//!   passes no assertion.

use super::capture::Capture;
use super::pattern::put_notes;
use crate::bridge::metrics::Recorder;
use crate::clock;
use crate::metric::{Data, Labels, Metric, Registry, Snapshot};
use crate::tape::Measured;
use std::fmt::Write as _;

pub(super) fn new() -> Measured {
    let registry = Registry::new();
    Measured::new(registry.clone(), Box::new(Recorder::new(registry)))
}

impl Capture {
    /// The metrics that were measured in the capture, through `metrics`' macros or ours.
    ///
    /// A handle measures for whoever it was made for: one that was made before the capture, or
    /// with [`metric::global`](crate::metric::global), measures for the process.
    pub fn metrics(&self) -> Snapshot {
        let measured = self.scope.tape.as_ref().and_then(|tape| tape.measured());
        let registry = measured.map_or_else(Registry::new, |measured| measured.registry().clone());
        registry.snapshot(clock::unix_ns())
    }

    /// The value of a metric: of all its series that have these labels, and maybe others, the sum,
    /// or the value of a gauge; how many values a histogram has. `None` if there is no such series,
    /// or several of a gauge.
    ///
    /// Labels are compared as texts.
    ///
    /// ```
    /// let captured = telemetry_core::testing::capture();
    /// metrics::counter!("jobs", "queue" => "mail", "ok" => "yes").increment(2);
    /// metrics::counter!("jobs", "queue" => "mail", "ok" => "no").increment(1);
    /// assert_eq!(captured.metric("jobs", &[("queue", "mail")]), Some(3.0));
    /// assert_eq!(captured.metric("errors", &[]), None);
    /// ```
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let snapshot = self.metrics();
        let metric = snapshot.metrics.iter().find(|metric| &*metric.name == name)?;
        let values: Vec<f64> = series(metric)
            .filter(|(of_series, _)| has_all(of_series, labels))
            .map(|(_, value)| value)
            .collect();
        let is_sum = !matches!(metric.data, Data::Gauge { .. });
        (values.len() == 1 || (is_sum && !values.is_empty())).then(|| values.iter().sum())
    }

    /// Asserts what the value of a metric is; what [`assert_metric!`](crate::assert_metric!) calls.
    ///
    /// # Panics
    ///
    /// It is another one, or there is none.
    #[track_caller]
    pub fn assert_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        expected: &str,
        is_as_expected: impl FnOnce(f64) -> bool,
    ) {
        let value = self.metric(name, labels);
        if value.is_some_and(is_as_expected) {
            return;
        }
        let found = value.map_or_else(|| "not there".to_owned(), |value| value.to_string());
        let mut text = format!("a captured metric is {found}\n  expected: {name}");
        put_labels(&mut text, labels.iter().copied());
        let _ = write!(text, " {expected}");
        let snapshot = self.metrics();
        let _ = write!(text, "\n  captured ({} metrics):", snapshot.metrics.len());
        for metric in &snapshot.metrics {
            for (labels, value) in series(metric) {
                let _ = write!(text, "\n    {}", metric.name);
                let pairs: Vec<_> =
                    labels.iter().map(|(key, value)| (key, value.to_string())).collect();
                put_labels(&mut text, pairs.iter().map(|(key, value)| (*key, value.as_str())));
                let _ = write!(text, " = {value}");
            }
        }
        put_notes(&mut text, self);
        panic!("{text}");
    }
}

/// Each series of a metric with its value; of a histogram, with how many values it has.
fn series(metric: &Metric) -> Box<dyn Iterator<Item = (&Labels, f64)> + '_> {
    match &metric.data {
        Data::Counter { points } | Data::UpDownCounter { points } | Data::Gauge { points } => {
            Box::new(points.iter().map(|point| (&point.labels, point.value.as_f64())))
        }
        Data::Histogram { points, .. } => {
            Box::new(points.iter().map(|point| (&point.labels, point.value.count as f64)))
        }
        Data::ExponentialHistogram { points } => {
            Box::new(points.iter().map(|point| (&point.labels, point.value.count as f64)))
        }
    }
}

fn has_all(labels: &Labels, wanted: &[(&str, &str)]) -> bool {
    let has =
        |key: &str, text: &str| labels.get(key).is_some_and(|value| value.to_string() == text);
    wanted.iter().all(|(key, text)| has(key, text))
}

fn put_labels<'a>(text: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    let labels: Vec<_> = labels.map(|(key, value)| format!("{key} = {value:?}")).collect();
    if !labels.is_empty() {
        let _ = write!(text, "{{{}}}", labels.join(", "));
    }
}

/// Asserts what the value of a metric is that was measured in a capture.
///
/// The labels choose the series: those that have them, and maybe others. Of a counter or an up-down
/// counter it is their sum, of a gauge the value (there may be one series only), of a histogram how
/// many values were recorded. Any comparison will do.
///
/// ```
/// use telemetry_core::{assert_metric, testing};
///
/// let captured = testing::capture();
/// metrics::counter!("http.requests", "method" => "GET", "code" => "200").increment(2);
/// telemetry_core::counter!("http.requests", "method" => "GET", "code" => "404").add(1);
/// metrics::histogram!("http.duration").record(0.25);
///
/// assert_metric!(captured, "http.requests"{method = "GET"} == 3);
/// assert_metric!(captured, "http.requests"{method = "GET", code = 404} == 1);
/// assert_metric!(captured, "http.duration" >= 1);
/// ```
#[macro_export]
macro_rules! assert_metric {
    ($captured:expr, $name:literal { $($($key:ident).+ = $value:expr),* $(,)? }
        $comparison:tt $expected:expr $(,)?) => {
        $captured.assert_metric(
            $name,
            &[$((::core::stringify!($($key).+), $value.to_string().as_str())),*],
            &::std::format!("{} {:?}", ::core::stringify!($comparison), $expected),
            |value| value $comparison ($expected) as f64,
        )
    };
    ($captured:expr, $name:literal $comparison:tt $expected:expr $(,)?) => {
        $crate::assert_metric!($captured, $name {} $comparison $expected)
    };
}
