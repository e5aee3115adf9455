//! Telemetry and structured logging for Rust services: one line gives logs, traces, metrics and
//! process statistics, on the console, in JSON files and to an OpenTelemetry collector.
//!
//! ```no_run
//! fn main() -> Result<(), telemetry_toolkit::Error> {
//!     let telemetry = telemetry_toolkit::init()?;
//!     tracing::info!(port = 8080, "listening");
//!     // …
//!     let report = telemetry.shutdown();
//!     if !report.is_complete() {
//!         println!("{report}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Spans and events are [`tracing`](https://docs.rs/tracing)'s, so libraries that use it are
//! captured unchanged; so are records of the `log` crate and measurements of the `metrics` crate.
//! Your `Cargo.toml` has two lines, `telemetry-toolkit` and `tracing`, because the attribute
//! `#[tracing::instrument]` names the latter.
//!
//! # Defaults
//!
//! | standard error is | console | collector | poller |
//! |---|---|---|---|
//! | a terminal | lines for people on standard error (`pretty`) | off | every 10 s |
//! | the systemd journal (`JOURNAL_STREAM` names it) | lines with a priority and without time on standard error | off | every 10 s |
//! | something else | JSON lines (log events, finished spans, metrics) on standard output, 16 KiB at most each | off | every 10 s |
//!
//! The filter is `info`; metrics are exported every 60 s and at the end. The collector is on as
//! soon as the program or the environment names it.
//!
//! # Environment
//!
//! [`init`] and [`Builder::from_env`] read:
//!
//! | variable | meaning |
//! |---|---|
//! | `RUST_LOG` | filter: `info,app::db=debug,hyper=off,[request{tenant=42}]=trace`; see `docs/filtering.md` |
//! | `TELEMETRY_FILTER_FILE` | a file with a filter, followed while the program runs; it stands above `RUST_LOG` while it is there |
//! | `TELEMETRY_RATE_LIMIT` | how many events a call site may emit, a second and at once: `1000:10000` (the default), with `TARGET=off` and `errors=on` behind it, or `off` |
//! | `TELEMETRY_CONSOLE` | `auto`, `off`, `pretty`, `compact`, `json` or `logfmt`, with `@stdout` or `@stderr` behind it if it is to go there; else JSON and logfmt go to standard output, the others to standard error |
//! | `TELEMETRY_JSON_FILE` | a file to append JSON lines to |
//! | `TELEMETRY_WRITE_THROUGH` | `1`: an event's call returns when console and JSON file have its line |
//! | `TELEMETRY_REDACT` | names of fields to redact, beside those that always are: `iban,session_id` |
//! | `TELEMETRY_INSPECT` | lets `telemetry inspect` look: `auto`, or the path of a Unix socket or of a directory for it |
//! | `TELEMETRY_STRICT` | `1` makes a variable that cannot be used an error instead of a warning |
//! | `OTEL_SERVICE_NAME` | `service.name` |
//! | `OTEL_RESOURCE_ATTRIBUTES` | `key=value,…`, percent-encoded; one that cannot be read discards all |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | base URL of the collector; turns it on for all signals |
//! | `OTEL_EXPORTER_OTLP_{LOGS,TRACES,METRICS}_ENDPOINT` | URL of one signal; turns it on |
//! | `OTEL_EXPORTER_OTLP_[signal_]{PROTOCOL,INSECURE,HEADERS,TIMEOUT,COMPRESSION}` | see the OTLP exporter |
//! | `OTEL_{LOGS,TRACES,METRICS}_EXPORTER` | `otlp` and `console`, separated by a comma, or `none` |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `always_on`, `always_off`, `traceidratio`, also with `parentbased_` |
//! | `OTEL_PROPAGATORS` | `tracecontext` and `baggage`, separated by a comma (the default), or `none` |
//! | `OTEL_METRIC_EXPORT_INTERVAL` | milliseconds between exports of metrics, 60000 by default |
//! | `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION` | `explicit_bucket_histogram` (the default) or `base2_exponential_bucket_histogram`, for histograms that no [`Builder::histogram`] names |
//! | `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` | `cumulative`, the default; nothing else is supported |
//! | `OTEL_LOG_LEVEL` | what the pipeline says about itself on standard error, `info` by default; `none` |
//! | `OTEL_SDK_DISABLED` | `true`: nothing is started, the console included |
//! | `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM` | colours of the console |
//!
//! An empty variable is an unset one. `console` in `OTEL_TRACES_EXPORTER` and
//! `OTEL_METRICS_EXPORTER` decides whether the console shows spans and metrics; log events are on
//! the console unless `TELEMETRY_CONSOLE=off`.
//!
//! # Features
//!
//! `console`, `json`, `otlp-http` and `poller` are on by default. Off are `otlp-grpc` (OTLP over
//! gRPC, too), `receiver` (an OTLP receiver within the process, for tests), `http` (trace context
//! in headers of the `http` crate), `tower` (layers that do that, and a span for every request),
//! `tokio` (tasks that take their context along), `opentelemetry` (code that is written against the
//! crate `opentelemetry`), `opentelemetry_0_32` (for that version, too), `serde` (snapshots) and
//! `layer` (beside the layers of other libraries, on `tracing-subscriber`'s `Registry`).

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod context;
#[cfg(feature = "tokio")]
pub mod task;
pub mod testing;

mod attributes;
mod builder;
mod config;
mod connection;
mod environment;
mod handle;
mod inspect;
#[cfg(feature = "layer")]
mod layer;
#[cfg(feature = "otlp-http")]
mod otlp;
mod metrics;
mod outputs;
mod panic;
mod sampler;
mod setting;
mod start;

pub use builder::Builder;
pub use config::Config;
pub use handle::Telemetry;
#[cfg(unix)]
#[doc(hidden)]
pub use inspect::client;
pub use inspect::{Inspector, SNAPSHOT_BYTES_MAX, Snapshot};
pub use sampler::HeadSampler;
pub use setting::Origin;

pub use telemetry_core::bridge::metrics::Recorder as MetricsRecorder;
pub use telemetry_core::filter::{self, Filter};
pub use telemetry_core::ledger::Report;
pub use telemetry_core::pipeline::{Filters, OnFull, RateLimit, SinkBuilder, TemporaryFilter};
pub use telemetry_core::redaction::{self, Secret};
pub use telemetry_core::resource;
pub use telemetry_core::watch::{Watch, watch};
pub use telemetry_core::{Error, Level, Measured, Sampler, Waits};
pub use telemetry_core::{assert_event, assert_metric, assert_no_event, assert_span_tree};
pub use telemetry_core::{batch, callsite, export, ledger, metric, output, pipeline, record};
pub use telemetry_core::{counter, event, gauge, histogram};

#[cfg(feature = "layer")]
pub use telemetry_core::TelemetryLayer;

#[cfg(feature = "console")]
pub use telemetry_console::{Colours, ConsoleExporter, ConsoleExporterBuilder, Style, Time};
#[cfg(feature = "http")]
pub use telemetry_http::headers;
#[cfg(feature = "tower")]
pub use telemetry_http::tower;
#[cfg(feature = "json")]
pub use telemetry_json::{JsonExporter, JsonExporterBuilder};
#[cfg(feature = "opentelemetry")]
pub use telemetry_opentelemetry as opentelemetry;
#[cfg(feature = "receiver")]
pub use telemetry_otlp::receiver;
#[cfg(feature = "otlp-http")]
pub use telemetry_otlp::{Compression, OtlpBuilder, OtlpExporter, Protocol};
#[cfg(feature = "poller")]
pub use telemetry_poller::{Measure, MeasureError};

/// What most programs need: `use telemetry_toolkit::prelude::*;`.
pub mod prelude {
    pub use crate::export::{Ack, Exporter, Outcome, Signals};
    pub use crate::{Filter, Level, Report, SinkBuilder, Telemetry};
}

/// Returns the settings to start from: defaults by where the output goes, and nothing of the
/// environment before [`Builder::from_env`].
pub fn builder() -> Builder {
    Builder::default()
}

/// Starts telemetry as the environment says, with sensible defaults.
///
/// Keep what it returns until the end of `main`: its drop shuts telemetry down.
///
/// # Errors
///
/// As [`Builder::init`].
pub fn init() -> Result<Telemetry, Error> {
    builder().from_env().init()
}
