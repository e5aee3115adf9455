//! Reads records back.
//!
//! # Invariants
//!
//! - Only bytes written by [`Writer`](super::Writer) of this process are read; a record that does
//!   not fit its own lengths ends early, it never panics.

use super::{HEADER_BYTES, INLINE_KEY, Kind, field_flag, flag, value_type};
use std::fmt;

/// The bytes of one record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    bytes: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(array_at(bytes, at))
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

impl<'a> RawRecord<'a> {
    /// The first record of `bytes`, if a whole one of this version is there.
    #[inline]
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER_BYTES {
            return None;
        }
        bytes.get(..length).map(|bytes| Self { bytes })
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The kind, if this version knows it.
    #[inline]
    pub(crate) fn kind(self) -> Option<Kind> {
        Kind::from_bits(self.bytes[4] & 0xf)
    }

    #[inline]
    pub(crate) fn flags(self) -> u8 {
        self.bytes[5]
    }

    #[inline]
    pub(crate) fn epoch(self) -> u8 {
        self.bytes[6]
    }

    #[inline]
    pub(crate) fn callsite(self) -> u32 {
        u32_at(self.bytes, 8)
    }

    #[inline]
    pub(crate) fn sinks(self) -> u32 {
        u32_at(self.bytes, 12)
    }

    #[inline]
    pub(crate) fn ticks(self) -> u64 {
        u64_at(self.bytes, 16)
    }

    #[inline]
    pub(crate) fn trace_id(self) -> u128 {
        u128::from(u64_at(self.bytes, 24)) << 64 | u128::from(u64_at(self.bytes, 32))
    }

    #[inline]
    pub(crate) fn span_id(self) -> u64 {
        u64_at(self.bytes, 40)
    }

    /// The whole header.
    pub(crate) fn header(self) -> Option<super::Header> {
        Some(super::Header {
            kind: self.kind()?,
            flags: self.flags(),
            epoch: self.epoch(),
            callsite: self.callsite(),
            sinks: self.sinks(),
            ticks: self.ticks(),
            trace_high: (self.trace_id() >> 64) as u64,
            trace_low: self.trace_id() as u64,
            span_id: self.span_id(),
        })
    }

    fn payload(self) -> &'a [u8] {
        let end = self.bytes.len().saturating_sub(usize::from(self.bytes[7]));
        self.bytes.get(HEADER_BYTES..end).unwrap_or_default()
    }

    /// The parent of a span that starts or gets another one; 0 = none.
    pub(crate) fn parent_id(self) -> u64 {
        u64_at(self.payload(), 0)
    }

    /// The state of the trace of a span that starts or gets another parent; empty without one.
    pub(crate) fn trace_state(self) -> &'a str {
        if self.flags() & flag::STATE == 0 {
            return "";
        }
        let payload = self.payload();
        let length = usize::from(u16_at(payload, 8));
        payload.get(10..10 + length).map(text_of).unwrap_or_default()
    }

    /// Trace id and span id of the span that another one follows from.
    pub(crate) fn follows_from(self) -> (u128, u64) {
        let payload = self.payload();
        let trace_id = u128::from(u64_at(payload, 0)) << 64 | u128::from(u64_at(payload, 8));
        (trace_id, u64_at(payload, 16))
    }

    /// Target, module, file and line that stand in the record itself.
    pub(crate) fn origin(self) -> Option<Origin<'a>> {
        if self.flags() & flag::INLINE == 0 {
            return None;
        }
        let payload = self.payload();
        let mut at = 10;
        let mut text = |n: usize| {
            let length = usize::from(u16_at(payload, n));
            let text = payload.get(at..at + length).map(text_of).unwrap_or_default();
            at += length;
            text
        };
        let (target, module, file) = (text(0), text(2), text(4));
        Some(Origin { target, module, file, line: u32_at(payload, 6) })
    }

    /// The fields, in the order in which they were written.
    #[inline]
    pub(crate) fn fields(self) -> RawFields<'a> {
        let payload = self.payload();
        let skip = match self.kind() {
            Some(Kind::SpanStart | Kind::SpanParent) if self.flags() & flag::STATE != 0 => {
                10 + usize::from(u16_at(payload, 8))
            }
            Some(Kind::SpanStart | Kind::SpanParent) => 8,
            Some(Kind::FollowsFrom) => payload.len(),
            Some(Kind::Event) if self.flags() & flag::INLINE != 0 => {
                10 + (0..3).map(|n| usize::from(u16_at(payload, n * 2))).sum::<usize>()
            }
            _ => 0,
        };
        RawFields { bytes: payload.get(skip..).unwrap_or_default() }
    }
}

/// Where an event without a static callsite comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin<'a> {
    /// The target, as the `log` crate or another source gave it.
    pub target: &'a str,
    /// The module path; empty where unknown.
    pub module: &'a str,
    /// The source file; empty where unknown.
    pub file: &'a str,
    /// The line; 0 where unknown.
    pub line: u32,
}

/// A typed value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A signed 128-bit integer.
    I128(i128),
    /// An unsigned 128-bit integer.
    U128(u128),
    /// A float, NaN and infinities included.
    F64(f64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Str(&'a str),
    /// What a `Debug` or `Display` wrote.
    Formatted(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An error with its sources.
    Error(ErrorChain<'a>),
}

impl fmt::Display for Value<'_> {
    /// Texts stand as they are, bytes in hexadecimal, an error with its sources behind colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I64(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::I128(value) => value.fmt(f),
            Self::U128(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Str(value) | Self::Formatted(value) => value.fmt(f),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Error(chain) => (*chain).enumerate().try_for_each(|(n, text)| {
                f.write_str(if n == 0 { "" } else { ": " })?;
                f.write_str(text)
            }),
        }
    }
}

impl Value<'_> {
    /// How many bytes a text takes in a record, its length included; 0 for other values.
    pub(super) fn encoded_bytes(&self) -> usize {
        match self {
            Self::Str(text) | Self::Formatted(text) => 4 + text.len(),
            Self::Error(chain) => 4 + chain.bytes.len(),
            _ => 0,
        }
    }
}

/// The texts of an error and its sources, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorChain<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for ErrorChain<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.bytes.len() < 4 {
            return None;
        }
        let length = u32_at(self.bytes, 0) as usize;
        let text = self.bytes.get(4..4 + length)?;
        self.bytes = &self.bytes[4 + length..];
        Some(text_of(text))
    }
}

/// One field of a record, by its key's name.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Field<'a> {
    /// The name.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
    /// Was the value cut at the limit?
    pub cut: bool,
}

/// A field whose key may still be an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawField<'a> {
    pub(crate) key: RawKey<'a>,
    pub(crate) value: Value<'a>,
    pub(crate) cut: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum RawKey<'a> {
    Index(u16),
    Inline(&'a str),
}

/// The fields of a record whose keys may still be indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawFields<'a> {
    bytes: &'a [u8],
}

impl<'a> RawFields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(..length)?;
        self.bytes = &self.bytes[length..];
        Some(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    #[inline]
    fn take_long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_ne_bytes(self.take_array()?) as usize;
        self.take(length)
    }

    #[inline(always)]
    fn read(&mut self) -> Option<RawField<'a>> {
        let tag = u32::from_le_bytes(self.take_array()?);
        let (key, value_type, flags) = (tag as u16, (tag >> 16) as u8, (tag >> 24) as u8);
        let key = if key == INLINE_KEY {
            let length = u16::from_ne_bytes(self.take_array()?);
            RawKey::Inline(text_of(self.take(usize::from(length))?))
        } else {
            RawKey::Index(key)
        };
        let value = match value_type {
            value_type::I64 => Value::I64(i64::from_ne_bytes(self.take_array()?)),
            value_type::U64 => Value::U64(u64::from_ne_bytes(self.take_array()?)),
            value_type::F64 => Value::F64(f64::from_ne_bytes(self.take_array()?)),
            value_type::BOOL => Value::Bool(flags & field_flag::TRUE != 0),
            value_type::STR => Value::Str(text_of(self.take_long()?)),
            value_type::FORMATTED => Value::Formatted(text_of(self.take_long()?)),
            value_type::I128 => Value::I128(i128::from_ne_bytes(self.take_array()?)),
            value_type::U128 => Value::U128(u128::from_ne_bytes(self.take_array()?)),
            value_type::BYTES => Value::Bytes(self.take_long()?),
            value_type::ERROR => Value::Error(ErrorChain { bytes: self.take_long()? }),
            _ => return None,
        };
        Some(RawField { key, value, cut: flags & field_flag::CUT != 0 })
    }
}

impl<'a> Iterator for RawFields<'a> {
    type Item = RawField<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawField<'a>> {
        self.read()
    }
}

/// The fields of a record with their names.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    raw: RawFields<'a>,
    names: &'a [String],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(raw: RawFields<'a>, names: &'a [String]) -> Self {
        Self { raw, names }
    }

    /// The field names' indices instead of their texts, for encoders that cache what they make of
    /// a callsite's names. The index is `None` for a key that stands in the record itself.
    #[inline(always)]
    pub fn next_indexed(&mut self) -> Option<(Option<u16>, Field<'a>)> {
        let raw = self.raw.next()?;
        let (index, key) = match raw.key {
            RawKey::Index(index) => {
                (Some(index), self.names.get(usize::from(index)).map_or("", String::as_str))
            }
            RawKey::Inline(key) => (None, key),
        };
        Some((index, Field { key, value: raw.value, cut: raw.cut }))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        self.next_indexed().map(|(_, field)| field)
    }
}

#[inline]
fn text_of(bytes: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(bytes).is_ok());
    // SAFETY: texts are written from `&str` only and cut on character boundaries, and records are
    // built by `Writer` alone (`RawRecord::first` is not public).
    unsafe { std::str::from_utf8_unchecked(bytes) }
}
