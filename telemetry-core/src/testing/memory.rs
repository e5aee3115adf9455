//! An exporter that keeps what it gets in memory.
//!
//! # Invariants
//!
//! - Everything is kept in the order of its arrival until it is taken; there is no bound, so it is
//!   for tests only.

use crate::batch::{Batch, Record, SpanView};
use crate::export::{Ack, Exporter, Outcome, Signals};
use crate::level::Level;
use crate::metric::Snapshot;
use crate::propagation::{SpanId, TraceFlags, TraceId, TraceState};
use crate::record::{Field, Kind, Value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A field's value, owned.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OwnedValue {
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A signed 128-bit integer.
    I128(i128),
    /// An unsigned 128-bit integer.
    U128(u128),
    /// A float.
    F64(f64),
    /// A boolean.
    Bool(bool),
    /// A text, given or formatted.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An error and its sources.
    Error(Vec<String>),
}

impl OwnedValue {
    /// The value, if it is an integer of any type that fits.
    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Self::I64(value) => Some((*value).into()),
            Self::U64(value) => Some((*value).into()),
            Self::I128(value) => Some(*value),
            Self::U128(value) => i128::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The value, if it is a text, given or formatted.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value, if it is a float.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F64(value) => Some(*value),
            _ => None,
        }
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::I64(value) => Self::I64(value),
            Value::U64(value) => Self::U64(value),
            Value::I128(value) => Self::I128(value),
            Value::U128(value) => Self::U128(value),
            Value::F64(value) => Self::F64(value),
            Value::Bool(value) => Self::Bool(value),
            Value::Str(value) | Value::Formatted(value) => Self::Text(value.to_owned()),
            Value::Bytes(value) => Self::Bytes(value.to_vec()),
            Value::Error(chain) => Self::Error(chain.map(str::to_owned).collect()),
        }
    }
}

/// A span around a captured record, or a finished one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CapturedSpan {
    /// The name.
    pub name: String,
    /// The id.
    pub span_id: Option<SpanId>,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The parent's id.
    pub parent_id: Option<SpanId>,
    /// Does the parent belong to another process?
    pub has_remote_parent: bool,
    /// The state of its trace.
    pub trace_state: TraceState,
    /// The fields.
    pub fields: Vec<(String, OwnedValue)>,
    /// The spans it follows from.
    pub links: Vec<(TraceId, SpanId)>,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
}

/// An event or a finished span.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CapturedRecord {
    /// [`Kind::Event`] or [`Kind::SpanClose`].
    pub kind: Kind,
    /// The level.
    pub level: Level,
    /// The target.
    pub target: String,
    /// The event's or span's name.
    pub name: String,
    /// The source file, where it is known.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The fields, in order.
    pub fields: Vec<(String, OwnedValue)>,
    /// The trace.
    pub trace_id: Option<TraceId>,
    /// The trace's flags.
    pub trace_flags: TraceFlags,
    /// The span that it is in, or is.
    pub span_id: Option<SpanId>,
    /// The spans around it, innermost first; of a finished span, itself first.
    pub spans: Vec<CapturedSpan>,
    /// When it happened or ended, in nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// How long a finished span was open, in nanoseconds.
    pub duration_ns: u64,
    /// Was something cut?
    pub cut: bool,
}

impl CapturedRecord {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self {
            kind: record.kind(),
            level: record.level(),
            target: record.target().to_owned(),
            name: record.name().to_owned(),
            file: record.file().map(str::to_owned),
            line: record.line(),
            fields: owned(record.fields()),
            trace_id: record.trace_id(),
            trace_flags: record.trace_flags(),
            span_id: record.span_id(),
            spans: std::iter::successors(record.span(), SpanView::parent)
                .map(|span| CapturedSpan {
                    name: span.name().to_owned(),
                    span_id: span.span_id(),
                    trace_id: span.trace_id(),
                    parent_id: span.parent_id(),
                    has_remote_parent: span.has_remote_parent(),
                    trace_state: span.trace_state().clone(),
                    fields: owned(span.fields()),
                    links: span.links().collect(),
                    start_unix_ns: span.start_unix_ns(),
                })
                .collect(),
            unix_ns: record.unix_ns(),
            duration_ns: record.duration_ns(),
            cut: record.is_cut(),
        }
    }

    /// The value of a field, the last one if it was given twice.
    pub fn field(&self, key: &str) -> Option<&OwnedValue> {
        self.fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The message.
    pub fn message(&self) -> Option<&str> {
        self.field("message").and_then(OwnedValue::as_str)
    }

    /// The names of the spans around it, the outermost first: `request > query`.
    pub fn span_path(&self) -> String {
        let names: Vec<_> = self.spans.iter().rev().map(|span| span.name.as_str()).collect();
        names.join(" > ")
    }

    /// How long a finished span was open; zero for an event.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns)
    }

    /// The name, if somebody chose it: `tracing` calls other events `event file:line`, and records
    /// of the `log` crate have none.
    pub(super) fn chosen_name(&self) -> Option<&str> {
        let is_given = !self.name.starts_with("event ") && self.name != "log record";
        (self.kind == Kind::SpanClose || is_given).then_some(self.name.as_str())
    }
}

fn owned<'a>(fields: impl Iterator<Item = Field<'a>>) -> Vec<(String, OwnedValue)> {
    fields.map(|field| (field.key.to_owned(), field.value.into())).collect()
}

#[derive(Debug, Default)]
struct Kept {
    records: Vec<CapturedRecord>,
    snapshots: Vec<Arc<Snapshot>>,
}

/// Keeps everything it gets; its clones share it.
///
/// ```
/// use telemetry_core::pipeline::{Pipeline, SinkBuilder};
/// use telemetry_core::testing::MemoryExporter;
/// use std::time::Duration;
///
/// let memory = MemoryExporter::new("memory");
/// let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).scoped()?;
/// pipeline.run(|| tracing::info!(port = 8080, "listening"));
/// pipeline.flush(Duration::from_secs(5))?;
/// assert_eq!(memory.records()[0].message(), Some("listening"));
/// # Ok::<(), telemetry_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryExporter {
    name: String,
    signals: Signals,
    kept: Arc<Mutex<Kept>>,
}

impl MemoryExporter {
    /// An exporter of all signals with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), signals: Signals::ALL, kept: Arc::default() }
    }

    /// The exporter for these signals only.
    #[must_use]
    pub fn signals_only(mut self, signals: Signals) -> Self {
        self.signals = signals;
        self
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has arrived: events and finished spans.
    pub fn records(&self) -> Vec<CapturedRecord> {
        self.kept().records.clone()
    }

    /// The events that have arrived.
    pub fn events(&self) -> Vec<CapturedRecord> {
        self.of_kind(Kind::Event)
    }

    /// The finished spans that have arrived.
    pub fn spans(&self) -> Vec<CapturedRecord> {
        self.of_kind(Kind::SpanClose)
    }

    fn of_kind(&self, kind: Kind) -> Vec<CapturedRecord> {
        self.records().into_iter().filter(|record| record.kind == kind).collect()
    }

    /// The readings of the metrics that have arrived.
    pub fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.kept().snapshots.clone()
    }
}

impl Exporter for MemoryExporter {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> Signals {
        self.signals
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        let captured: Vec<_> = batch.records().map(|record| CapturedRecord::of(&record)).collect();
        self.kept().records.extend(captured);
        ack.finish(Outcome::Delivered);
    }

    fn metrics(&mut self, snapshot: &Arc<Snapshot>, ack: Ack) {
        self.kept().snapshots.push(Arc::clone(snapshot));
        ack.finish(Outcome::Delivered);
    }
}
