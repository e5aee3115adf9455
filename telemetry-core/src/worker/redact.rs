//! Takes secrets out of texts, before a record or a label reaches an exporter.
//!
//! # Invariants
//!
//! - Every record goes through here before it goes into a batch or into a span's fields.
//! - A record without `@` costs one look at its bytes, unless the program has set patterns.

use crate::intake::Intake;
use crate::record::{HEADER_BYTES, RawRecord};
use crate::redaction::Patterns;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Replaces what a pipeline's patterns match.
#[derive(Debug)]
pub(super) struct Redactor {
    patterns: Arc<Patterns>,
    intake: Arc<Intake>,
}

impl Redactor {
    pub(super) fn new(patterns: Arc<Patterns>, intake: Arc<Intake>) -> Self {
        Self { patterns, intake }
    }

    /// The record without its secrets; `None` = it has none.
    #[inline]
    pub(super) fn without_secrets(&self, record: RawRecord<'_>) -> Option<Vec<u8>> {
        match self.patterns.may_match(&record.bytes()[HEADER_BYTES..]) {
            true => self.look_closer(record),
            false => None,
        }
    }

    fn look_closer(&self, record: RawRecord<'_>) -> Option<Vec<u8>> {
        let mut count = 0;
        let new_record = record.with_texts(&mut |text| {
            let (text, found) = self.patterns.replace(text)?;
            count += found;
            Some(text)
        });
        self.intake.oddities.redacted.fetch_add(count, Ordering::Relaxed);
        new_record
    }
}
