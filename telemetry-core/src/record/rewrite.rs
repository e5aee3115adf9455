//! A record with other texts: for the worker, which replaces secrets.
//!
//! # Invariants
//!
//! - What is not replaced is copied byte by byte; a record without a replacement is not copied.
//! - The limits of a record hold for the result, too: what grows beyond them is cut and marked.

use super::write::floor;
use super::{
    ERROR_SOURCES_MAX, HEADER_BYTES, RECORD_BYTES_MAX, RawField, RawFields, RawRecord,
    VALUE_BYTES_MAX, Value, field_flag, flag,
};

/// Gives the text to take instead of another; `None` = it stays.
pub(crate) type Replace<'r> = &'r mut dyn FnMut(&str) -> Option<String>;

impl RawRecord<'_> {
    /// The record with the texts of its fields replaced; `None` where none is.
    pub(crate) fn with_texts(self, replace: Replace<'_>) -> Option<Vec<u8>> {
        let fields = self.fields();
        let start = self.end_of_payload() - fields.bytes().len();
        let mut new_record = None;
        let mut rest = fields;
        while let Some((raw, field)) = next_raw(&mut rest) {
            let done = fields.bytes().len() - rest.bytes().len() - raw.len();
            let Some((value, is_cut)) = new_value(&field, replace) else {
                new_record.iter_mut().for_each(|record| push(record, &[raw]));
                continue;
            };
            let record = new_record.get_or_insert_with(|| self.bytes()[..start + done].to_vec());
            let mut head = raw[..raw.len() - field.value.encoded_bytes()].to_vec();
            if is_cut {
                head[3] |= field_flag::CUT;
                record[5] |= flag::CUT;
            }
            push(record, &[&head, &(value.len() as u32).to_ne_bytes(), &value]);
        }
        new_record.map(finished)
    }

    fn end_of_payload(self) -> usize {
        self.bytes().len() - usize::from(self.bytes()[7])
    }
}

fn next_raw<'a>(rest: &mut RawFields<'a>) -> Option<(&'a [u8], RawField<'a>)> {
    let before = rest.bytes();
    let field = rest.next()?;
    Some((&before[..before.len() - rest.bytes().len()], field))
}

/// The bytes of a field's value behind their length, if a text of it is replaced; was it cut?
fn new_value(field: &RawField<'_>, replace: Replace<'_>) -> Option<(Vec<u8>, bool)> {
    match field.value {
        Value::Str(text) | Value::Formatted(text) => {
            let text = replace(text)?;
            let kept = floor(&text, VALUE_BYTES_MAX);
            Some((kept.as_bytes().to_vec(), kept.len() < text.len()))
        }
        Value::Error(chain) => {
            let new_texts: Vec<_> = chain.map(|text| (text, replace(text))).collect();
            new_texts.iter().any(|(_, new)| new.is_some()).then(|| error_value(&new_texts))
        }
        _ => None,
    }
}

fn error_value(texts: &[(&str, Option<String>)]) -> (Vec<u8>, bool) {
    let (mut value, mut is_cut) = (Vec::new(), false);
    for (old, new) in texts.iter().take(ERROR_SOURCES_MAX + 1) {
        let text = new.as_deref().unwrap_or(old);
        let kept = floor(text, VALUE_BYTES_MAX / 4);
        is_cut |= kept.len() < text.len();
        value.extend_from_slice(&(kept.len() as u32).to_ne_bytes());
        value.extend_from_slice(kept.as_bytes());
    }
    (value, is_cut)
}

/// Appends a field, if there is room for it.
fn push(record: &mut Vec<u8>, parts: &[&[u8]]) {
    let wanted: usize = parts.iter().map(|part| part.len()).sum();
    if record.len() + wanted > RECORD_BYTES_MAX {
        record[5] |= flag::CUT;
    } else {
        parts.iter().for_each(|part| record.extend_from_slice(part));
    }
}

/// Pads the record and sets its length.
fn finished(mut record: Vec<u8>) -> Vec<u8> {
    debug_assert!(record.len() >= HEADER_BYTES);
    let length = record.len().next_multiple_of(8);
    record[7] = (length - record.len()) as u8;
    record.resize(length, 0);
    record[..4].copy_from_slice(&(length as u32).to_ne_bytes());
    record
}
