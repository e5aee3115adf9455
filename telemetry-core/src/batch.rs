//! What exporters get: an immutable run of records with the spans they are inside.
//!
//! # Invariants
//!
//! - A batch never changes; clones share it.
//! - The span section holds, for every record inside a span, the span's fields as of that record,
//!   and up to [`SPAN_DEPTH_MAX`] ancestors; a span whose fields change within the batch has one
//!   entry per version.
//! - A batch is seen through one exporter's eyes: records that it does not want are left out.
//! - Records of one thread keep their order; records of several are ordered by ticks.

use crate::callsite::{self, Callsite};
use crate::clock::Anchor;
use crate::ledger::{Signal, Units};
use crate::level::Level;
use crate::propagation::{SpanId, TraceFlags, TraceId, TraceState};
use crate::record::{Fields, Kind, Origin, RawRecord, Value, flag};
use std::fmt;
use std::sync::Arc;

/// How many spans around a record a batch holds, the innermost included.
pub const SPAN_DEPTH_MAX: usize = 32;

/// No entry of the span section.
pub(crate) const NO_SPAN: u32 = u32::MAX;

/// A span as of one version of its fields.
#[derive(Debug)]
pub(crate) struct SpanData {
    pub(crate) callsite: u32,
    pub(crate) flags: u8,
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) parent_id: u64,
    pub(crate) trace_state: TraceState,
    pub(crate) start_ticks: u64,
    pub(crate) start_unix_ns: u64,
    /// The fields, encoded as in a record.
    pub(crate) fields: Box<[u8]>,
    pub(crate) links: Vec<(u128, u64)>,
}

/// An entry of the span section.
#[derive(Debug, Clone)]
pub(crate) struct SpanEntry {
    pub(crate) data: Arc<SpanData>,
    pub(crate) parent: u32,
}

/// Where a record stands in a batch, and who wants it delivered.
#[derive(Debug, Clone, Copy)]
struct RecordEntry {
    offset: u32,
    span: u32,
    sinks: u32,
}

/// The content of a batch, shared by all exporters.
#[derive(Debug)]
pub(crate) struct Content {
    bytes: Vec<u8>,
    records: Vec<RecordEntry>,
    spans: Vec<SpanEntry>,
    anchor: Anchor,
    units: Vec<Units>,
}

impl Content {
    /// What sink `n` wants of it.
    pub(crate) fn units(&self, sink: usize) -> Units {
        self.units.get(sink).copied().unwrap_or_default()
    }

    /// What the batch costs in memory.
    pub(crate) fn size(&self) -> usize {
        let spans: usize = self.spans.iter().map(|span| 64 + span.data.fields.len()).sum();
        self.bytes.capacity() + self.records.capacity() * size_of::<RecordEntry>() + spans
    }
}

/// Builds the content of a batch; owned by the worker.
#[derive(Debug)]
pub(crate) struct Builder {
    content: Content,
    bytes_max: usize,
}

impl Builder {
    /// A batch holds at most about this many bytes of records.
    pub(crate) const BYTES_MAX: usize = 512 * 1024;
    /// A batch holds at most this many records.
    pub(crate) const RECORDS_MAX: usize = 8192;

    pub(crate) fn new(sinks: usize, anchor: Anchor) -> Self {
        Self {
            bytes_max: Self::BYTES_MAX,
            content: Content {
                bytes: Vec::new(),
                records: Vec::new(),
                spans: Vec::new(),
                anchor,
                units: vec![Units::default(); sinks],
            },
        }
    }

    /// The batch with a smaller limit, for queues that could not hold several of the usual size.
    pub(crate) fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes.min(Self::BYTES_MAX);
        self
    }

    pub(crate) fn is_full(&self) -> bool {
        self.content.bytes.len() >= self.bytes_max
            || self.content.records.len() >= Self::RECORDS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.content.records.is_empty()
    }

    pub(crate) fn anchor(&self) -> &Anchor {
        &self.content.anchor
    }

    /// Makes room for a whole batch at once: for a worker that is behind.
    pub(crate) fn with_room(mut self) -> Self {
        self.content.bytes.reserve_exact(self.bytes_max + crate::record::RECORD_BYTES_MAX);
        self.content.records.reserve_exact(Self::RECORDS_MAX);
        self
    }

    /// Adds an entry to the span section.
    pub(crate) fn push_span(&mut self, data: Arc<SpanData>, parent: u32) -> u32 {
        self.content.spans.push(SpanEntry { data, parent });
        self.content.spans.len() as u32 - 1
    }

    /// Adds a record that the sinks in `sinks` get, counted as `signal`.
    #[inline]
    pub(crate) fn push(&mut self, record: RawRecord<'_>, span: u32, sinks: u32, signal: Signal) {
        let offset = self.content.bytes.len() as u32;
        self.content.bytes.extend_from_slice(record.bytes());
        self.content.records.push(RecordEntry { offset, span, sinks });
        let mut left = sinks;
        while left != 0 {
            let sink = left.trailing_zeros() as usize;
            left &= left - 1;
            if let Some(units) = self.content.units.get_mut(sink) {
                units.add(signal, 1);
            }
        }
    }

    /// The content; small batches give back what they did not use. Full ones are all allocated
    /// alike, so that the allocator can use the memory of one for the next.
    pub(crate) fn finish(mut self) -> Content {
        if self.content.bytes.len() < self.content.bytes.capacity() / 2 {
            self.content.bytes.shrink_to_fit();
            self.content.records.shrink_to_fit();
        }
        self.content
    }
}

/// An immutable run of records, as one exporter sees it. Cloning is cheap.
#[derive(Clone)]
pub struct Batch {
    content: Arc<Content>,
    sink: u32,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("units", &self.units()).finish_non_exhaustive()
    }
}

impl Batch {
    pub(crate) fn new(content: Arc<Content>, sink: u32) -> Self {
        Self { content, sink }
    }

    /// The records that this exporter wants: events and finished spans, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let bit = 1 << self.sink;
        self.content.records.iter().filter(move |entry| entry.sinks & bit != 0).filter_map(
            |entry| {
                let bytes = self.content.bytes.get(entry.offset as usize..)?;
                let raw = RawRecord::first(bytes)?;
                let callsite = callsite::by_id(raw.callsite())?;
                Some(Record { content: &self.content, raw, callsite, span: entry.span })
            },
        )
    }

    /// How many log events and finished spans this exporter wants of it.
    pub fn units(&self) -> Units {
        self.content.units(self.sink as usize)
    }

    /// What the batch costs in memory, in bytes, shared by all exporters that hold it.
    pub fn size(&self) -> usize {
        self.content.size()
    }
}

/// A log event, or a finished span.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    content: &'a Content,
    raw: RawRecord<'a>,
    callsite: &'static Callsite,
    span: u32,
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind())
            .field("level", &self.level())
            .field("target", &self.target())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

impl<'a> Record<'a> {
    /// [`Kind::Event`], or [`Kind::SpanClose`] for a finished span.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.raw.kind().unwrap_or(Kind::Event)
    }

    /// The callsite that emitted it.
    pub fn callsite(&self) -> &'static Callsite {
        self.callsite
    }

    /// The level.
    #[inline]
    pub fn level(&self) -> Level {
        self.callsite.level()
    }

    /// The target.
    pub fn target(&self) -> &'a str {
        self.origin().map_or_else(|| self.callsite.target(), |origin| origin.target)
    }

    /// The name of the event or span.
    pub fn name(&self) -> &'static str {
        self.callsite.name()
    }

    /// The source file; `None` where unknown.
    pub fn file(&self) -> Option<&'a str> {
        match self.origin() {
            Some(origin) => Some(origin.file).filter(|file| !file.is_empty()),
            None => self.callsite.file(),
        }
    }

    /// The line in the source file; `None` where unknown.
    pub fn line(&self) -> Option<u32> {
        match self.origin() {
            Some(origin) => Some(origin.line).filter(|line| *line != 0),
            None => self.callsite.line(),
        }
    }

    /// The module path; `None` where unknown.
    pub fn module(&self) -> Option<&'a str> {
        match self.origin() {
            Some(origin) => Some(origin.module).filter(|module| !module.is_empty()),
            None => self.callsite.module(),
        }
    }

    /// Where an event of the `log` crate comes from; `None` for events with a callsite.
    #[inline]
    pub fn origin(&self) -> Option<Origin<'a>> {
        self.raw.origin()
    }

    /// When it happened, in nanoseconds since the Unix epoch; for a span, when it ended.
    #[inline]
    pub fn unix_ns(&self) -> u64 {
        match self.finished_span() {
            Some(span) => span.start_unix_ns().saturating_add(self.duration_ns()),
            None => self.content.anchor.unix_ns(self.raw.ticks()),
        }
    }

    /// How long a finished span was open, in nanoseconds; 0 for an event.
    pub fn duration_ns(&self) -> u64 {
        self.finished_span().map_or(0, |span| {
            let start = span.data().start_ticks;
            self.content.anchor.duration_ns(start, self.raw.ticks())
        })
    }

    fn finished_span(&self) -> Option<SpanView<'a>> {
        if self.kind() == Kind::SpanClose { self.span() } else { None }
    }

    /// The trace it belongs to.
    #[inline]
    pub fn trace_id(&self) -> Option<TraceId> {
        TraceId::new(self.raw.trace_id())
    }

    /// The span that an event is in, or the finished span itself.
    #[inline]
    pub fn span_id(&self) -> Option<SpanId> {
        SpanId::new(self.raw.span_id())
    }

    /// The trace's flags.
    pub fn trace_flags(&self) -> TraceFlags {
        flag::to_trace_flags(self.raw.flags())
    }

    /// Was a value or a field cut at a limit?
    pub fn is_cut(&self) -> bool {
        self.raw.flags() & flag::CUT != 0
    }

    /// The fields of an event, or of a finished span, in the order in which they were given.
    ///
    /// The same name may come twice; exporters whose format forbids that keep the last.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        match self.finished_span() {
            Some(span) => span.fields(),
            None => Fields::new(self.raw.fields(), self.callsite.fields()),
        }
    }

    /// The event's message.
    pub fn message(&self) -> Option<Value<'a>> {
        self.fields().find(|field| field.key == "message").map(|field| field.value)
    }

    /// The span that an event is in, or the finished span itself.
    #[inline]
    pub fn span(&self) -> Option<SpanView<'a>> {
        SpanView::at(self.content, self.span)
    }
}

/// A span around a record, with its fields as of that record.
#[derive(Clone, Copy)]
pub struct SpanView<'a> {
    content: &'a Content,
    index: u32,
}

impl fmt::Debug for SpanView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanView")
            .field("name", &self.name())
            .field("span_id", &self.span_id())
            .finish_non_exhaustive()
    }
}

impl<'a> SpanView<'a> {
    #[inline]
    fn at(content: &'a Content, index: u32) -> Option<Self> {
        ((index as usize) < content.spans.len()).then_some(Self { content, index })
    }

    fn data(&self) -> &'a SpanData {
        &self.content.spans[self.index as usize].data
    }

    /// The place in the batch's span section: the same for records inside the same version of
    /// the span, so that an encoder can keep what it made of it while it goes through the batch.
    #[inline]
    pub fn section_index(&self) -> usize {
        self.index as usize
    }

    /// The callsite that opened it.
    pub fn callsite(&self) -> Option<&'static Callsite> {
        callsite::by_id(self.data().callsite)
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.callsite().map_or("", Callsite::name)
    }

    /// The target.
    pub fn target(&self) -> &'static str {
        self.callsite().map_or("", Callsite::target)
    }

    /// The trace it belongs to.
    pub fn trace_id(&self) -> Option<TraceId> {
        TraceId::new(self.data().trace_id)
    }

    /// The id.
    pub fn span_id(&self) -> Option<SpanId> {
        SpanId::new(self.data().span_id)
    }

    /// The parent's id; `None` for a root.
    pub fn parent_id(&self) -> Option<SpanId> {
        SpanId::new(self.data().parent_id)
    }

    /// Does the parent belong to another process?
    pub fn has_remote_parent(&self) -> bool {
        self.data().flags & flag::REMOTE_PARENT != 0
    }

    /// The trace's flags.
    pub fn trace_flags(&self) -> TraceFlags {
        flag::to_trace_flags(self.data().flags)
    }

    /// The state of its trace (`tracestate`); empty for most traces.
    pub fn trace_state(&self) -> &'a TraceState {
        &self.data().trace_state
    }

    /// When it began, in nanoseconds since the Unix epoch.
    pub fn start_unix_ns(&self) -> u64 {
        self.data().start_unix_ns
    }

    /// The fields, later values of `record()` included; the same name may come twice.
    pub fn fields(&self) -> Fields<'a> {
        let names = self.callsite().map(Callsite::fields).unwrap_or_default();
        Fields::new(crate::record::RawFields::of(&self.data().fields), names)
    }

    /// The spans it follows from: trace and span ids.
    pub fn links(&self) -> impl Iterator<Item = (TraceId, SpanId)> + use<'a> {
        self.data()
            .links
            .iter()
            .filter_map(|(trace, span)| Some((TraceId::new(*trace)?, SpanId::new(*span)?)))
    }

    /// The span around it, if it is live and within [`SPAN_DEPTH_MAX`].
    #[inline]
    pub fn parent(&self) -> Option<Self> {
        Self::at(self.content, self.content.spans[self.index as usize].parent)
    }
}
