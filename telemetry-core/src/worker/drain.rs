//! Reads the threads' buffers, oldest record first, and fills a batch.
//!
//! # Invariants
//!
//! - Records of one thread keep their order; those of several are merged by ticks.
//! - A record that names a span whose start was not read yet holds its thread's buffer back for
//!   one round: the start was committed before the span's handle reached that thread, so the next
//!   round reads it, or it was lost.

use super::Parts;
use super::join::{Join, Mode};
use crate::batch::Builder;
use crate::chunk::{Consumer, Shared};
use crate::intake::Intake;
use crate::record::{Kind, RawRecord, flag};
use crate::sync::MutexGuard;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A buffer, and the unknown span that holds it back.
#[derive(Debug)]
struct Buffer {
    shared: Arc<Shared>,
    held_back_by: u64,
}

/// What a round has read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Round {
    pub(super) records: usize,
    /// Some buffer was held back, or the batch was full: there is more to read.
    pub(super) more: bool,
}

/// Reads buffers; owned by the worker.
#[derive(Debug)]
pub(super) struct Drain {
    intake: Arc<Intake>,
    buffers: Vec<Buffer>,
    version: u64,
    pub(super) join: Join,
    lost_closes: u64,
    swept: Option<Swept>,
}

/// Spans whose close records found no room. Their starts may still wait in a buffer: the spans end
/// when everything committed before the sweep is read.
#[derive(Debug)]
struct Swept {
    span_ids: Vec<u64>,
    targets: Targets,
}

/// Positions to reach: per buffer, how many records it had committed.
#[derive(Debug)]
pub(super) struct Targets(Vec<(Arc<Shared>, u64)>);

impl Targets {
    pub(super) fn are_reached(&self) -> bool {
        self.0.iter().all(|(shared, target)| shared.consumer().taken() >= *target)
    }
}

impl Drain {
    pub(super) fn new(parts: &Parts) -> Self {
        let intake = Arc::clone(&parts.intake);
        Self {
            join: Join::new(
                Arc::clone(&intake),
                Arc::clone(&parts.ledger),
                Arc::clone(&parts.patterns),
            ),
            intake,
            buffers: Vec::new(),
            version: u64::MAX,
            lost_closes: 0,
            swept: None,
        }
    }

    /// The positions that a flush has to reach.
    pub(super) fn targets(&mut self) -> Targets {
        self.refresh();
        let target =
            |buffer: &Buffer| (Arc::clone(&buffer.shared), buffer.shared.consumer().committed());
        Targets(self.buffers.iter().map(target).collect())
    }

    fn refresh(&mut self) {
        let version = self.intake.version();
        if version == self.version {
            return;
        }
        self.version = version;
        let known = std::mem::take(&mut self.buffers);
        let mut held_back: std::collections::HashMap<*const Shared, u64> =
            known.iter().map(|buffer| (Arc::as_ptr(&buffer.shared), buffer.held_back_by)).collect();
        let buffer = |shared: Arc<Shared>| Buffer {
            held_back_by: held_back.remove(&Arc::as_ptr(&shared)).unwrap_or_default(),
            shared,
        };
        self.buffers = self.intake.buffers().into_iter().map(buffer).collect();
    }

    /// Reads what is there, until the batch is full.
    pub(super) fn round(&mut self, builder: &mut Builder, mode: Mode) -> Round {
        self.refresh();
        self.join.spans.begin_batch();
        let buffers = std::mem::take(&mut self.buffers);
        let mut round = Round::default();
        let mut done = Vec::new();
        {
            let mut sources = Vec::new();
            for (index, buffer) in buffers.iter().enumerate() {
                // Before the look into the buffer: what a thread that is gone had committed is
                // then visible.
                let closed = buffer.shared.is_closed();
                let mut consumer = buffer.shared.consumer();
                if let Some(record) = consumer.peek() {
                    let ticks = record.ticks();
                    sources.push(Source { consumer, ticks, index, held_back: 0 });
                } else if closed {
                    done.push(Arc::clone(&buffer.shared));
                }
            }
            for source in &mut sources {
                source.held_back = buffers[source.index].held_back_by;
            }
            self.merge(&mut sources, builder, mode, &mut round);
            self.buffers = Vec::new();
            let held: Vec<(usize, u64)> =
                sources.iter().map(|source| (source.index, source.held_back)).collect();
            drop(sources);
            self.buffers = buffers;
            for (index, held_back_by) in held {
                self.buffers[index].held_back_by = held_back_by;
            }
        }
        if !done.is_empty() {
            self.intake.forget(&done);
        }
        self.sweep_lost_closes();
        self.intake.announce_room(round.records);
        round
    }

    fn merge(
        &mut self,
        sources: &mut [Source<'_>],
        builder: &mut Builder,
        mode: Mode,
        round: &mut Round,
    ) {
        let mut order: BinaryHeap<Reverse<(u64, usize)>> =
            sources.iter().enumerate().map(|(n, source)| Reverse((source.ticks, n))).collect();
        while let Some(Reverse((_, n))) = order.pop() {
            let until = order.peek().map_or(u64::MAX, |Reverse((ticks, _))| *ticks);
            match self.read_until(&mut sources[n], until, builder, mode, round) {
                Stop::Later => order.push(Reverse((sources[n].ticks, n))),
                Stop::Empty => {}
                Stop::HeldBack => round.more = true,
                Stop::Full => {
                    round.more = true;
                    return;
                }
            }
        }
    }

    /// Reads one buffer while its records are the oldest of all.
    fn read_until(
        &mut self,
        source: &mut Source<'_>,
        until: u64,
        builder: &mut Builder,
        mode: Mode,
        round: &mut Round,
    ) -> Stop {
        while let Some(record) = source.consumer.peek() {
            source.ticks = record.ticks();
            if source.ticks > until {
                return Stop::Later;
            }
            if self.must_wait(record, source.held_back) {
                source.held_back = record.span_id();
                return Stop::HeldBack;
            }
            source.held_back = 0;
            let length = record.bytes().len();
            self.join.read(record, builder, mode);
            source.consumer.take(length);
            round.records += 1;
            if builder.is_full() {
                return Stop::Full;
            }
        }
        Stop::Empty
    }

    /// Does the record name a span whose start may still come?
    #[inline]
    fn must_wait(&mut self, record: RawRecord<'_>, held_back_by: u64) -> bool {
        let span_id = record.span_id();
        // What is directly inside a caller's span has no start to wait for.
        let is_remote = record.flags() & flag::REMOTE_PARENT != 0;
        if span_id == 0
            || (is_remote && record.kind() == Some(Kind::Event))
            || record.kind() == Some(Kind::SpanStart)
            || self.join.knows(span_id)
        {
            return false;
        }
        if held_back_by != span_id && record.epoch() == self.join.epoch() {
            return true;
        }
        self.join.start_is_lost(span_id);
        false
    }

    /// Forgets the spans whose close records found no room.
    fn sweep_lost_closes(&mut self) {
        if let Some(swept) = self.swept.take_if(|swept| swept.targets.are_reached()) {
            for span_id in swept.span_ids {
                self.join.spans.end(span_id);
            }
        }
        let lost_closes = self.intake.oddities.lost_closes.load(Ordering::Acquire);
        if self.swept.is_none() && lost_closes != self.lost_closes {
            self.lost_closes = lost_closes;
            let mut span_ids = Vec::new();
            crate::recorder::slots::sweep_lost(self.join.epoch(), |span_id| span_ids.push(span_id));
            self.swept = Some(Swept { span_ids, targets: self.targets() });
        }
    }
}

/// A buffer that has something to read.
struct Source<'a> {
    consumer: MutexGuard<'a, Consumer>,
    ticks: u64,
    index: usize,
    held_back: u64,
}

/// Why the reading of a buffer stopped.
enum Stop {
    Empty,
    Later,
    HeldBack,
    Full,
}
