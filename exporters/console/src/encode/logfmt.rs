//! Records and metrics as `key=value` pairs for programs (<https://brandur.org/logfmt>).
//!
//! # Invariants
//!
//! - No key stands twice in a line, and different names have different keys.
//! - A value is in quotes if it is empty or holds a blank, a quote, `=` or an unprintable
//!   character; inside them the escapes are those of JSON strings.
//! - A line that would be too long is cut inside a value or between pairs, never inside quotes
//!   that stay open, and says `cut=true` at its end.

use super::fields::{Pieces, Told, each_told};
use super::text::{put_bytes, put_f64, put_integer};
use super::{Encoder, LINE_BYTES_MAX, is_named, path};
use crate::time::Time;
use std::collections::HashSet;
use std::io::Write;
use telemetry_core::batch::{Record, SpanView};
use telemetry_core::metric::{self, Data, HistogramValue, Labels, Metric, Number, Snapshot};
use telemetry_core::output::is_unprintable;
use telemetry_core::record::{Kind, Value};

/// The keys that are the encoder's own; so is whatever begins with [`SPAN_PREFIX`].
const OWN_KEYS: [&str; 8] = ["ts", "level", "target", "span", "trace_id", "span_id", "msg", "cut"];
/// The keys of a point that are no labels.
const OWN_POINT_KEYS: [&str; 9] =
    ["ts", "metric", "unit", "value", "count", "sum", "min", "max", "cut"];
/// Stands before the names of the spans' fields.
const SPAN_PREFIX: &str = "span.";
/// Stands before a name that is taken.
const FIELD_PREFIX: &str = "field.";

/// What is kept free for the end of a line.
const END: &[u8] = b" cut=true\n";
/// A pair is left out if there is less room than this for its value.
const VALUE_ROOM_MIN: usize = 64;
/// The longest escape: two UTF-16 units.
const ESCAPE_BYTES_MAX: usize = 12;
/// All lines of a snapshot together.
const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024;

impl Encoder {
    /// Appends the line of a record.
    pub(super) fn logfmt(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let mut line = self.begin_line(record.unix_ns(), out);
        let pieces = self.callsites.of(record.callsite());
        line.pair("level", |line| line.out.extend_from_slice(&pieces.level));
        line.pair("target", |line| line.text(record.target()));
        if let Some(span) = record.span() {
            line.pair("span", |line| line.text(&names(span)));
        }
        if let Some(id) = record.trace_id() {
            line.pair("trace_id", |line| drop(write!(line.out, "{id}")));
        }
        if let Some(id) = record.span_id() {
            line.pair("span_id", |line| drop(write!(line.out, "{id}")));
        }
        if record.kind() == Kind::SpanClose {
            line.pair("msg", |line| line.text("close"));
            line.pair("duration_ns", |line| put_integer(line.out, record.duration_ns()));
        } else {
            line.event(record, pieces);
        }
        if let Some(span) = record.span() {
            let callsites = &mut self.span_callsites;
            let mut seen = HashSet::new();
            let (around, depth) = path(span);
            for span in around[..depth].iter().flatten() {
                let Some(callsite) = span.callsite() else { continue };
                line.span(*span, callsites.of(callsite), &mut seen);
            }
        }
        line.is_cut |= record.is_cut();
        line.end();
    }

    /// Appends a line for each point of a snapshot.
    pub(super) fn logfmt_snapshot(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) {
        let begin = out.len();
        let mut left = snapshot.points();
        for metric in &snapshot.metrics {
            for index in 0..metric.data.points() {
                if out.len() - begin > SNAPSHOT_BYTES_MAX {
                    let mut line = self.begin_line(snapshot.unix_ns, out);
                    line.pair("msg", |line| line.text("points are left out"));
                    line.pair("count", |line| put_integer(line.out, left));
                    return line.end();
                }
                let mut line = self.begin_line(snapshot.unix_ns, out);
                line.point(metric, index);
                line.end();
                left -= 1;
            }
        }
    }

    /// Appends the line of the poller's reading.
    pub(super) fn logfmt_poll<'i>(
        &mut self,
        unix_ns: u64,
        pairs: impl Iterator<Item = (&'i str, f64)>,
        out: &mut Vec<u8>,
    ) {
        let mut line = self.begin_line(unix_ns, out);
        line.pair("msg", |line| line.text("poll"));
        let mut seen = HashSet::new();
        for (key, value) in pairs.filter(|(key, _)| seen.insert(*key)) {
            if line.key(|out| put_field_key(out, key)) {
                line.whole_or_float(value);
            }
        }
        line.end();
    }

    fn begin_line<'a>(&mut self, unix_ns: u64, out: &'a mut Vec<u8>) -> Line<'a> {
        let begin = out.len();
        let mut line =
            Line { begin, end_max: begin + LINE_BYTES_MAX - END.len(), out, is_cut: false };
        if self.time != Time::Off {
            line.pair("ts", |line| self.clock.put(unix_ns, line.out));
        }
        line
    }
}

/// A line that is being written.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    begin: usize,
    /// No pair ends behind it.
    end_max: usize,
    is_cut: bool,
}

impl Line<'_> {
    /// Writes a pair whose key is one of our own.
    fn pair(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        if self.key(|out| {
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
        }) {
            value(self);
        }
    }

    /// Writes a key with its `=`; nothing, and `false`, if there is no room for a value.
    fn key(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.out.len();
        if before > self.begin {
            self.out.push(b' ');
        }
        put(self.out);
        let fits = self.out.len() + VALUE_ROOM_MIN <= self.end_max;
        if !fits {
            self.out.truncate(before);
            self.is_cut = true;
        }
        fits
    }

    fn event(&mut self, record: &Record<'_>, pieces: &Pieces) {
        match record.fields().filter(|field| field.key == "message").last() {
            Some(message) => self.pair("msg", |line| line.value(message.value, message.cut)),
            None if is_named(record) => self.pair("msg", |line| line.text(record.name())),
            None => {}
        }
        each_told(record.fields(), pieces, Told::AllButMessage, |index, field| {
            let kept = index.and_then(|index| pieces.keys.get(usize::from(index)));
            let fits = self.key(|out| match kept {
                Some(key) => out.extend_from_slice(key),
                None => put_field_key(out, field.key),
            });
            if fits {
                self.value(field.value, field.cut);
            }
        });
    }

    /// Writes the fields of a span that no span inside it has, too.
    fn span<'s>(&mut self, span: SpanView<'s>, pieces: &Pieces, seen: &mut HashSet<&'s str>) {
        each_told(span.fields(), pieces, Told::All, |_, field| {
            if !seen.insert(field.key) {
                return;
            }
            let fits = self.key(|out| {
                out.extend_from_slice(SPAN_PREFIX.as_bytes());
                put_key(out, field.key);
            });
            if fits {
                self.value(field.value, field.cut);
            }
        });
    }

    fn point(&mut self, metric: &Metric, index: usize) {
        self.pair("metric", |line| line.text(&metric.name));
        if !metric.unit.is_empty() {
            self.pair("unit", |line| line.text(&metric.unit));
        }
        match &metric.data {
            Data::Counter { points } | Data::UpDownCounter { points } | Data::Gauge { points } => {
                let Some(point) = points.get(index) else { return };
                self.pair("value", |line| line.number(point.value));
                self.labels(&point.labels);
            }
            Data::Histogram { points, .. } => {
                let Some(point) = points.get(index) else { return };
                self.histogram(&point.value);
                self.labels(&point.labels);
            }
            Data::ExponentialHistogram { points } => {
                let Some(point) = points.get(index) else { return };
                self.histogram(&point.value);
                self.labels(&point.labels);
            }
            _ => {}
        }
    }

    fn histogram<B>(&mut self, value: &HistogramValue<B>) {
        self.pair("count", |line| put_integer(line.out, value.count));
        for (key, number) in [("sum", Some(value.sum)), ("min", value.min), ("max", value.max)] {
            if let Some(number) = number {
                self.pair(key, |line| put_f64(line.out, number));
            }
        }
    }

    fn labels(&mut self, labels: &Labels) {
        for (key, value) in labels.iter() {
            if self.key(|out| put_free_key(out, key, |key| OWN_POINT_KEYS.contains(&key))) {
                match value {
                    metric::Value::Str(text) => self.text(text),
                    other => self.text(&other.to_string()),
                }
            }
        }
    }

    /// Writes a float that may be a count.
    fn whole_or_float(&mut self, value: f64) {
        const EXACT_MAX: f64 = (1_u64 << 53) as f64;
        if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
            put_integer(self.out, value as i64);
        } else {
            put_f64(self.out, value);
        }
    }

    fn number(&mut self, number: Number) {
        match number {
            Number::U64(number) => put_integer(self.out, number),
            Number::I64(number) => put_integer(self.out, number),
            other => put_f64(self.out, other.as_f64()),
        }
    }

    fn value(&mut self, value: Value<'_>, is_cut: bool) {
        let mark = if is_cut { "…" } else { "" };
        match value {
            Value::Str(text) | Value::Formatted(text) => self.texts([text, mark]),
            Value::I64(number) => put_integer(self.out, number),
            Value::U64(number) => put_integer(self.out, number),
            Value::I128(number) => put_integer(self.out, number),
            Value::U128(number) => put_integer(self.out, number),
            Value::F64(number) => put_f64(self.out, number),
            Value::Bool(value) => drop(write!(self.out, "{value}")),
            Value::Bytes(bytes) => {
                let mut hex = Vec::new();
                put_bytes(&mut hex, bytes);
                self.text(&String::from_utf8_lossy(&hex));
            }
            Value::Error(chain) => {
                let texts = chain.enumerate();
                let texts = texts.flat_map(|(n, text)| [if n == 0 { "" } else { ": " }, text]);
                self.texts(texts.chain([mark]));
            }
            _ => self.out.push(b'?'),
        }
    }

    fn text(&mut self, text: &str) {
        self.texts([text]);
    }

    /// Writes texts as one value.
    fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t str, IntoIter: Clone>) {
        let texts = texts.into_iter();
        let bytes: usize = texts.clone().map(str::len).sum();
        let is_plain =
            |c: char| !(c.is_whitespace() || matches!(c, '"' | '=') || is_unprintable(c));
        if bytes > 0
            && self.out.len() + bytes <= self.end_max
            && texts.clone().all(|text| text.chars().all(is_plain))
        {
            return texts.for_each(|text| self.out.extend_from_slice(text.as_bytes()));
        }
        self.out.push(b'"');
        for c in texts.flat_map(str::chars) {
            if self.out.len() + ESCAPE_BYTES_MAX + "…\"".len() > self.end_max {
                self.out.extend_from_slice("…".as_bytes());
                self.is_cut = true;
                break;
            }
            put_escaped(self.out, c);
        }
        self.out.push(b'"');
    }

    fn end(self) {
        self.out.extend_from_slice(if self.is_cut { END } else { b"\n" });
    }
}

/// `outer:inner`.
fn names(span: SpanView<'_>) -> String {
    let (around, depth) = path(span);
    let names: Vec<&str> = around[..depth].iter().rev().flatten().map(SpanView::name).collect();
    names.join(":")
}

/// Writes the key of an event's field, with its `=`.
pub(super) fn put_field_key(out: &mut Vec<u8>, name: &str) {
    put_free_key(out, name, |name| OWN_KEYS.contains(&name) || name.starts_with(SPAN_PREFIX));
}

/// Writes a name behind a prefix if it is taken, or would be without such prefixes: so the name
/// `level` does not meet the name `field.level`.
fn put_free_key(out: &mut Vec<u8>, name: &str, is_taken: impl Fn(&str) -> bool) {
    if is_taken(name.trim_start_matches(FIELD_PREFIX)) {
        out.extend_from_slice(FIELD_PREFIX.as_bytes());
    }
    put_key(out, name);
}

/// Writes a key with its `=`. What no key may hold is percent-encoded, so that two names never
/// have the same key; the empty name is `%`.
fn put_key(out: &mut Vec<u8>, name: &str) {
    for c in name.chars() {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        if c.is_whitespace() || matches!(c, '"' | '=' | '%') || is_unprintable(c) {
            // Writing to a vector cannot fail.
            bytes.iter().for_each(|byte| drop(write!(out, "%{byte:02X}")));
        } else {
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(if name.is_empty() { b"%=" } else { b"=" });
}

fn put_escaped(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c if is_unprintable(c) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> String {
        let mut out = Vec::new();
        put_field_key(&mut out, name);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn different_names_have_different_keys() {
        let table = [
            ("n", "n="),
            ("level", "field.level="),
            ("field.level", "field.field.level="),
            ("field.n", "field.n="),
            ("span.x", "field.span.x="),
            ("a b", "a%20b="),
            ("a%20b", "a%2520b="),
            ("\n\u{202e}", "%0A%E2%80%AE="),
            ("", "%="),
            ("%", "%25="),
        ];
        for (name, expected) in table {
            assert_eq!(key(name), expected);
        }
    }
}
