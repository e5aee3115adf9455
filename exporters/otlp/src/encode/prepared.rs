//! What of an event's callsite is the same in all its records, encoded once.
//!
//! # Invariants
//!
//! - Only a plain callsite is prepared: its names are unique, none is empty, and none is one that
//!   the encoder adds by itself. So its records need no search for equal keys, unless a record
//!   has a field twice or an inline key, which [`Prepared::fields`] finds out.

use super::attributes::{ATTRIBUTES_MAX, key_value, with_any};
use super::wire::{self, bytes_key, varint_key};
use telemetry_core::callsite::Callsite;
use telemetry_core::record::{Fields, Value};

/// The parts of a `LogRecord` that a callsite determines.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Severity number and text.
    severity: Vec<u8>,
    /// The field names, each as a `KeyValue`'s key.
    names: Vec<Vec<u8>>,
    /// The attributes that say where the callsite is.
    code: Vec<u8>,
    message: Option<usize>,
}

/// The record has a field twice, an inline key, an error, or its message is not the first field.
#[derive(Debug)]
pub(crate) struct NotPlain;

/// Severity number and text.
pub(crate) fn severity(out: &mut Vec<u8>, level: telemetry_core::Level) {
    out.extend_from_slice(&[varint_key(2), level.severity_number()]);
    wire::text(out, bytes_key(3), level.as_str());
}

impl Prepared {
    /// Prepares a callsite, if it is plain.
    pub(crate) fn of(callsite: &Callsite, attribute: u8) -> Option<Self> {
        let names = callsite.fields();
        let is_plain = |(n, name): (usize, &String)| {
            !name.is_empty() && !name.starts_with("code.") && !names[..n].contains(name)
        };
        // Two places are left for the attributes of the code.
        if names.len() > ATTRIBUTES_MAX - 2 || !names.iter().enumerate().all(is_plain) {
            return None;
        }
        let mut prepared = Self {
            severity: Vec::new(),
            names: Vec::with_capacity(names.len()),
            code: Vec::new(),
            message: names.iter().position(|name| name == "message"),
        };
        severity(&mut prepared.severity, callsite.level());
        for name in names {
            let mut encoded = Vec::with_capacity(name.len() + 3);
            wire::bytes(&mut encoded, bytes_key(1), name.as_bytes());
            prepared.names.push(encoded);
        }
        if let Some(file) = callsite.file() {
            key_value(&mut prepared.code, attribute, "code.file.path", Value::Str(file));
        }
        if let Some(line) = callsite.line() {
            let line = Value::U64(u64::from(line));
            key_value(&mut prepared.code, attribute, "code.line.number", line);
        }
        Some(prepared)
    }

    /// Writes severity, body and attributes. After `Err` the caller takes back what was written.
    #[inline]
    pub(crate) fn fields(
        &self,
        out: &mut Vec<u8>,
        mut fields: Fields<'_>,
        attribute: u8,
    ) -> Result<(), NotPlain> {
        out.extend_from_slice(&self.severity);
        let mut seen = 0_u128;
        while let Some((index, field)) = fields.next_indexed() {
            let index = usize::from(index.ok_or(NotPlain)?);
            let name = self.names.get(index).ok_or(NotPlain)?;
            let bit = 1 << index;
            if seen & bit != 0 || matches!(field.value, Value::Error(_)) {
                return Err(NotPlain);
            }
            if self.message == Some(index) {
                // The body's number is below the attributes': it comes first or not at all.
                if seen != 0 {
                    return Err(NotPlain);
                }
                with_any(field.value, |any| {
                    wire::header(out, bytes_key(5), any.len());
                    any.write(out);
                });
            } else {
                with_any(field.value, |any| {
                    let length = any.len();
                    wire::header(out, attribute, name.len() + wire::field_len(length));
                    out.extend_from_slice(name);
                    wire::header(out, bytes_key(2), length);
                    any.write(out);
                });
            }
            seen |= bit;
        }
        out.extend_from_slice(&self.code);
        Ok(())
    }
}

/// Callsites by id: prepared, or known not to be plain.
#[derive(Debug, Default)]
pub(crate) struct Callsites {
    by_id: Vec<Option<Result<Box<Prepared>, NotPlain>>>,
}

impl Callsites {
    /// The prepared callsite, if it is plain.
    #[inline]
    pub(crate) fn get(&mut self, callsite: &Callsite, attribute: u8) -> Option<&Prepared> {
        let id = callsite.id() as usize;
        if !matches!(self.by_id.get(id), Some(Some(_))) {
            self.prepare(callsite, attribute, id);
        }
        self.by_id.get(id)?.as_ref()?.as_deref().ok()
    }

    #[cold]
    fn prepare(&mut self, callsite: &Callsite, attribute: u8, id: usize) {
        if self.by_id.len() <= id {
            self.by_id.resize_with(id + 1, || None);
        }
        self.by_id[id] = Some(Prepared::of(callsite, attribute).map(Box::new).ok_or(NotPlain));
    }
}
