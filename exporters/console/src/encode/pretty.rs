//! A record for eyes: the message first, spans where they change, an error's sources below it.
//!
//! ```text
//!   request{method=GET} › query{table=users}
//! 09:00:00.123Z INFO  stored it                                bytes=512 user=7  app::db
//! 09:00:00.125Z ERROR no luck                                  error="cannot store"  app::db
//!   caused by: disk is full
//! ```
//!
//! # Invariants
//!
//! - A line that is not indented begins a record, and every record has one such line.
//! - The end of a span is one line, which has its fields: the spans around it are not told for it.

use super::fields::{Told, each_told, put_indexed_key, put_message};
use super::text::{put_text, put_value, put_word};
use super::{Encoder, LINE_BYTES_MAX, is_named};
use crate::colours::{Palette, Role};
use std::io::Write;
use std::time::Duration;
use telemetry_core::batch::Record;
use telemetry_core::context::SpanId;
use telemetry_core::record::{Field, Kind, Value};

/// What stands before every line that does not begin a record.
const INDENT: &[u8] = b"  ";
/// Fields begin behind so many columns of message, if it is not longer.
const MESSAGE_COLUMNS: usize = 40;

/// The spans that the reader was told last.
#[derive(Debug, Default)]
pub(super) struct ToldSpans {
    innermost: Option<SpanId>,
    path: Vec<u8>,
}

impl Encoder {
    /// Appends the lines of a record, and before them its spans if they are not the last ones told.
    pub(super) fn pretty(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        if record.kind() != Kind::SpanClose {
            self.put_span_line(record, out);
        }
        let begin = out.len();
        self.put_time(record.unix_ns(), out);
        out.extend_from_slice(&self.callsites.of(record.callsite()).level);
        if record.kind() == Kind::SpanClose {
            self.put_close(record, out);
        } else {
            self.put_event(record, out);
        }
        if record.is_cut() && !out.ends_with("…".as_bytes()) {
            out.extend_from_slice(" …".as_bytes());
        }
        match record.origin() {
            Some(origin) => put_target(out, origin.target, self.palette),
            None => out.extend_from_slice(&self.callsites.of(record.callsite()).target),
        }
        self.put_causes(record, out);
        self.end(begin, out);
    }

    fn put_event(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let palette = self.palette;
        let before = out.len();
        palette.begin(out, Role::Strong);
        let begin = out.len();
        let mut told = put_message(out, record.fields());
        if !told && is_named(record) {
            put_text(out, record.name());
            told = true;
        }
        let columns = columns_of(&out[begin..]);
        palette.end(out);
        if !told {
            out.truncate(before);
        }
        let pieces = self.callsites.of(record.callsite());
        let mut is_first = true;
        each_told(record.fields(), pieces, Told::AllButMessage, |index, field| {
            let blanks = match (is_first, told) {
                (true, false) => 0,
                (true, true) => 1 + MESSAGE_COLUMNS.saturating_sub(columns),
                (false, _) => 1,
            };
            is_first = false;
            out.resize(out.len() + blanks, b' ');
            put_indexed_key(out, index, field.key, pieces, palette);
            put_field(out, &field);
        });
    }

    /// Writes `close request`, the duration where fields begin, and the fields.
    fn put_close(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let palette = self.palette;
        palette.begin(out, Role::Strong);
        let begin = out.len();
        out.extend_from_slice(b"close ");
        put_text(out, record.name());
        let columns = columns_of(&out[begin..]);
        palette.end(out);
        out.resize(out.len() + 1 + MESSAGE_COLUMNS.saturating_sub(columns), b' ');
        palette.begin(out, Role::Key);
        out.extend_from_slice(b"duration");
        palette.end(out);
        let duration = Duration::from_nanos(record.duration_ns());
        let _ = write!(out, "={duration:.2?}");
        let pieces = self.callsites.of(record.callsite());
        each_told(record.fields(), pieces, Told::All, |index, field| {
            out.push(b' ');
            put_indexed_key(out, index, field.key, pieces, palette);
            put_field(out, &field);
        });
    }

    /// Writes a line for each source of each error.
    fn put_causes(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let palette = self.palette;
        let pieces = self.callsites.of(record.callsite());
        each_told(record.fields(), pieces, Told::AllButMessage, |_, field| {
            let Value::Error(chain) = field.value else { return };
            for source in chain.skip(1) {
                out.push(b'\n');
                out.extend_from_slice(INDENT);
                palette.begin(out, Role::Quiet);
                out.extend_from_slice(b"caused by:");
                palette.end(out);
                out.push(b' ');
                put_text(out, source);
            }
        });
    }

    /// Writes the line of the spans around a record, if the reader was told others last.
    fn put_span_line(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let span = record.span();
        if span.is_none() && self.told_spans.innermost.is_none() {
            return;
        }
        let begin = out.len();
        out.extend_from_slice(INDENT);
        self.palette.begin(out, Role::Quiet);
        let path = out.len();
        match span {
            Some(span) => self.put_path(span, " › ", out),
            None => out.extend_from_slice(b"(no span)"),
        }
        let innermost = span.and_then(|span| span.span_id());
        // Two spans may look alike, and one may look different after it got a value.
        let told = &mut self.told_spans;
        if told.innermost == innermost && told.path == out[path..] {
            return out.truncate(begin);
        }
        told.innermost = innermost;
        told.path.clear();
        told.path.shrink_to(LINE_BYTES_MAX);
        told.path.extend_from_slice(&out[path..]);
        self.palette.end(out);
        self.end(begin, out);
    }
}

/// Writes what stands behind `key=`; of an error only itself: its sources have their own lines.
fn put_field(out: &mut Vec<u8>, field: &Field<'_>) {
    match field.value {
        Value::Error(mut chain) => put_word(out, chain.next().unwrap_or_default()),
        value => put_value(out, value),
    }
    if field.cut {
        out.extend_from_slice("…".as_bytes());
    }
}

/// Writes `  app::module`.
pub(super) fn put_target(out: &mut Vec<u8>, target: &str, palette: Palette) {
    out.extend_from_slice(INDENT);
    palette.begin(out, Role::Quiet);
    put_text(out, target);
    palette.end(out);
}

/// How wide a text is, if every character takes one column.
fn columns_of(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
