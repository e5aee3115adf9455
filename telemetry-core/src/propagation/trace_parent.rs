//! `traceparent`: which span of which trace a caller is in (W3C Trace Context, levels 1 and 2).
//!
//! # Invariants
//!
//! - What is parsed is valid: no id is zero, hexadecimal is lowercase, version `ff` is refused.
//! - What is written is version `00`, with the flags of level 2 and no others.

use super::ids::{SpanId, TraceId};
use std::fmt;

/// The W3C trace flags that this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// The caller may have recorded its span.
    pub const SAMPLED: Self = Self(1);
    /// At least the right-most 56 bits of the trace id are random (level 2).
    pub const RANDOM: Self = Self(2);

    /// The flags with these bits; unknown ones are dropped, as the specification asks.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Is the trace sampled?
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Is the trace id random?
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }
}

impl std::ops::BitOr for TraceFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for TraceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceFlags({:02x})", self.0)
    }
}

/// The content of a `traceparent` header.
///
/// ```
/// use telemetry_core::context::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent = TraceParent::parse(text).unwrap();
/// assert!(parent.flags.is_sampled());
/// assert_eq!(parent.to_string(), text);
/// assert!(TraceParent::parse(&text.to_uppercase()).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// Its flags.
    pub flags: TraceFlags,
}

/// Bytes of a `traceparent` of version `00`.
const LENGTH: usize = 55;

impl TraceParent {
    /// Reads a header's value; `None` for one that must be ignored.
    ///
    /// Spaces and tabs around it do no harm. A higher version is read as far as this one is known,
    /// if a `-` follows what is known.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim_matches([' ', '\t']).as_bytes();
        let known: &[u8; LENGTH] = bytes.first_chunk()?;
        let version = hex(&known[..2])?;
        let is_whole = bytes.len() == LENGTH;
        if version == 0xff || (version == 0 && !is_whole) {
            return None;
        }
        if !is_whole && bytes[LENGTH] != b'-' {
            return None;
        }
        if [2, 35, 52].iter().any(|at| known[*at] != b'-') {
            return None;
        }
        Some(Self {
            trace_id: TraceId::new(hex(&known[3..35])?)?,
            span_id: SpanId::new(hex(&known[36..52])? as u64)?,
            flags: TraceFlags::from_bits(hex(&known[53..55])? as u8),
        })
    }
}

/// Writes the header's value, in version `00`.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags.bits())
    }
}

/// Lowercase hexadecimal digits, at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}
