//! The libraries under measurement, with the same metrics, labels and values each.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use telemetry_toolkit::metric::{self, Buckets, Labels};
use telemetry_toolkit::{counter, histogram};

use super::Op;
use crate::Result;
use crate::workload::hot_loop;

/// Repeats an operation on the calling thread.
pub(crate) type Measuring = dyn Fn(Op, u64) + Sync;

/// One library, or one way into it.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The name in tables and files.
    pub(crate) name: &'static str,
    /// The package whose version is shown.
    pub(crate) package: &'static str,
    /// Is it measured without `--peers`?
    pub(crate) is_ours: bool,
    only: &'static [Op],
    /// Installs it for this process.
    pub(crate) install: fn() -> Result<Box<Measuring>>,
}

impl Subject {
    /// Does it take part in this case?
    pub(crate) fn runs(&self, op: Op) -> bool {
        self.only.is_empty() || self.only.contains(&op)
    }
}

/// Every subject, ours first.
pub(crate) static SUBJECTS: [Subject; 5] = [
    Subject {
        name: "telemetry",
        package: "telemetry-toolkit",
        is_ours: true,
        only: &[],
        install: telemetry,
    },
    Subject {
        name: "telemetry-exponential",
        package: "telemetry-toolkit",
        is_ours: true,
        only: &[Op::HistogramBound, Op::HistogramLiteral],
        install: telemetry_exponential,
    },
    Subject {
        name: "telemetry-by-metrics",
        package: "telemetry-toolkit",
        is_ours: true,
        only: &[],
        install: telemetry_by_metrics,
    },
    Subject {
        name: "metrics-prometheus",
        package: "metrics",
        is_ours: false,
        only: &[],
        install: prometheus,
    },
    Subject {
        name: "opentelemetry-sdk",
        package: "opentelemetry_sdk",
        is_ours: false,
        only: &[],
        install: opentelemetry,
    },
];

/// What is recorded: durations from 0 to 1 s.
#[inline(always)]
fn value(i: u64) -> f64 {
    (i % 1_000) as f64 * 0.001
}

fn routes() -> Vec<String> {
    (0..16).map(|n| format!("/users/{n}/orders")).collect()
}

fn start(buckets: Option<Buckets>) -> Result<()> {
    let mut builder = telemetry_toolkit::builder().no_console().poller(false);
    if let Some(buckets) = buckets {
        builder = builder.histogram("*", buckets);
    }
    // Until the process ends.
    std::mem::forget(builder.init()?);
    metric::global().describe("histogram.bound", "s", "");
    metric::global().describe("histogram.literal", "s", "");
    Ok(())
}

fn telemetry() -> Result<Box<Measuring>> {
    start(None)?;
    Ok(ours())
}

fn telemetry_exponential() -> Result<Box<Measuring>> {
    start(Some(Buckets::exponential()))?;
    Ok(ours())
}

fn ours() -> Box<Measuring> {
    let labels = Labels::from([("method", "GET"), ("route", "/users")]);
    let counter = metric::global().counter("counter.bound", &labels);
    let gauge = metric::global().gauge("gauge.bound", &labels);
    let histogram = metric::global().histogram("histogram.bound", &labels);
    let routes = routes();
    Box::new(move |op, ops| match op {
        Op::CounterBound => hot_loop(ops, |_| counter.add(1)),
        Op::CounterLiteral => hot_loop(ops, |_| {
            counter!("counter.literal", "method" => "GET", "route" => "/users").add(1);
        }),
        Op::CounterLabelled => hot_loop(ops, |i| {
            let route = &routes[i as usize % routes.len()];
            counter!("counter.labelled", "method" => "GET", "route" => route).add(1);
        }),
        Op::GaugeBound => hot_loop(ops, |i| gauge.set(value(i))),
        Op::HistogramBound => hot_loop(ops, |i| histogram.record(value(i))),
        Op::HistogramLiteral => hot_loop(ops, |i| {
            histogram!("histogram.literal", "method" => "GET", "route" => "/users")
                .record(value(i));
        }),
    })
}

fn telemetry_by_metrics() -> Result<Box<Measuring>> {
    start(None)?;
    Ok(by_metrics())
}

fn prometheus() -> Result<Box<Measuring>> {
    PrometheusBuilder::new().install_recorder()?;
    Ok(by_metrics())
}

fn by_metrics() -> Box<Measuring> {
    let counter = metrics::counter!("counter.bound", "method" => "GET", "route" => "/users");
    let gauge = metrics::gauge!("gauge.bound", "method" => "GET", "route" => "/users");
    let histogram = metrics::histogram!("histogram.bound", "method" => "GET", "route" => "/users");
    let routes = routes();
    Box::new(move |op, ops| match op {
        Op::CounterBound => hot_loop(ops, |_| counter.increment(1)),
        Op::CounterLiteral => hot_loop(ops, |_| {
            metrics::counter!("counter.literal", "method" => "GET", "route" => "/users")
                .increment(1);
        }),
        Op::CounterLabelled => hot_loop(ops, |i| {
            let route = &routes[i as usize % routes.len()];
            metrics::counter!("counter.labelled", "method" => "GET", "route" => route.clone())
                .increment(1);
        }),
        Op::GaugeBound => hot_loop(ops, |i| gauge.set(value(i))),
        Op::HistogramBound => hot_loop(ops, |i| histogram.record(value(i))),
        Op::HistogramLiteral => hot_loop(ops, |i| {
            metrics::histogram!("histogram.literal", "method" => "GET", "route" => "/users")
                .record(value(i));
        }),
    })
}

/// Takes what it gets and drops it.
struct Nowhere;

impl PushMetricExporter for Nowhere {
    async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn opentelemetry() -> Result<Box<Measuring>> {
    let hour = Duration::from_secs(3_600);
    let reader = PeriodicReader::builder(Nowhere).with_interval(hour).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let measuring = by_opentelemetry(&provider.meter("benchmarks"));
    std::mem::forget(provider);
    Ok(measuring)
}

fn by_opentelemetry(meter: &Meter) -> Box<Measuring> {
    let labels = || [KeyValue::new("method", "GET"), KeyValue::new("route", "/users")];
    let counter = meter.u64_counter("counter").build();
    let labelled = meter.u64_counter("counter.labelled").build();
    let histogram = meter.f64_histogram("histogram").build();
    let bound = counter.bind(&labels());
    let gauge_bound = meter.f64_gauge("gauge").build().bind(&labels());
    let histogram_bound = histogram.bind(&labels());
    let routes = routes();
    Box::new(move |op, ops| match op {
        Op::CounterBound => hot_loop(ops, |_| bound.add(1)),
        Op::CounterLiteral => hot_loop(ops, |_| counter.add(1, &labels())),
        Op::CounterLabelled => hot_loop(ops, |i| {
            let route = routes[i as usize % routes.len()].clone();
            labelled.add(1, &[KeyValue::new("method", "GET"), KeyValue::new("route", route)]);
        }),
        Op::GaugeBound => hot_loop(ops, |i| gauge_bound.record(value(i))),
        Op::HistogramBound => hot_loop(ops, |i| histogram_bound.record(value(i))),
        Op::HistogramLiteral => hot_loop(ops, |i| histogram.record(value(i), &labels())),
    })
}
