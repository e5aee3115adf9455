//! The record: one event, one step of a span's life, as typed bytes.
//!
//! # Format (version 1, native byte order)
//!
//! ```text
//! offset  size  header
//!      0     4  length in bytes, header and padding included; a multiple of 8
//!      4     1  format version << 4 | kind
//!      5     1  flags
//!      6     1  epoch of the pipeline that took the decision
//!      7     1  padding bytes at the end, 0 to 7
//!      8     4  callsite id
//!     12     4  sink mask: bit n is set when sink n wants the record
//!     16     8  ticks
//!     24    16  trace id, upper half first; 0 = none
//!     40     8  span id: the span itself, or the span an event is in; 0 = none
//!     48        payload
//!
//! payload     event          [origin if flag INLINE] fields
//!             span start     parent span id (8), [state if flag STATE], fields
//!             span record    fields
//!             span close     nothing
//!             follows from   trace id (16), span id (8) of the other span
//!             span parent    parent span id (8), [state if flag STATE]; the header has the trace it
//!                            is in from now on
//!
//! origin      target length (2), module length (2), file length (2), line (4), the three texts
//!
//! state       length (2), the text of the trace's state
//!
//! field       key (2): index into the callsite's names, or 0xFFFF: an inline key follows
//!             type (1), field flags (1), [inline key: length (2), text]
//!             value: 8 bytes (i64, u64, f64), 16 bytes (i128, u128), none (bool: in the flags),
//!                    length (4) and bytes (str, formatted, bytes, error)
//!             error: a list of texts, each length (4) and bytes: the error, then its sources
//! ```
//!
//! # Invariants
//!
//! - No process address is in a record: it can be read by another process that has the callsite
//!   table.
//! - Nothing is allocated and no number is formatted at the call site.
//! - A value is cut at [`VALUE_BYTES_MAX`], a record at [`RECORD_BYTES_MAX`], on a character
//!   boundary; what was cut is marked on the field and on the record.

mod encode;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;
mod write;

pub use encode::Encode;
pub use read::{ErrorChain, Field, Fields, Origin, Value};
pub(crate) use read::{RawField, RawFields, RawKey, RawRecord};
pub use write::Writer;
pub(crate) use write::{Room, floor};

/// The longest text or bytes value that is kept whole, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// The largest record, in bytes, its header included.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The longest inline key (log key-values, scoped context) that is kept whole, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// How many sources of an error are kept.
pub const ERROR_SOURCES_MAX: usize = 32;

pub(crate) const HEADER_BYTES: usize = 48;
pub(crate) const VERSION: u8 = 1;
pub(crate) const INLINE_KEY: u16 = u16::MAX;

/// What a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Something happened: a log event.
    Event = 1,
    /// A span began; carries its first attributes.
    SpanStart = 2,
    /// A span was given further attributes.
    SpanRecord = 3,
    /// A span ended.
    SpanClose = 4,
    /// A span names another one that it follows from: a link.
    FollowsFrom = 5,
    /// A span was given another parent, and with it another trace.
    SpanParent = 6,
}

impl Kind {
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Event,
            2 => Self::SpanStart,
            3 => Self::SpanRecord,
            4 => Self::SpanClose,
            5 => Self::FollowsFrom,
            6 => Self::SpanParent,
            _ => return None,
        })
    }
}

/// Bits of a record's header.
pub(crate) mod flag {
    use crate::propagation::TraceFlags;

    /// The trace is sampled.
    pub(crate) const SAMPLED: u8 = 1;
    /// A value or a field was cut.
    pub(crate) const CUT: u8 = 2;
    /// Target, module, file and line stand in the payload.
    pub(crate) const INLINE: u8 = 4;
    /// The parent span belongs to another process; of an event, the span that it is in.
    pub(crate) const REMOTE_PARENT: u8 = 8;
    /// The trace id is random (W3C Trace Context, level 2).
    pub(crate) const RANDOM: u8 = 16;
    /// The trace has a state, which the recorder keeps; the record that says in which trace a span
    /// is, says it.
    pub(crate) const STATE: u8 = 32;
    /// The span itself is one of those that keep the state.
    pub(crate) const HOLDS_STATE: u8 = 64;

    /// What other processes know of the bits.
    pub(crate) fn to_trace_flags(bits: u8) -> TraceFlags {
        let pick = |bit, flags| if bits & bit != 0 { flags } else { TraceFlags::default() };
        pick(SAMPLED, TraceFlags::SAMPLED) | pick(RANDOM, TraceFlags::RANDOM)
    }

    /// The bits that come from another process.
    pub(crate) fn of_trace_flags(flags: TraceFlags) -> u8 {
        let pick = |is_set, bit| if is_set { bit } else { 0 };
        pick(flags.is_sampled(), SAMPLED) | pick(flags.is_random(), RANDOM)
    }
}

/// Bits of a field's flags.
pub(crate) mod field_flag {
    pub(crate) const CUT: u8 = 1;
    pub(crate) const TRUE: u8 = 2;
}

/// Types of a field's value.
pub(crate) mod value_type {
    pub(crate) const I64: u8 = 1;
    pub(crate) const U64: u8 = 2;
    pub(crate) const F64: u8 = 3;
    pub(crate) const BOOL: u8 = 4;
    pub(crate) const STR: u8 = 5;
    pub(crate) const FORMATTED: u8 = 6;
    pub(crate) const I128: u8 = 7;
    pub(crate) const U128: u8 = 8;
    pub(crate) const BYTES: u8 = 9;
    pub(crate) const ERROR: u8 = 10;
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) epoch: u8,
    pub(crate) callsite: u32,
    pub(crate) sinks: u32,
    pub(crate) ticks: u64,
    pub(crate) trace_high: u64,
    pub(crate) trace_low: u64,
    pub(crate) span_id: u64,
}
