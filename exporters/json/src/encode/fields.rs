//! Fields as one JSON object in which every key stands once.
//!
//! # Invariants
//!
//! - Of fields with the same key the last is kept, in its place.
//! - The keys of a callsite are compared once, not per record: a record whose fields all are
//!   fields of a callsite without equal names needs one word of bits.

use super::callsites::{Pieces, put_key};
use super::limits::Limits;
use super::value::put_value;
use std::collections::HashMap;
use telemetry_core::record::Fields;

/// Up to so many fields are compared with each other; more get a map.
const COMPARED_MAX: usize = 24;

/// Writes `{"key":value,…}`. Returns whether something was cut.
#[inline]
pub(crate) fn put_fields(
    out: &mut Vec<u8>,
    fields: Fields<'_>,
    pieces: Option<&Pieces>,
    limits: &Limits,
) -> bool {
    let begin = out.len();
    if let Some(pieces) = pieces
        && pieces.unique
        && limits.is_none()
    {
        if let Some(cut) = put_unique(out, fields.clone(), pieces) {
            close_object(out, begin);
            return cut;
        }
        out.truncate(begin);
    }
    let cut = put_last(out, fields, limits);
    close_object(out, begin);
    cut
}

/// Makes an object of `,"key":value…`, or of nothing.
#[inline]
pub(crate) fn close_object(out: &mut Vec<u8>, begin: usize) {
    match out.get_mut(begin) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Writes fields of the callsite; `None` when a key comes twice or is not the callsite's.
#[inline]
fn put_unique(out: &mut Vec<u8>, mut fields: Fields<'_>, pieces: &Pieces) -> Option<bool> {
    let (mut seen, mut cut) = (0_u64, false);
    while let Some((index, field)) = fields.next_indexed() {
        let index = usize::from(index?);
        let key = pieces.keys.get(index)?;
        let bit = 1 << index; // there are at most 64
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        out.extend_from_slice(key);
        cut |= field.cut | put_value(out, field.value, usize::MAX);
    }
    Some(cut)
}

/// Writes any fields, of equal keys the last.
fn put_last(out: &mut Vec<u8>, mut fields: Fields<'_>, limits: &Limits) -> bool {
    let count = fields.clone().count();
    let last: Option<HashMap<&str, usize>> = (count > COMPARED_MAX)
        .then(|| fields.clone().enumerate().map(|(n, field)| (field.key, n)).collect());
    let (mut cut, mut kept, mut n) = (false, 0, 0);
    while let Some(field) = fields.next() {
        let is_last = match &last {
            Some(last) => last.get(field.key) == Some(&n),
            None => fields.clone().all(|later| later.key != field.key),
        };
        n += 1;
        if !is_last {
            continue;
        }
        if kept == limits.items_max || field.key.len() > limits.text_bytes_max {
            cut = true;
            continue;
        }
        kept += 1;
        put_key(out, field.key);
        cut |= field.cut | put_value(out, field.value, limits.text_bytes_max);
    }
    cut
}
