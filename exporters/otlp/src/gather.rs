//! Records of many batches, gathered into requests of a useful size.
//!
//! # Invariants
//!
//! - A record is encoded once, straight into the request it goes out with.
//! - A request is full at the configured bytes, at [`RECORDS_MAX`] records, or when its scopes
//!   are too many; so it is never larger than that and one record.

use crate::config::Lane;
use crate::encode::envelope::Envelope;
use crate::encode::prepared::Callsites;
use crate::encode::{logs, spans};
use crate::tally::{Parts, Tally};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use telemetry_core::batch::Record;

/// A request is sent when it has this many records.
const RECORDS_MAX: u64 = 8192;

/// The next request of one signal.
#[derive(Debug)]
pub(crate) struct Gather {
    lane: Lane,
    envelope: Envelope,
    callsites: Callsites,
    parts: Parts,
    since: Option<Instant>,
}

impl Gather {
    pub(crate) fn new(lane: Lane) -> Self {
        Self {
            lane,
            envelope: Envelope::default(),
            callsites: Callsites::default(),
            parts: Parts::default(),
            since: None,
        }
    }

    /// When its first record came; `None` while it is empty.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Adds a record of the batch of `tally`; `false` if it cannot be sent.
    #[inline]
    pub(crate) fn add(&mut self, record: &Record<'_>, tally: &Arc<Tally>, now: Instant) -> bool {
        let scope = self.envelope.scope_of(record);
        let (lane, callsites) = (self.lane, &mut self.callsites);
        let written = self.envelope.push(scope, |out, key| {
            if lane == Lane::Spans {
                return spans::record(out, key, record);
            }
            logs::record(out, key, record, callsites);
            true
        });
        if written {
            self.parts.add(tally, lane.signal(), 1);
            self.since.get_or_insert(now);
        }
        written
    }

    /// Is it time to send, whatever the delay?
    #[inline]
    pub(crate) fn is_full(&self, request_bytes: usize) -> bool {
        self.envelope.len() >= request_bytes
            || self.parts.count() >= RECORDS_MAX
            || self.envelope.has_many_scopes()
    }

    /// The request, if there is anything in it.
    pub(crate) fn cut(&mut self, resource: &[u8]) -> Option<(Bytes, Parts)> {
        self.since.take()?;
        Some((self.envelope.finish(resource), std::mem::take(&mut self.parts)))
    }
}
