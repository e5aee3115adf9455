//! Fields as attributes: unique keys, typed values.
//!
//! # Invariants
//!
//! - A key occurs once: of equal keys the last value wins, at the place of the first.
//! - At most [`ATTRIBUTES_MAX`] attributes a record; what is beyond, and what has an empty key, is
//!   counted as dropped.
//! - Up to [`INLINE`] attributes nothing is allocated.
//! - No value is lost for its type: integers beyond `i64` become decimal text, and of an error
//!   with sources `<key>` is its own text and `<key>.chain` the list of its sources' texts.

use super::wire;
use std::fmt::Write as _;
use telemetry_core::record::{ErrorChain, Value};

/// How many attributes a record may have (`OTEL_ATTRIBUTE_COUNT_LIMIT`'s default).
pub(crate) const ATTRIBUTES_MAX: usize = 128;
const INLINE: usize = 12;
const CHAIN: &str = ".chain";

/// A key and its value.
pub(crate) type Attribute<'a> = (&'a str, Value<'a>);

/// The attributes of one record.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    first: [Attribute<'a>; INLINE],
    length: usize,
    more: Vec<Attribute<'a>>,
    dropped: u32,
    has_error: bool,
}

impl<'a> Attributes<'a> {
    #[inline]
    pub(crate) fn new() -> Self {
        let first = [("", Value::Bool(false)); INLINE];
        Self { first, length: 0, more: Vec::new(), dropped: 0, has_error: false }
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &Attribute<'a>> {
        self.first[..self.length].iter().chain(&self.more)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
    }

    /// Sets a key, whether it is there or not.
    #[inline]
    pub(crate) fn set(&mut self, key: &'a str, value: Value<'a>) {
        self.has_error |= matches!(value, Value::Error(_));
        let mut known = self.first[..self.length].iter_mut().chain(&mut self.more);
        if let Some((_, old)) = known.find(|(other, _)| *other == key) {
            *old = value;
        } else {
            self.push(key, value);
        }
    }

    #[inline]
    fn push(&mut self, key: &'a str, value: Value<'a>) {
        if self.length < INLINE && !key.is_empty() {
            self.first[self.length] = (key, value);
            self.length += 1;
        } else if self.length + self.more.len() < ATTRIBUTES_MAX && !key.is_empty() {
            self.more.push((key, value));
        } else {
            self.dropped += 1;
        }
    }

    /// Sets a key unless it is there: what the user says comes first.
    #[inline]
    pub(crate) fn set_absent(&mut self, key: &'a str, value: Value<'a>) {
        if self.get(key).is_none() {
            self.push(key, value);
        }
    }

    /// Adds where the record comes from.
    #[inline]
    pub(crate) fn set_code(&mut self, file: Option<&'a str>, line: Option<u32>) {
        if let Some(file) = file {
            self.set_absent("code.file.path", Value::Str(file));
        }
        if let Some(line) = line {
            self.set_absent("code.line.number", Value::U64(u64::from(line)));
        }
    }

    /// Writes all but those that `skip` names, each as a field with `key`, and the number of those
    /// dropped as a field with `dropped_key`.
    #[inline]
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        key: u8,
        dropped_key: u8,
        skip: impl Fn(&str) -> bool,
    ) {
        for (name, value) in self.iter().filter(|(name, _)| !skip(name)) {
            key_value(out, key, name, *value);
        }
        if self.has_error {
            self.write_chains(out, key);
        }
        if self.dropped > 0 {
            out.push(dropped_key);
            wire::varint(out, u64::from(self.dropped));
        }
    }

    fn write_chains(&self, out: &mut Vec<u8>, key: u8) {
        for (name, value) in self.iter() {
            if let Value::Error(chain) = value {
                let is_taken = |other: &str| other.strip_suffix(CHAIN) == Some(name);
                if !self.iter().any(|(other, _)| is_taken(other)) {
                    error_chain(out, key, name, *chain);
                }
            }
        }
    }
}

/// Writes the list of an error's sources as the attribute `<name>.chain`, if it has any.
pub(crate) fn error_chain(out: &mut Vec<u8>, key: u8, name: &str, chain: ErrorChain<'_>) {
    let mut sources = chain.skip(1).peekable();
    if sources.peek().is_none() {
        return;
    }
    let start = wire::begin(out, key);
    wire::header(out, wire::bytes_key(1), name.len() + CHAIN.len());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(CHAIN.as_bytes());
    let value = wire::begin(out, wire::bytes_key(2));
    let list = wire::begin(out, wire::bytes_key(5));
    for source in sources {
        let text = Any::Text(source);
        wire::header(out, wire::bytes_key(1), text.len());
        text.write(out);
    }
    wire::end(out, list);
    wire::end(out, value);
    wire::end(out, start);
}

/// OTLP's `AnyValue`, as far as a single field can be one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Any<'a> {
    Text(&'a str),
    Bool(bool),
    I64(i64),
    F64(f64),
    Bytes(&'a [u8]),
}

impl Any<'_> {
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Text(text) => wire::field_len(text.len()),
            Self::Bytes(bytes) => wire::field_len(bytes.len()),
            Self::Bool(_) => 2,
            Self::I64(value) => 1 + wire::varint_len(value as u64),
            Self::F64(_) => 9,
        }
    }

    #[inline]
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            // A member of a oneof is written even where it is the default, or it would be absent.
            Self::Text(text) => wire::bytes(out, wire::bytes_key(1), text.as_bytes()),
            Self::Bool(value) => out.extend_from_slice(&[wire::varint_key(2), u8::from(value)]),
            Self::I64(value) => {
                out.push(wire::varint_key(3));
                wire::varint(out, value as u64);
            }
            Self::F64(value) => wire::fixed64(out, wire::fixed64_key(4), value.to_bits()),
            Self::Bytes(bytes) => wire::bytes(out, wire::bytes_key(7), bytes),
        }
    }
}

/// Room for the decimal digits of any 128-bit integer.
struct Digits {
    bytes: [u8; 40],
    length: usize,
}

impl std::fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Gives `write` the value in OTLP's terms.
#[inline]
pub(crate) fn with_any(value: Value<'_>, write: impl FnOnce(Any<'_>)) {
    match value {
        Value::Str(text) | Value::Formatted(text) => write(Any::Text(text)),
        Value::I64(value) => write(Any::I64(value)),
        Value::U64(value) => match i64::try_from(value) {
            Ok(value) => write(Any::I64(value)),
            Err(_) => with_digits(format_args!("{value}"), write),
        },
        Value::Bool(value) => write(Any::Bool(value)),
        Value::F64(value) => write(Any::F64(value)),
        Value::I128(value) => with_digits(format_args!("{value}"), write),
        Value::U128(value) => with_digits(format_args!("{value}"), write),
        Value::Bytes(bytes) => write(Any::Bytes(bytes)),
        Value::Error(mut chain) => write(Any::Text(chain.next().unwrap_or_default())),
        // A type that this version does not know: say so instead of losing the key.
        _ => write(Any::Text("<unknown type>")),
    }
}

#[cold]
fn with_digits(number: std::fmt::Arguments<'_>, write: impl FnOnce(Any<'_>)) {
    let mut digits = Digits { bytes: [0; 40], length: 0 };
    // 40 bytes hold the sign and all digits of an `i128`.
    let _ = digits.write_fmt(number);
    write(Any::Text(std::str::from_utf8(&digits.bytes[..digits.length]).unwrap_or_default()));
}

/// Writes a `KeyValue` as a field with `key`.
#[inline]
pub(crate) fn key_value(out: &mut Vec<u8>, key: u8, name: &str, value: Value<'_>) {
    with_any(value, |any| key_any(out, key, name, any));
}

/// Writes a `KeyValue` as a field with `key`.
#[inline]
pub(crate) fn key_any(out: &mut Vec<u8>, key: u8, name: &str, any: Any<'_>) {
    let length = any.len();
    wire::header(out, key, wire::field_len(name.len()) + wire::field_len(length));
    wire::bytes(out, wire::bytes_key(1), name.as_bytes());
    wire::header(out, wire::bytes_key(2), length);
    any.write(out);
}
