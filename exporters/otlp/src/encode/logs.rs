//! A log event as an OTLP `LogRecord`.
//!
//! # Invariants
//!
//! - The message is the body, in its own type; every other field is an attribute.
//! - The observed time is the time: we are the ones who observed it, at the call.
//! - A span id is only there with a trace id.
//!
//! Source: opentelemetry/proto/logs/v1/logs.proto; logs data model.

use super::attributes::{Attributes, error_chain, with_any};
use super::prepared::{self, Callsites};
use super::wire::{self, bytes_key, fixed32_key, fixed64_key, varint_key};
use telemetry_core::batch::Record;
use telemetry_core::record::Value;

const ATTRIBUTE: u8 = bytes_key(6);

/// Writes the record as a field with `key`.
#[inline]
pub(crate) fn record(out: &mut Vec<u8>, key: u8, record: &Record<'_>, callsites: &mut Callsites) {
    let start = wire::begin(out, key);
    let unix_ns = record.unix_ns();
    wire::time(out, fixed64_key(1), unix_ns);
    let fields = out.len();
    let prepared =
        if record.origin().is_some() { None } else { callsites.get(record.callsite(), ATTRIBUTE) };
    let is_written =
        prepared.is_some_and(|prepared| prepared.fields(out, record.fields(), ATTRIBUTE).is_ok());
    if !is_written {
        out.truncate(fields);
        any_fields(out, record);
    }
    if let Some(trace_id) = record.trace_id() {
        let flags = record.trace_flags().bits();
        if flags != 0 {
            out.extend_from_slice(&[fixed32_key(8), flags, 0, 0, 0]);
        }
        wire::bytes(out, bytes_key(9), &trace_id.to_bytes());
        if let Some(span_id) = record.span_id() {
            wire::bytes(out, bytes_key(10), &span_id.to_bytes());
        }
    }
    wire::time(out, fixed64_key(11), unix_ns);
    wire::end(out, start);
}

/// Writes severity, body and attributes, whatever the fields are.
fn any_fields(out: &mut Vec<u8>, record: &Record<'_>) {
    let mut body = None;
    let mut attributes = Attributes::new();
    for field in record.fields() {
        if field.key == "message" {
            body = Some(field.value);
        } else {
            attributes.set(field.key, field.value);
        }
    }
    attributes.set_code(record.file(), record.line());
    prepared::severity(out, record.level());
    if let Some(body) = body {
        with_any(body, |any| {
            wire::header(out, bytes_key(5), any.len());
            any.write(out);
        });
    }
    if let Some(Value::Error(chain)) = body
        && attributes.get("message.chain").is_none()
    {
        error_chain(out, ATTRIBUTE, "message", chain);
    }
    attributes.write(out, ATTRIBUTE, varint_key(7), |_| false);
}
