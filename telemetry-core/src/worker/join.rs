//! Joins records with the spans they are inside, and puts them into a batch.
//!
//! # Invariants
//!
//! - Records of another epoch are skipped: whoever took them is gone.
//! - No secret that a pattern matches goes from here into a batch.
//! - A record that is not delivered is counted here: `start_lost`, `shutdown_timeout`.

use super::redact::Redactor;
use super::spans::Spans;
use super::survey::Tallies;
use crate::batch::{Builder, NO_SPAN};
use crate::intake::{Intake, Ledger};
use crate::ledger::{Cause, Signal};
use crate::record::{Kind, RawRecord, flag};
use crate::redaction::Patterns;
use crate::router;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many ids of lost spans are remembered, so that they hold nothing back again.
const LOST_MAX: usize = 4096;

/// What becomes of the records that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They go into batches.
    Deliver,
    /// As `Deliver`, with the spans that are not sampled: for captures.
    DeliverAll,
    /// The deadline of the shutdown is over: they are counted.
    Count,
}

/// The open spans, and who takes what.
#[derive(Debug)]
pub(crate) struct Join {
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    pub(crate) spans: Spans,
    pub(super) redactor: Redactor,
    pub(super) tallies: Tallies,
    lost: HashSet<u64>,
}

impl Join {
    pub(crate) fn new(intake: Arc<Intake>, ledger: Arc<Ledger>, patterns: Arc<Patterns>) -> Self {
        let redactor = Redactor::new(patterns, Arc::clone(&intake));
        let (spans, tallies) = (Spans::default(), Tallies::default());
        Self { intake, ledger, spans, redactor, tallies, lost: HashSet::new() }
    }

    pub(super) fn epoch(&self) -> u8 {
        self.ledger.epoch
    }

    /// Is the span open, or known to have lost its start?
    pub(super) fn knows(&self, span_id: u64) -> bool {
        self.spans.contains(span_id) || self.lost.contains(&span_id)
    }

    /// Notes that a span's start will not come.
    pub(super) fn start_is_lost(&mut self, span_id: u64) {
        if self.lost.len() >= LOST_MAX {
            self.lost.clear();
        }
        self.lost.insert(span_id);
    }

    /// Takes one record; those of a thread come in its order.
    #[inline]
    pub(crate) fn read(&mut self, record: RawRecord<'_>, builder: &mut Builder, mode: Mode) {
        if record.epoch() != self.ledger.epoch {
            return; // taken under a pipeline that is gone, and reported there if it was in time
        }
        self.tallies.count(record.callsite(), record.bytes().len());
        if record.flags() & flag::CUT != 0 {
            self.intake.oddities.cut.fetch_add(1, Ordering::Relaxed);
        }
        let clean = self.redactor.without_secrets(record);
        let record = clean.as_deref().and_then(RawRecord::first).unwrap_or(record);
        match record.kind() {
            Some(Kind::Event) => self.read_event(record, builder, mode),
            Some(Kind::SpanStart) => {
                self.spans.start(record, builder.anchor().unix_ns(record.ticks()));
            }
            Some(Kind::SpanRecord) => self.spans.record(record),
            Some(Kind::FollowsFrom) => self.spans.link(record),
            Some(Kind::SpanParent) => self.spans.set_parent(record),
            Some(Kind::SpanClose) => self.read_close(record, builder, mode),
            None => {}
        }
    }

    #[inline]
    fn read_event(&mut self, record: RawRecord<'_>, builder: &mut Builder, mode: Mode) {
        let sinks = self.ledger.takers(record.sinks(), Signal::Log);
        if sinks == 0 {
            return;
        }
        if mode == Mode::Count {
            return self.ledger.lost(sinks, Signal::Log, Cause::ShutdownTimeout);
        }
        let span = match record.span_id() {
            0 => NO_SPAN,
            span_id => self.spans.section_index(span_id, builder),
        };
        builder.push(record, span, sinks, Signal::Log);
    }

    fn read_close(&mut self, record: RawRecord<'_>, builder: &mut Builder, mode: Mode) {
        let span_id = record.span_id();
        let sinks = match mode == Mode::DeliverAll || router::is_exported(record.flags()) {
            true => self.ledger.takers(record.sinks(), Signal::Span),
            false => 0,
        };
        if !self.spans.contains(span_id) {
            self.lost.remove(&span_id);
            return self.ledger.lost(sinks, Signal::Span, Cause::StartLost);
        }
        if sinks != 0 && mode == Mode::Count {
            self.ledger.lost(sinks, Signal::Span, Cause::ShutdownTimeout);
        } else if sinks != 0 {
            let span = self.spans.section_index(span_id, builder);
            builder.push(record, span, sinks, Signal::Span);
        }
        self.spans.end(span_id);
    }
}
