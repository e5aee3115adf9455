//! Batches made by hand, for tests of exporters.

use crate::batch::{Batch, Builder, NO_SPAN, SpanData};
use crate::callsite::{self, Callsite, Decision, Description, Verdict};
use crate::clock::Anchor;
use crate::ledger::Signal;
use crate::level::Level;
use crate::propagation::TraceState;
use crate::record::{Header, Kind, RawRecord, Writer, flag};
use std::sync::Arc;

/// Builds a batch record by record; times are nanoseconds since the Unix epoch. Fields are redacted
/// by their names, as at a call site.
///
/// ```
/// use telemetry_core::testing::BatchFixture;
/// use telemetry_core::Level;
///
/// let mut fixture = BatchFixture::new();
/// let span = fixture.span("request", Level::Info, &["method"], None, 5, |w| w.str(0, "GET"));
/// fixture.event("app", Level::Warn, &["message", "n"], Some(span), 7, |w| {
///     w.str(0, "slow");
///     w.u64(1, 3);
/// });
/// fixture.close(span, 9);
/// let batch = fixture.finish();
/// assert_eq!(batch.records().count(), 2);
/// ```
#[derive(Debug)]
pub struct BatchFixture {
    builder: Builder,
    trace_state: TraceState,
    spans: Vec<(Arc<SpanData>, u32)>,
}

/// A span of a [`BatchFixture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanHandle(usize);

impl Default for BatchFixture {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchFixture {
    /// An empty batch.
    pub fn new() -> Self {
        let builder = Builder::new(1, Anchor::nanoseconds());
        Self { builder, trace_state: TraceState::default(), spans: Vec::new() }
    }

    /// Sets the state of the traces of all spans from here on.
    pub fn trace_state(&mut self, state: TraceState) {
        self.trace_state = state;
    }

    fn callsite(
        span: bool,
        name: &str,
        target: &str,
        level: Level,
        fields: &[&str],
    ) -> &'static Callsite {
        let description = Description {
            span,
            level,
            name: name.to_owned(),
            target: target.to_owned(),
            module: Some(target.to_owned()),
            file: Some("src/fixture.rs".to_owned()),
            line: Some(7),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            measurements: 0,
            named: false,
        };
        let decision = Decision::of(1, 1, Level::Info);
        let verdict = Verdict { decision, ..Verdict::NOBODY };
        callsite::register(description, |callsite| callsite.decide(verdict))
    }

    /// Opens a span. Its ids are counted up: the first span is 1 in trace 1, and so on.
    pub fn span(
        &mut self,
        name: &str,
        level: Level,
        fields: &[&str],
        parent: Option<SpanHandle>,
        unix_ns: u64,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> SpanHandle {
        let callsite = Self::callsite(true, name, "fixture", level, fields);
        let span_id = self.spans.len() as u64 + 1;
        let parent_entry = parent.map(|parent| &self.spans[parent.0]);
        let header = Header {
            kind: Kind::SpanStart,
            flags: flag::SAMPLED,
            epoch: 1,
            callsite: callsite.id(),
            sinks: 1,
            ticks: unix_ns,
            trace_high: 0,
            trace_low: parent_entry.map_or(span_id, |(data, _)| data.trace_id as u64),
            span_id,
        };
        let parent_id = parent_entry.map_or(0, |(data, _)| data.span_id);
        let bytes = Writer::to_vec(&header, |writer| {
            writer.leading_u64(parent_id);
            writer.redact(callsite.redacted());
            write(writer);
        });
        let fields = RawRecord::first(&bytes).map(|record| record.fields().bytes());
        let data = Arc::new(SpanData {
            callsite: callsite.id(),
            flags: header.flags,
            trace_id: u128::from(header.trace_low),
            span_id,
            parent_id,
            trace_state: self.trace_state.clone(),
            start_ticks: unix_ns,
            start_unix_ns: unix_ns,
            fields: fields.unwrap_or_default().into(),
            links: Vec::new(),
        });
        let parent_index = parent_entry.map_or(NO_SPAN, |(_, index)| *index);
        let index = self.builder.push_span(Arc::clone(&data), parent_index);
        self.spans.push((data, index));
        SpanHandle(self.spans.len() - 1)
    }

    /// Adds an event.
    pub fn event(
        &mut self,
        target: &str,
        level: Level,
        fields: &[&str],
        span: Option<SpanHandle>,
        unix_ns: u64,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        let callsite = Self::callsite(false, "event", target, level, fields);
        self.push(Kind::Event, callsite, span, unix_ns, write);
    }

    /// Adds an event whose target and place stand in the record, as the `log` bridge does.
    pub fn log_event(
        &mut self,
        target: &str,
        level: Level,
        message: &str,
        key_values: &[(&str, &dyn crate::record::Encode)],
        unix_ns: u64,
    ) {
        let callsite = Self::callsite(false, "log record", "log", level, &["message"]);
        self.push(Kind::Event, callsite, None, unix_ns, |writer| {
            writer.origin(target, "module::path", "src/log.rs", 3);
            writer.str(0, message);
            for (key, value) in key_values {
                writer.inline(key, *value);
            }
        });
    }

    /// Ends a span.
    pub fn close(&mut self, span: SpanHandle, unix_ns: u64) {
        let Some(callsite) = callsite::by_id(self.spans[span.0].0.callsite) else { return };
        self.push(Kind::SpanClose, callsite, Some(span), unix_ns, |_| {});
    }

    fn push(
        &mut self,
        kind: Kind,
        callsite: &Callsite,
        span: Option<SpanHandle>,
        unix_ns: u64,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        let span = span.map(|span| &self.spans[span.0]);
        let header = Header {
            kind,
            flags: if span.is_some() { flag::SAMPLED } else { 0 },
            epoch: 1,
            callsite: callsite.id(),
            sinks: 1,
            ticks: unix_ns,
            trace_high: 0,
            trace_low: span.map_or(0, |(data, _)| data.trace_id as u64),
            span_id: span.map_or(0, |(data, _)| data.span_id),
        };
        let signal = if kind == Kind::Event { Signal::Log } else { Signal::Span };
        let index = span.map_or(NO_SPAN, |(_, index)| *index);
        let bytes = Writer::to_vec(&header, |writer| {
            writer.redact(callsite.redacted());
            write(writer);
        });
        if let Some(record) = RawRecord::first(&bytes) {
            self.builder.push(record, index, 1, signal);
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        Batch::new(Arc::new(self.builder.finish()), 0)
    }
}
