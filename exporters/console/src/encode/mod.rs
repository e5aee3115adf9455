//! From records and metrics to lines: no clock, no terminal; what is written depends on the record
//! alone, but for the pretty style, which tells spans only where they change.
//!
//! # Invariants
//!
//! - One record is one line, its newline at its end and nowhere else. In the pretty style it may be
//!   several, of which only one is not indented.
//! - The only control sequences are the palette's own.
//! - A line is at most [`LINE_BYTES_MAX`] long, and one for the journal [`JOURNAL_BYTES_MAX`].

mod compact;
mod fields;
mod logfmt;
mod metric;
mod poll;
mod pretty;
mod text;

use crate::colours::{Palette, Role, SEQUENCE_BYTES_MAX};
use crate::style::Style;
use crate::time::Time;
use fields::{Callsites, Told, put_fields};
use poll::LastPoll;
pub(crate) use poll::without_polled;
use pretty::ToldSpans;
use std::io::Write;
use std::ops::Range;
use std::time::Duration;
use telemetry_core::batch::{Record, SPAN_DEPTH_MAX, SpanView};
use telemetry_core::time_text::TimeText;
use text::put_text;

/// The longest line, newline included.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;
/// The longest line for the journal, which cuts what is longer than `LineMax=` (48 KiB unless
/// set, journald.conf(5)) and would read the rest as an entry with a priority of its own.
pub(crate) const JOURNAL_BYTES_MAX: usize = 47 * 1024;
/// What is kept of a batch's spans; then it starts anew.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Makes lines.
#[derive(Debug)]
pub(crate) struct Encoder {
    style: Style,
    palette: Palette,
    time: Time,
    /// When the time began that [`Time::SinceStart`] tells.
    start_unix_ns: u64,
    clock: TimeText,
    callsites: Callsites,
    span_palette: Palette,
    span_callsites: Callsites,
    /// `request{method=GET}` for each span of the batch, by its place in the section.
    spans: Vec<Range<usize>>,
    kept: Vec<u8>,
    /// Which spans the reader of the pretty style has seen last.
    told_spans: ToldSpans,
    last_poll: LastPoll,
}

impl Encoder {
    pub(crate) fn new(style: Style, palette: Palette, time: Time, start_unix_ns: u64) -> Self {
        // In the pretty style the whole path of spans is dimmed.
        let span_palette = if style == Style::Pretty { Palette::Plain } else { palette };
        let time = if style == Style::Journald { Time::Off } else { time };
        Self {
            style,
            palette,
            time,
            start_unix_ns,
            clock: TimeText::new(),
            callsites: Callsites::new(style, palette),
            span_palette,
            span_callsites: Callsites::new(style, span_palette),
            spans: Vec::new(),
            kept: Vec::new(),
            told_spans: ToldSpans::default(),
            last_poll: LastPoll::default(),
        }
    }

    /// Begins a batch: what is kept of the spans of the one before is forgotten.
    pub(crate) fn begin(&mut self) {
        self.spans.clear();
        self.kept.clear();
        self.kept.shrink_to(2 * KEPT_BYTES_MAX);
    }

    /// Appends the lines of a record.
    pub(crate) fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self.style {
            Style::Compact | Style::Journald => self.compact(record, out),
            Style::Pretty => self.pretty(record, out),
            Style::Logfmt => self.logfmt(record, out),
        }
    }

    fn put_time(&mut self, unix_ns: u64, out: &mut Vec<u8>) {
        if self.time == Time::Off {
            return;
        }
        self.palette.begin(out, Role::Quiet);
        let begin = out.len();
        if self.time == Time::SinceStart {
            self.put_since_start(unix_ns, out);
        } else {
            self.clock.put(unix_ns, out);
            if self.style == Style::Pretty {
                // `09:00:00.123Z` of `2026-11-22T09:00:00.123456Z`.
                out.drain(begin + 23..begin + 26);
                out.drain(begin..begin + 11);
            }
        }
        self.palette.end(out);
        out.push(b' ');
    }

    /// Writes `+12.345s`, and blanks behind it: in front, it would be no begin of a record.
    fn put_since_start(&self, unix_ns: u64, out: &mut Vec<u8>) {
        let since = Duration::from_nanos(unix_ns.saturating_sub(self.start_unix_ns));
        let (digits, columns) = if self.style == Style::Pretty { (3, 9) } else { (6, 12) };
        let begin = out.len();
        let _ = write!(out, "+{:.digits$}s", since.as_secs_f64());
        out.resize(out.len().max(begin + columns), b' ');
    }

    /// Writes `outer{…}:inner{…}`, with what is to stand between two.
    fn put_path(&mut self, span: SpanView<'_>, between: &str, out: &mut Vec<u8>) {
        if self.kept.len() > KEPT_BYTES_MAX {
            self.begin();
        }
        let end_max = out.len() + LINE_BYTES_MAX;
        let (around, depth) = path(span);
        for (n, span) in around[..depth].iter().rev().flatten().enumerate() {
            if out.len() > end_max {
                break; // the rest would be cut off again
            }
            if n > 0 {
                out.extend_from_slice(between.as_bytes());
            }
            let kept = self.kept_span(*span);
            out.extend_from_slice(&self.kept[kept]);
        }
    }

    /// Where `name{key=value}` stands among what is kept, made now if it is not there.
    fn kept_span(&mut self, span: SpanView<'_>) -> Range<usize> {
        let index = span.section_index();
        if index >= self.spans.len() {
            self.spans.resize(index + 1, 0..0);
        }
        if self.spans[index].is_empty() {
            let begin = self.kept.len();
            let palette = self.span_palette;
            let out = &mut self.kept;
            palette.begin(out, Role::Strong);
            put_text(out, span.name());
            palette.end(out);
            out.push(b'{');
            let count = span.callsite().map_or(0, |callsite| {
                let pieces = self.span_callsites.of(callsite);
                put_fields(out, span.fields(), pieces, palette, Told::All)
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

    /// Ends the record that began at `begin`, cut if it is too long.
    fn end(&self, begin: usize, out: &mut Vec<u8>) {
        let end = "…\x1b[0m\n";
        let bytes_max = match self.style {
            Style::Journald => JOURNAL_BYTES_MAX,
            _ => LINE_BYTES_MAX,
        };
        if out.len() - begin < bytes_max {
            out.push(b'\n');
            return;
        }
        let mut kept = begin + bytes_max - end.len() - SEQUENCE_BYTES_MAX;
        while kept > begin && out[kept] & 0xc0 == 0x80 {
            kept -= 1;
        }
        // A sequence that would be cut in two goes as a whole.
        let first = kept.saturating_sub(SEQUENCE_BYTES_MAX - 1).max(begin);
        if let Some(at) = out[first..kept].iter().rposition(|byte| *byte == 0x1b) {
            kept = first + at;
        }
        // A line that is nothing but an ellipsis would not be indented.
        while kept > begin && matches!(out[kept - 1], b' ' | b'\n') {
            kept -= 1;
        }
        out.truncate(kept);
        out.extend_from_slice("…".as_bytes());
        self.palette.end(out);
        out.push(b'\n');
    }
}

/// The spans around a record, the innermost first, and how many.
fn path(span: SpanView<'_>) -> ([Option<SpanView<'_>>; SPAN_DEPTH_MAX], usize) {
    let mut around = [const { None }; SPAN_DEPTH_MAX];
    let mut depth = 0;
    for span in std::iter::successors(Some(span), SpanView::parent).take(SPAN_DEPTH_MAX) {
        around[depth] = Some(span);
        depth += 1;
    }
    (around, depth)
}

/// Has the event a name that somebody chose? `tracing` calls the others `event file:line`, and the
/// bridge from `log` has one callsite per level.
fn is_named(record: &Record<'_>) -> bool {
    let name = record.name();
    record.origin().is_none() && !(name.is_empty() || name == "event" || name.starts_with("event "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_the_start_is_aligned_and_never_indents() {
        let of = |style, unix_ns| {
            let encoder = Encoder::new(style, Palette::Plain, Time::SinceStart, 1_000_000_000);
            let mut out = Vec::new();
            encoder.put_since_start(unix_ns, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(Style::Pretty, 1_000_000_000), "+0.000s  ");
        assert_eq!(of(Style::Pretty, 13_345_678_901), "+12.346s ");
        assert_eq!(of(Style::Pretty, 5_001_000_000_000), "+5000.000s");
        assert_eq!(of(Style::Compact, 13_345_678_901), "+12.345679s ");
        // It happened before: a record that waited, or a clock that was set back.
        assert_eq!(of(Style::Compact, 5), "+0.000000s  ");
    }
}
