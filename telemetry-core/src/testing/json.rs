//! Captured records as JSON that is the same in every run.
//!
//! # Invariants
//!
//! - Nothing in it depends on the clock, on random ids, or on the lines of source files.

use super::memory::{CapturedRecord, OwnedValue};
use crate::record::Kind;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;

/// The records as an array, in their order, a line for each property.
pub(super) fn of(records: &[CapturedRecord]) -> String {
    let mut json = Json { text: String::from("["), depth: 1, is_first: true };
    let (mut traces, mut spans) = (Numbers::default(), Numbers::default());
    for record in records {
        json.item("{");
        let kind = if record.kind == Kind::Event { "event" } else { "span" };
        json.property("kind", &quoted(kind));
        json.property("level", &quoted(record.level.as_str()));
        json.property("target", &quoted(&record.target));
        if let Some(name) = record.chosen_name() {
            json.property("name", &quoted(name));
        }
        if let Some(trace) = record.trace_id {
            json.property("trace", &traces.of(trace).to_string());
        }
        // Of a finished span the first is the span itself.
        let (own, around) = match (record.kind, &record.spans[..]) {
            (Kind::SpanClose, [own, around @ ..]) => (own.span_id, around),
            (_, around) => (None, around),
        };
        if let Some(own) = own {
            json.property("span", &spans.of(own).to_string());
        }
        if !around.is_empty() {
            let names: Vec<_> = around
                .iter()
                .rev()
                .map(|span| match span.span_id {
                    Some(id) => quoted(&format!("{} {}", span.name, spans.of(id))),
                    None => quoted(&span.name),
                })
                .collect();
            json.property("inside", &format!("[{}]", names.join(", ")));
        }
        if let Some(message) = record.field("message") {
            json.property("message", &value("message", message));
        }
        put_fields(&mut json, record);
        json.end("}");
    }
    json.end("]");
    json.text.push('\n');
    json.text
}

fn put_fields(json: &mut Json, record: &CapturedRecord) {
    let mut fields = record.fields.iter().filter(|(key, _)| key != "message").peekable();
    if fields.peek().is_none() {
        return;
    }
    json.open("fields", "{");
    for (key, field) in fields {
        json.property(key, &value(key, field));
    }
    json.end("}");
}

/// Ids in the order in which they came.
struct Numbers<T>(HashMap<T, usize>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Hash + Eq> Numbers<T> {
    fn of(&mut self, id: T) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(id).or_insert(next)
    }
}

fn value(key: &str, value: &OwnedValue) -> String {
    match value {
        // `file:line` of where a task was started.
        OwnedValue::Text(text) if key == "task.location" => {
            quoted(text.rsplit_once(':').map_or(text.as_str(), |(file, _)| file))
        }
        OwnedValue::Text(text) => quoted(text),
        OwnedValue::F64(number) if !number.is_finite() => quoted(&number.to_string()),
        OwnedValue::Error(chain) => {
            let chain: Vec<_> = chain.iter().map(|error| quoted(error)).collect();
            format!("[{}]", chain.join(", "))
        }
        OwnedValue::Bytes(bytes) => {
            let mut text = String::new();
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            quoted(&text)
        }
        number => number.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // JSON has no other escape (RFC 8259, section 7).
            control if control < ' ' => drop(write!(quoted, "\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes indented JSON.
struct Json {
    text: String,
    depth: usize,
    /// Nothing stands yet in what is open.
    is_first: bool,
}

impl Json {
    fn item(&mut self, opening: &str) {
        self.line();
        self.begin(opening);
    }

    fn open(&mut self, key: &str, opening: &str) {
        self.line();
        let _ = write!(self.text, "{}: ", quoted(key));
        self.begin(opening);
    }

    fn begin(&mut self, opening: &str) {
        self.text.push_str(opening);
        self.depth += 1;
        self.is_first = true;
    }

    fn property(&mut self, key: &str, value: &str) {
        self.line();
        let _ = write!(self.text, "{}: {value}", quoted(key));
    }

    fn line(&mut self) {
        if !self.is_first {
            self.text.push(',');
        }
        self.is_first = false;
        self.indent();
    }

    fn indent(&mut self) {
        let _ = write!(self.text, "\n{:width$}", "", width = 2 * self.depth);
    }

    fn end(&mut self, closing: &str) {
        self.depth -= 1;
        if !self.is_first {
            self.indent();
        }
        self.text.push_str(closing);
        self.is_first = false;
    }
}
