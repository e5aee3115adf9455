//! From records and metrics to lines: no clock, no terminal, no state that changes what is written.
//!
//! # Invariants
//!
//! - One record is one line, its newline at its end and nowhere else.
//! - The only control sequences are the palette's own.
//! - A line is at most [`LINE_BYTES_MAX`] long.

mod fields;
mod metric;
mod text;

use crate::colours::{Palette, SEQUENCE_BYTES_MAX, Style};
use fields::{Callsites, Told, put_fields, put_message, put_target};
use std::io::Write;
use std::ops::Range;
use std::time::Duration;
use telemetry_core::batch::{Record, SPAN_DEPTH_MAX, SpanView};
use telemetry_core::record::Kind;
use telemetry_core::time_text::TimeText;
use text::put_text;

/// The longest line, newline included.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;
/// What is kept of a batch's spans; then it starts anew.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Does a line begin with its time?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Told,
    LeftOut,
}

/// Makes lines.
#[derive(Debug)]
pub(crate) struct Encoder {
    palette: Palette,
    time: Time,
    clock: TimeText,
    callsites: Callsites,
    /// `request{method=GET}` for each span of the batch, by its place in the section.
    spans: Vec<Range<usize>>,
    kept: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(palette: Palette, time: Time) -> Self {
        Self {
            palette,
            time,
            clock: TimeText::new(),
            callsites: Callsites::default(),
            spans: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Begins a batch: what is kept of the spans of the one before is forgotten.
    pub(crate) fn begin(&mut self) {
        self.spans.clear();
        self.kept.clear();
        self.kept.shrink_to(2 * KEPT_BYTES_MAX);
    }

    /// Appends the line of a record.
    pub(crate) fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let begin = out.len();
        self.put_time(record.unix_ns(), out);
        let palette = self.palette;
        out.extend_from_slice(&self.callsites.of(record.callsite(), palette).level);
        if let Some(span) = record.span() {
            self.put_spans(span, out);
        }
        let pieces = self.callsites.of(record.callsite(), palette);
        match record.origin() {
            Some(origin) => put_target(out, origin.target, palette),
            None => out.extend_from_slice(&pieces.target),
        }
        if record.kind() == Kind::SpanClose {
            let duration = Duration::from_nanos(record.duration_ns());
            let _ = write!(out, "close duration={duration:.2?}");
        } else {
            let mut told = put_message(out, record.fields());
            if !told && is_named(record) {
                put_text(out, record.name());
                told = true;
            }
            let before = out.len();
            if told {
                out.push(b' ');
            }
            if put_fields(out, record.fields(), pieces, palette, Told::AllButMessage) == 0 {
                out.truncate(before);
            }
        }
        if record.is_cut() && !out.ends_with("…".as_bytes()) {
            out.extend_from_slice(" …".as_bytes());
        }
        self.end(begin, out);
    }

    fn put_time(&mut self, unix_ns: u64, out: &mut Vec<u8>) {
        if self.time == Time::Told {
            self.palette.begin(out, Style::Quiet);
            self.clock.put(unix_ns, out);
            self.palette.end(out);
            out.push(b' ');
        }
    }

    /// Writes `outer{…}:inner{…}: `.
    fn put_spans(&mut self, span: SpanView<'_>, out: &mut Vec<u8>) {
        if self.kept.len() > KEPT_BYTES_MAX {
            self.begin();
        }
        let mut around = [const { None }; SPAN_DEPTH_MAX];
        let path = std::iter::successors(Some(span), SpanView::parent).take(SPAN_DEPTH_MAX);
        let mut depth = 0;
        for span in path {
            around[depth] = Some(span);
            depth += 1;
        }
        let end_max = out.len() + LINE_BYTES_MAX;
        for span in around[..depth].iter().rev().flatten() {
            if out.len() > end_max {
                break; // the rest would be cut off again
            }
            let kept = self.kept_span(*span);
            out.extend_from_slice(&self.kept[kept]);
            out.push(b':');
        }
        out.push(b' ');
    }

    /// Where `name{key=value}` stands among what is kept, made now if it is not there.
    fn kept_span(&mut self, span: SpanView<'_>) -> Range<usize> {
        let index = span.section_index();
        if index >= self.spans.len() {
            self.spans.resize(index + 1, 0..0);
        }
        if self.spans[index].is_empty() {
            let begin = self.kept.len();
            let out = &mut self.kept;
            self.palette.begin(out, Style::Strong);
            put_text(out, span.name());
            self.palette.end(out);
            out.push(b'{');
            let count = span.callsite().map_or(0, |callsite| {
                let pieces = self.callsites.of(callsite, self.palette);
                put_fields(out, span.fields(), pieces, self.palette, Told::All)
            });
            out.push(b'}');
            // No empty braces, except where nothing else would show that there is a span.
            if count == 0 && !span.name().is_empty() {
                out.truncate(out.len() - "{}".len());
            }
            self.spans[index] = begin..out.len();
        }
        self.spans[index].clone()
    }

    /// Ends the line that began at `begin`, cut if it is too long.
    fn end(&self, begin: usize, out: &mut Vec<u8>) {
        let end = "…\x1b[0m\n";
        if out.len() - begin < LINE_BYTES_MAX {
            out.push(b'\n');
            return;
        }
        let mut kept = begin + LINE_BYTES_MAX - end.len() - SEQUENCE_BYTES_MAX;
        while kept > begin && out[kept] & 0xc0 == 0x80 {
            kept -= 1;
        }
        // A sequence that would be cut in two goes as a whole.
        let first = kept.saturating_sub(SEQUENCE_BYTES_MAX - 1).max(begin);
        if let Some(at) = out[first..kept].iter().rposition(|byte| *byte == 0x1b) {
            kept = first + at;
        }
        out.truncate(kept);
        out.extend_from_slice("…".as_bytes());
        self.palette.end(out);
        out.push(b'\n');
    }
}

/// Has the event a name that somebody chose? `tracing` calls the others `event file:line`, and the
/// bridge from `log` has one callsite per level.
fn is_named(record: &Record<'_>) -> bool {
    let name = record.name();
    record.origin().is_none() && !(name.is_empty() || name == "event" || name.starts_with("event "))
}
