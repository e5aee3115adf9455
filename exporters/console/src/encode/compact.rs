//! A record as one compact line, with its time or with the journal's priority.

use super::fields::{Told, put_fields, put_message, put_target};
use super::text::put_text;
use super::{Encoder, is_named};
use std::io::Write;
use std::time::Duration;
use telemetry_core::Level;
use telemetry_core::batch::Record;
use telemetry_core::record::Kind;

impl Encoder {
    /// Appends the line of a record.
    pub(super) fn compact(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let begin = out.len();
        self.put_time(record.unix_ns(), out);
        let palette = self.palette;
        out.extend_from_slice(&self.callsites.of(record.callsite()).level);
        if let Some(span) = record.span() {
            self.put_path(span, ":", out);
            out.extend_from_slice(b": ");
        }
        let pieces = self.callsites.of(record.callsite());
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
}

/// Writes `<6>`: the level as the journal reads it at the begin of a line (sd-daemon(3)).
pub(super) fn put_priority(out: &mut Vec<u8>, level: Level) {
    out.extend_from_slice(match level {
        Level::Error => b"<3>",
        Level::Warn => b"<4>",
        Level::Info => b"<6>",
        Level::Debug | Level::Trace => b"<7>",
    });
}
