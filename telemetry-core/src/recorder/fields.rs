//! The fields that a record gets from the scope it is emitted in.

use crate::local::Local;
use crate::metric::Value;
use crate::record::{Encode, Kind, Writer};
use crate::redaction;

/// Writes the scope's key-values, before the record's own fields: exporters that keep one field of
/// a name keep the last.
#[cold]
#[inline(never)]
pub(super) fn write(local: &Local, kind: Kind, writer: &mut Writer<'_>) {
    if !matches!(kind, Kind::Event | Kind::SpanStart) {
        return;
    }
    if let Some(frame) = local.frames.top() {
        let is_known = frame.list == redaction::list();
        for (key, value) in frame.fields.iter() {
            match is_known {
                true => writer.inline_as_is(key, value),
                false => writer.inline(key, value),
            }
        }
    }
}

impl Encode for Value {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        match self {
            Self::Str(value) => writer.str(key, value),
            Self::I64(value) => writer.i64(key, *value),
            Self::F64(value) => writer.f64(key, *value),
            Self::Bool(value) => writer.bool(key, *value),
        }
    }
}
