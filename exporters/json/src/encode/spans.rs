//! The spans around a record, encoded once per batch.
//!
//! # Invariants
//!
//! - What is kept belongs to one batch: places in its span section are the keys.
//! - What is kept is at most [`KEPT_BYTES_MAX`] and what one record adds; then it starts anew.
//! - No more is encoded and copied than a line can hold, and one span: many large spans around a
//!   record cost no more than one line.

use super::callsites::Callsites;
use super::fields::put_fields;
use super::limits::Limits;
use super::value::{put_hex, put_text};
use std::ops::Range;
use telemetry_core::batch::{Record, SPAN_DEPTH_MAX, SpanView};
use telemetry_core::context::{SpanId, TraceFlags, TraceId};

const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What was made of the spans of a batch.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    path: Vec<usize>,
}

/// Where a span's parts stand in the bytes; empty for those not made.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// `{"name":"request","fields":{…}}`
    object: Range<usize>,
    /// `,"span":{…},"spans":[…]`
    context: Range<usize>,
    /// `,"trace_id":"…","span_id":"…","trace_flags":"01"`, right behind the context.
    ids: Range<usize>,
}

impl Contexts {
    /// Forgets the batch before.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * KEPT_BYTES_MAX);
        self.entries.clear();
    }

    /// Writes what a record inside `span` tells of it and of the spans around it, and the ids.
    /// Returns `None` when the line would be longer than `bytes_max`.
    #[inline]
    pub(crate) fn put(
        &mut self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        span: SpanView<'_>,
        callsites: &mut Callsites,
        bytes_max: usize,
    ) -> Option<()> {
        let index = span.section_index();
        if self.entries.get(index).is_none_or(|entry| entry.context.is_empty()) {
            self.make(span, callsites, bytes_max)?;
        }
        let entry = &self.entries[index];
        let same_ids = record.span_id() == span.span_id()
            && record.trace_id() == span.trace_id()
            && record.trace_flags() == span.trace_flags();
        if same_ids {
            out.extend_from_slice(&self.bytes[entry.context.start..entry.ids.end]);
        } else {
            out.extend_from_slice(&self.bytes[entry.context.clone()]);
            put_ids(out, record.trace_id(), record.span_id(), record.trace_flags());
        }
        Some(())
    }

    #[inline(never)]
    fn make(
        &mut self,
        span: SpanView<'_>,
        callsites: &mut Callsites,
        bytes_max: usize,
    ) -> Option<()> {
        if self.bytes.len() > KEPT_BYTES_MAX {
            self.clear();
        }
        self.path.clear();
        let mut told = 0;
        for around in path(span) {
            let index = around.section_index();
            self.path.push(index);
            if index >= self.entries.len() {
                self.entries.resize(index + 1, Entry::default());
            }
            if self.entries[index].object.is_empty() {
                let begin = self.bytes.len();
                put_span(&mut self.bytes, around, Some(callsites), &Limits::NONE);
                self.entries[index].object = begin..self.bytes.len();
            }
            told += self.entries[index].object.len();
            if told > bytes_max {
                return None;
            }
        }
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(b",\"span\":");
        self.bytes.extend_from_within(self.entries[span.section_index()].object.clone());
        for (n, index) in self.path.iter().rev().enumerate() {
            let before: &[u8] = if n == 0 { b",\"spans\":[" } else { b"," };
            self.bytes.extend_from_slice(before);
            self.bytes.extend_from_within(self.entries[*index].object.clone());
        }
        self.bytes.push(b']');
        let middle = self.bytes.len();
        put_ids(&mut self.bytes, span.trace_id(), span.span_id(), span.trace_flags());
        let end = self.bytes.len();
        let entry = &mut self.entries[span.section_index()];
        (entry.context, entry.ids) = (begin..middle, middle..end);
        Some(())
    }
}

/// Writes `,"span":{…},"spans":[…]` without keeping it, within limits. Returns `None` as soon as
/// it is longer than `bytes_max`.
pub(crate) fn put_context(
    out: &mut Vec<u8>,
    span: SpanView<'_>,
    limits: &Limits,
    bytes_max: usize,
) -> Option<()> {
    let end_max = out.len().saturating_add(bytes_max);
    out.extend_from_slice(b",\"span\":");
    put_span(out, span, None, limits);
    let around: Vec<SpanView<'_>> = path(span).collect();
    for (n, span) in around.iter().rev().enumerate() {
        if out.len() > end_max {
            return None;
        }
        let before: &[u8] = if n == 0 { b",\"spans\":[" } else { b"," };
        out.extend_from_slice(before);
        put_span(out, *span, None, limits);
    }
    out.push(b']');
    Some(())
}

/// A span and those around it, innermost first.
fn path(span: SpanView<'_>) -> impl Iterator<Item = SpanView<'_>> {
    std::iter::successors(Some(span), SpanView::parent).take(SPAN_DEPTH_MAX)
}

/// Writes the span as an object. Its fields have an object of their own, so that a field cannot
/// stand in for the name.
fn put_span(
    out: &mut Vec<u8>,
    span: SpanView<'_>,
    callsites: Option<&mut Callsites>,
    limits: &Limits,
) {
    out.extend_from_slice(b"{\"name\":");
    let mut cut = put_text(out, span.name(), limits.text_bytes_max);
    out.extend_from_slice(b",\"fields\":");
    let pieces = callsites.zip(span.callsite()).map(|(callsites, callsite)| callsites.of(callsite));
    cut |= put_fields(out, span.fields(), pieces, limits);
    if cut {
        out.extend_from_slice(b",\"cut\":true");
    }
    out.push(b'}');
}

/// Writes trace id, span id and trace flags; a span id without a trace id means nothing.
pub(crate) fn put_ids(
    out: &mut Vec<u8>,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    flags: TraceFlags,
) {
    let Some(trace_id) = trace_id else { return };
    out.extend_from_slice(b",\"trace_id\":\"");
    put_hex(out, &trace_id.to_bytes());
    if let Some(span_id) = span_id {
        out.extend_from_slice(b"\",\"span_id\":\"");
        put_hex(out, &span_id.to_bytes());
    }
    out.extend_from_slice(b"\",\"trace_flags\":\"");
    put_hex(out, &[flags.bits()]);
    out.push(b'"');
}
