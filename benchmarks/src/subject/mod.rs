//! The libraries under measurement, one module each, behind one trait.
//!
//! # Invariants
//!
//! - A subject writes into the same kind of sink, with the same content, as every other.
//! - `emit` does only what a caller of the library does; waiting is `settle`'s.

mod emit_file;
mod fastrace;
mod ftlog;
mod log_session;
mod logforth;
mod otel_log_bridge;
mod otel_sdk;
mod ours;
mod registry;
mod slog_async;
mod subscriber_fmt;
mod subscriber_json;
mod subscriber_json_sync;
mod tracing_off;
mod tracing_opentelemetry;

use std::path::PathBuf;

use tracing_subscriber::filter::Targets;

use self::log_session::LogSession;

use crate::workload::{FILTER, Op};
use crate::{Options, Result};

/// What a subject is installed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Call-site cost: file sinks hold 256 KiB and start again at 64 MiB; network exporters are
    /// no-ops behind their real queue.
    CallSite,
    /// Everything goes to `Setup::json_file`, one JSON object a line.
    File,
    /// Logs go to `Setup::endpoint` over OTLP HTTP, with default settings.
    OtlpLogs,
    /// Spans go to `Setup::endpoint` over OTLP HTTP, with default settings.
    OtlpSpans,
    /// What is kept in memory: `Setup::json_file`, with default settings.
    Memory,
    /// Everything goes to `Setup::json_file`, set up as the library's own documentation shows.
    Loss,
    /// Console on stderr, `Setup::json_file` and OTLP at once, with default settings.
    Idle,
}

impl Purpose {
    const ALL: [(Purpose, &str); 7] = [
        (Purpose::CallSite, "callsite"),
        (Purpose::File, "file"),
        (Purpose::OtlpLogs, "otlp-logs"),
        (Purpose::OtlpSpans, "otlp-spans"),
        (Purpose::Memory, "memory"),
        (Purpose::Loss, "loss"),
        (Purpose::Idle, "idle"),
    ];

    /// Does everything go into files?
    fn is_of_files(self) -> bool {
        matches!(self, Self::CallSite | Self::File | Self::Loss)
    }

    /// The word for it between parent and child.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(purpose, _)| *purpose == self).map_or("", |(_, word)| word)
    }

    /// Finds a purpose by its word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(purpose, _)| *purpose)
    }
}

/// What a subject needs to know before it installs itself.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// What it is installed for.
    pub(crate) purpose: Purpose,
    /// A directory of its own.
    pub(crate) dir: PathBuf,
    /// The receiver, such as `http://127.0.0.1:4318`, without a path.
    pub(crate) endpoint: Option<String>,
}

impl Setup {
    /// Where JSON lines go.
    pub(crate) fn json_file(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// The receiver's address.
    ///
    /// # Errors
    ///
    /// Fails where the parent named none.
    pub(crate) fn endpoint(&self) -> Result<&str> {
        Ok(self.endpoint.as_deref().ok_or("this purpose needs an endpoint")?)
    }
}

/// One library under measurement.
pub(crate) trait Subject: Sync {
    /// The name in tables and files.
    fn name(&self) -> &'static str;

    /// The version in `Cargo.lock`.
    fn version(&self) -> String;

    /// Whether this is the project's own library: measured without `--peers`.
    fn is_ours(&self) -> bool {
        false
    }

    /// Whether it writes to the very path it is given; else it makes up names.
    fn writes_where_it_is_told(&self) -> bool {
        true
    }

    /// Whether it takes part where it is installed for `purpose` and repeats `op`.
    fn runs(&self, purpose: Purpose, op: Op) -> bool;

    /// Installs it for this process; called once.
    ///
    /// # Errors
    ///
    /// The text is shown and the subject left out.
    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>>;
}

/// An installed subject.
pub(crate) trait Session: Sync {
    /// Repeats `op` on the calling thread through [`hot_loop`](crate::workload::hot_loop); any
    /// thread may call it.
    fn emit(&self, op: Op, ops: u64);

    /// Returns when everything emitted so far has left the queues of this process.
    fn settle(&self);

    /// Shuts down; afterwards everything accepted is in the file or at the receiver.
    fn finish(self: Box<Self>) -> Outcome;
}

/// What a subject says about a run when it is shut down.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Time callers were made to wait for room, where the subject counts it.
    pub(crate) blocked_ms: Option<f64>,
    /// Records that it says it lost, where it says so.
    pub(crate) counted_lost: Option<u64>,
}

/// Every subject, ours first.
pub(crate) fn all() -> &'static [&'static dyn Subject] {
    &[
        &ours::Ours::Tracing,
        &ours::Ours::EventMacro,
        &ours::Ours::Limited,
        &ours::Ours::Layer,
        &ours::Ours::WriteThrough,
        &tracing_off::TracingOff,
        &registry::TracingRegistry,
        &subscriber_json::SubscriberJson,
        &subscriber_fmt::SubscriberFmt,
        &subscriber_json_sync::SubscriberJsonSync,
        &slog_async::SlogAsync,
        &logforth::Logforth,
        &emit_file::EmitFile,
        &ftlog::Ftlog,
        &fastrace::Fastrace,
        &otel_sdk::OtelSdk,
        &tracing_opentelemetry::TracingOpenTelemetry::Default,
        &tracing_opentelemetry::TracingOpenTelemetry::LargeQueue,
        &otel_log_bridge::OtelLogBridge::Default,
        &otel_log_bridge::OtelLogBridge::LargeQueue,
    ]
}

/// Finds a subject by its name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Subject> {
    all().iter().copied().find(|subject| subject.name() == name)
}

/// The subjects the options ask for that take part.
pub(crate) fn chosen(options: &Options, purpose: Purpose, ops: &[Op]) -> Vec<&'static dyn Subject> {
    let asked = |subject: &dyn Subject| {
        if options.subjects.is_empty() {
            options.peers || subject.is_ours()
        } else {
            options.subjects.iter().any(|name| name == subject.name())
        }
    };
    let takes_part = |subject: &dyn Subject| ops.iter().any(|op| subject.runs(purpose, *op));
    all().iter().copied().filter(|subject| asked(*subject) && takes_part(*subject)).collect()
}

/// The version of `package` in the lock file this was built with.
pub(crate) fn locked_version(package: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}

/// The filter of every subscriber here, as a layer.
fn targets() -> Result<Targets> {
    Ok(FILTER.parse()?)
}
