//! From records and metrics to lines: no clock, no file, no state that changes what is written.
//!
//! # Invariants
//!
//! - One record is one line: a JSON object in UTF-8, a newline at its end and nowhere else.
//! - No object has the same key twice, and no text from outside becomes a key of the envelope.
//! - A line is at most `line_bytes_max` long; a longer one is made anew within ever closer limits
//!   and marked `"cut":true`.
//! - What is kept between records (parts of callsites, spans of the batch, the second) is only
//!   what makes the same bytes faster.

mod callsites;
mod fields;
mod limits;
mod metric;
mod spans;
mod value;

use callsites::{Callsites, put_head, put_location};
use fields::put_fields;
use limits::{Limits, Spans};
use spans::{Contexts, put_context, put_ids};
use telemetry_core::batch::Record;
use telemetry_core::record::Kind;
use telemetry_core::time_text::TimeText;
use value::{put_hex, put_integer, put_text};

/// Every record fits into a line of this length when all but its envelope is cut.
pub(crate) const LINE_BYTES_MIN: usize = 1024;

/// Is the place in the source told?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location {
    Told,
    LeftOut,
}

/// Makes lines.
#[derive(Debug)]
pub(crate) struct Encoder {
    line_bytes_max: usize,
    location: Location,
    time: TimeText,
    start_time: TimeText,
    callsites: Callsites,
    contexts: Contexts,
}

impl Encoder {
    pub(crate) fn new(line_bytes_max: usize, location: Location) -> Self {
        Self {
            line_bytes_max,
            location,
            time: TimeText::new(),
            start_time: TimeText::new(),
            callsites: Callsites::default(),
            contexts: Contexts::default(),
        }
    }

    /// Begins a batch: what is kept of the spans of the one before is forgotten.
    pub(crate) fn begin(&mut self) {
        self.contexts.clear();
    }

    /// Appends the line of a record.
    pub(crate) fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let begin = out.len();
        let closer = Limits::ladder(self.line_bytes_max);
        for limits in std::iter::once(Limits::NONE).chain(closer) {
            out.truncate(begin);
            let whole = self.put_line(record, &limits, out).is_some();
            if whole && out.len() - begin <= self.line_bytes_max {
                return;
            }
        }
        debug_assert!(false, "with the last limits every record fits");
    }

    /// Writes the line; `None` when the spans around the record are too long for it.
    fn put_line(&mut self, record: &Record<'_>, limits: &Limits, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(b"{\"timestamp\":\"");
        self.time.put(record.unix_ns(), out);
        let pieces = self.callsites.of(record.callsite());
        let origin = record.origin();
        let text_max = limits.text_bytes_max;
        let kept = limits.is_none();
        if kept && origin.is_none() {
            out.extend_from_slice(&pieces.head);
        } else {
            put_head(out, record.callsite(), record.target(), text_max);
        }
        let cut = put_fields(out, record.fields(), Some(pieces), limits);
        if cut || record.is_cut() || !kept {
            out.extend_from_slice(b",\"cut\":true");
        }
        if self.location == Location::Told {
            if kept && origin.is_none() {
                out.extend_from_slice(&pieces.location);
            } else {
                put_location(out, record.file(), record.line(), text_max);
            }
        }
        if record.kind() == Kind::SpanClose {
            self.put_finished(record, limits, out);
        } else {
            self.put_surroundings(record, limits, out)?;
        }
        out.extend_from_slice(b"}\n");
        Some(())
    }

    /// What an event tells of the spans around it.
    #[inline]
    fn put_surroundings(
        &mut self,
        record: &Record<'_>,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let bytes_max = self.line_bytes_max;
        if let Some(span) = record.span().filter(|_| limits.spans == Spans::Told) {
            if limits.is_none() {
                return self.contexts.put(out, record, span, &mut self.callsites, bytes_max);
            }
            put_context(out, span, limits, bytes_max)?;
        }
        put_ids(out, record.trace_id(), record.span_id(), record.trace_flags());
        Some(())
    }

    /// What a finished span tells beside its fields.
    fn put_finished(&mut self, record: &Record<'_>, limits: &Limits, out: &mut Vec<u8>) {
        if let Some(span) = record.span() {
            out.extend_from_slice(b",\"start_timestamp\":\"");
            self.start_time.put(span.start_unix_ns(), out);
            out.extend_from_slice(b"\",\"duration_ns\":");
            put_integer(out, record.duration_ns());
            for (n, (trace_id, span_id)) in span.links().take(limits.items_max).enumerate() {
                let before: &[u8] = if n == 0 { b",\"links\":[" } else { b"," };
                out.extend_from_slice(before);
                out.extend_from_slice(b"{\"trace_id\":\"");
                put_hex(out, &trace_id.to_bytes());
                out.extend_from_slice(b"\",\"span_id\":\"");
                put_hex(out, &span_id.to_bytes());
                out.extend_from_slice(b"\"}");
            }
            if limits.items_max > 0 && span.links().next().is_some() {
                out.push(b']');
            }
        }
        put_ids(out, record.trace_id(), record.span_id(), record.trace_flags());
        if let Some(parent) = record.span().and_then(|span| span.parent_id()) {
            out.extend_from_slice(b",\"parent_span_id\":\"");
            put_hex(out, &parent.to_bytes());
            out.push(b'"');
        }
        if let Some(span) = record.span().filter(|span| !span.trace_state().is_empty()) {
            out.extend_from_slice(b",\"trace_state\":");
            put_text(out, span.trace_state().as_str(), limits.text_bytes_max);
        }
    }
}
