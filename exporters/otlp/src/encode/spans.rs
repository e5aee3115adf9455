//! A finished span as an OTLP `Span`.
//!
//! # Invariants
//!
//! - `end >= start`, and the name is never empty.
//! - `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_message` (or
//!   `otel.status_description`) shape the span, as with tracing-opentelemetry; one whose value is
//!   not understood stays an attribute.
//! - Events inside a span are log records with its ids, not span events: the record is sent once.
//!
//! Source: opentelemetry/proto/trace/v1/trace.proto.

use super::attributes::Attributes;
use super::wire::{self, bytes_key, fixed32_key, fixed64_key, varint_key};
use telemetry_core::batch::{Record, SpanView};
use telemetry_core::record::Value;

const NAME: &str = "otel.name";
const KIND: &str = "otel.kind";
const STATUS_CODE: &str = "otel.status_code";
const STATUS_MESSAGE: [&str; 2] = ["otel.status_message", "otel.status_description"];

/// What the fields named `otel.…` say.
#[derive(Debug, Default)]
struct Shape<'a> {
    name: Option<&'a str>,
    kind: Option<u8>,
    status: Option<Status>,
    status_message: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Status {
    Ok = 1,
    Error = 2,
}

fn text_of(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Str(text) | Value::Formatted(text) => Some(text),
        Value::Error(mut chain) => chain.next(),
        _ => None,
    }
}

fn kind_of(text: &str) -> Option<u8> {
    let kinds = ["internal", "server", "client", "producer", "consumer"];
    let at = kinds.iter().position(|kind| kind.eq_ignore_ascii_case(text))?;
    Some(at as u8 + 1)
}

fn status_of(text: &str) -> Option<Status> {
    [("ok", Status::Ok), ("error", Status::Error)]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, status)| status)
}

impl<'a> Shape<'a> {
    fn of(attributes: &Attributes<'a>) -> Self {
        let text = |key| attributes.get(key).and_then(text_of);
        let status_message = STATUS_MESSAGE.into_iter().find_map(text);
        Self {
            name: text(NAME).filter(|name| !name.is_empty()),
            kind: text(KIND).and_then(kind_of),
            // A message alone says that something went wrong.
            status: match attributes.get(STATUS_CODE) {
                Some(code) => text_of(code).and_then(status_of),
                None => status_message.map(|_| Status::Error),
            },
            status_message,
        }
    }

    /// Is the field consumed, so that it is no attribute?
    fn takes(&self, key: &str) -> bool {
        match key.strip_prefix("otel.") {
            None => false,
            Some("name") => self.name.is_some(),
            Some("kind") => self.kind.is_some(),
            Some("status_code") => self.status.is_some(),
            Some("status_message" | "status_description") => {
                self.status == Some(Status::Error) && self.status_message.is_some()
            }
            Some(_) => false,
        }
    }
}

/// Writes the span that `record` ends as a field with `key`; `false` if it has no ids, or if its
/// beginning is not known.
pub(crate) fn record(out: &mut Vec<u8>, key: u8, record: &Record<'_>) -> bool {
    let Some(span) = record.span() else { return false };
    let (Some(trace_id), Some(span_id)) = (span.trace_id(), span.span_id()) else { return false };
    let mut attributes = Attributes::new();
    for field in span.fields() {
        attributes.set(field.key, field.value);
    }
    let shape = Shape::of(&attributes);
    attributes.set_code(record.file(), record.line());

    let start = wire::begin(out, key);
    wire::bytes(out, bytes_key(1), &trace_id.to_bytes());
    wire::bytes(out, bytes_key(2), &span_id.to_bytes());
    wire::text(out, bytes_key(3), span.trace_state().as_str());
    if let Some(parent) = span.parent_id() {
        wire::bytes(out, bytes_key(4), &parent.to_bytes());
    }
    let name = shape.name.unwrap_or(span.name());
    wire::text(out, bytes_key(5), if name.is_empty() { "unnamed" } else { name });
    out.extend_from_slice(&[varint_key(6), shape.kind.unwrap_or(1)]);
    let start_unix_ns = span.start_unix_ns();
    wire::time(out, fixed64_key(7), start_unix_ns);
    wire::time(out, fixed64_key(8), record.unix_ns().max(start_unix_ns));
    attributes.write(out, bytes_key(9), varint_key(10), |key| shape.takes(key));
    links(out, &span);
    status(out, &shape);
    flags(out, &span);
    wire::end(out, start);
    true
}

fn links(out: &mut Vec<u8>, span: &SpanView<'_>) {
    for (trace_id, span_id) in span.links() {
        let link = wire::begin(out, bytes_key(13));
        wire::bytes(out, bytes_key(1), &trace_id.to_bytes());
        wire::bytes(out, bytes_key(2), &span_id.to_bytes());
        wire::end(out, link);
    }
}

fn status(out: &mut Vec<u8>, shape: &Shape<'_>) {
    let Some(status) = shape.status else { return };
    let start = wire::begin(out, bytes_key(15));
    if status == Status::Error {
        // A description is for errors only (trace API, set status).
        wire::text(out, bytes_key(2), shape.status_message.unwrap_or_default());
    }
    out.extend_from_slice(&[varint_key(3), status as u8]);
    wire::end(out, start);
}

fn flags(out: &mut Vec<u8>, span: &SpanView<'_>) {
    const HAS_IS_REMOTE: u8 = 1;
    const IS_REMOTE: u8 = 2;
    let remote = if span.has_remote_parent() { IS_REMOTE } else { 0 };
    // Field 16 is the first whose key takes two bytes.
    out.extend_from_slice(&[
        fixed32_key(0) | 0x80,
        1,
        span.trace_flags().bits(),
        HAS_IS_REMOTE | remote,
        0,
        0,
    ]);
}
