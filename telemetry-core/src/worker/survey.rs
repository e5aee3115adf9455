//! What the worker knows and nobody else: which spans are open, and who emits most.
//!
//! # Invariants
//!
//! - A question is answered between two batches, and while the worker waits for an exporter; call
//!   sites that wait for room are told meanwhile that the worker moves.
//! - Whoever stops waiting costs the worker nothing more.
//! - An answer is bounded: names and emitters that are not among the first are counted only.
//! - Nothing is formatted here: an answer shares the spans' data, whoever asks prints it.

use super::spans::Spans;
use crate::batch::{SPAN_DEPTH_MAX, SpanData};
use crate::clock;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many of the oldest spans an answer has.
pub(crate) const OLDEST_MAX: usize = 20;
/// How many callsites an answer has, of spans and of the busiest.
pub(crate) const CALLSITES_MAX: usize = 20;
/// How many spans are looked at before callers are told that the worker moves.
const STRIDE: usize = 4096;

/// What is asked of the worker.
#[derive(Debug)]
pub(crate) struct Question {
    /// Spans to tell of, beside the oldest.
    about: Vec<u64>,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
enum State {
    Open,
    Answered(Survey),
    Refused,
    /// Nobody waits for the answer any more.
    Abandoned,
}

impl Question {
    pub(crate) fn new(about: Vec<u64>) -> Arc<Self> {
        Arc::new(Self { about, state: Mutex::new(State::Open), done: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: State) {
        *self.state() = answer;
        self.done.notify_all();
    }

    fn is_abandoned(&self) -> bool {
        matches!(*self.state(), State::Abandoned)
    }

    /// Tells whoever waits that there will be no answer.
    pub(crate) fn refuse(&self) {
        self.answer(State::Refused);
    }

    /// Waits for the answer; `None` at the deadline, and where the worker has ended.
    pub(crate) fn wait(&self, deadline: Instant) -> Option<Survey> {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut *state, State::Open) {
                State::Answered(survey) => return Some(survey),
                State::Refused => return None,
                State::Open | State::Abandoned => {}
            }
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                *state = State::Abandoned;
                return None;
            }
            state = self.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// An open span and the spans around it.
#[derive(Debug, Clone)]
pub(crate) struct OpenSpan {
    pub(crate) data: Arc<SpanData>,
    /// Span id and callsite of those around it, innermost first.
    pub(crate) around: Vec<(u64, u32)>,
}

/// The open spans of one callsite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanCount {
    pub(crate) callsite: u32,
    pub(crate) count: u64,
    pub(crate) oldest_ticks: u64,
}

/// What a callsite has emitted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) callsite: u32,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// The worker's answer.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) open: usize,
    /// The callsites with the most open spans, and how many have some besides.
    pub(crate) counts: Vec<SpanCount>,
    pub(crate) counts_left_out: u64,
    /// Oldest first.
    pub(crate) oldest: Vec<OpenSpan>,
    /// Those that were asked about, if they are open.
    pub(crate) about: HashMap<u64, OpenSpan>,
    pub(crate) most_records: Vec<Tally>,
    pub(crate) most_bytes: Vec<Tally>,
    pub(crate) callsites: u64,
}

/// Counts what each callsite emits.
#[derive(Debug, Default)]
pub(super) struct Tallies(Vec<(u64, u64)>);

impl Tallies {
    #[inline]
    pub(super) fn count(&mut self, callsite: u32, bytes: usize) {
        match self.0.get_mut(callsite as usize) {
            Some((records, sum)) => {
                *records += 1;
                *sum += bytes as u64;
            }
            None => self.count_first(callsite, bytes),
        }
    }

    #[cold]
    fn count_first(&mut self, callsite: u32, bytes: usize) {
        // Ids are given out one after the other, so this is bounded by the table of callsites.
        if callsite <= crate::callsite::CALLSITES_MAX {
            self.0.resize(callsite as usize + 1, (0, 0));
            self.count(callsite, bytes);
        }
    }

    fn top(&self, by: impl Fn(&Tally) -> u64) -> Vec<Tally> {
        let tally = |(callsite, (records, bytes)): (usize, &(u64, u64))| Tally {
            callsite: callsite as u32,
            records: *records,
            bytes: *bytes,
        };
        let mut all: Vec<_> =
            self.0.iter().enumerate().map(tally).filter(|tally| tally.records > 0).collect();
        all.sort_by_key(|tally| std::cmp::Reverse(by(tally)));
        all.truncate(CALLSITES_MAX);
        all
    }

    fn len(&self) -> u64 {
        self.0.iter().filter(|(records, _)| *records > 0).count() as u64
    }
}

/// Answers a question, if anybody waits for it; `moves` is called all along.
pub(super) fn answer(question: &Question, spans: &Spans, tallies: &Tallies, moves: impl Fn()) {
    let go_on = || {
        moves();
        !question.is_abandoned()
    };
    let Some(mut survey) = survey(spans, go_on) else { return };
    let about = question.about.iter().filter_map(|id| Some((*id, with_around(spans, *id)?)));
    survey.about = about.collect();
    survey.most_records = tallies.top(|tally| tally.records);
    survey.most_bytes = tallies.top(|tally| tally.bytes);
    survey.callsites = tallies.len();
    question.answer(State::Answered(survey));
}

/// Counts the open spans as long as `go_on` says so.
fn survey(spans: &Spans, mut go_on: impl FnMut() -> bool) -> Option<Survey> {
    // By callsite: ids are given out one after the other.
    let mut counts: Vec<SpanCount> = Vec::new();
    // The youngest of the oldest so far is on top.
    let mut oldest: BinaryHeap<(u64, u64)> = BinaryHeap::with_capacity(OLDEST_MAX + 1);
    for (n, data) in spans.iter().enumerate() {
        if n % STRIDE == 0 && !go_on() {
            return None;
        }
        let (callsite, start) = (data.callsite, data.start_ticks);
        let at = callsite.min(crate::callsite::CALLSITES_MAX) as usize;
        if at >= counts.len() {
            counts.resize(at + 1, SpanCount { callsite: 0, count: 0, oldest_ticks: u64::MAX });
        }
        let entry = &mut counts[at];
        entry.callsite = callsite;
        entry.count += 1;
        entry.oldest_ticks = entry.oldest_ticks.min(start);
        if oldest.len() < OLDEST_MAX || oldest.peek().is_some_and(|(youngest, _)| start < *youngest)
        {
            oldest.push((start, data.span_id));
            if oldest.len() > OLDEST_MAX {
                oldest.pop();
            }
        }
    }
    counts.retain(|entry| entry.count > 0);
    counts.sort_by_key(|entry| (std::cmp::Reverse(entry.count), entry.callsite));
    let left_out = counts.len().saturating_sub(CALLSITES_MAX) as u64;
    counts.truncate(CALLSITES_MAX);
    let oldest = oldest.into_sorted_vec().into_iter();
    Some(Survey {
        open: spans.len(),
        counts,
        counts_left_out: left_out,
        oldest: oldest.filter_map(|(_, id)| with_around(spans, id)).collect(),
        ..Survey::default()
    })
}

fn with_around(spans: &Spans, span_id: u64) -> Option<OpenSpan> {
    let data = Arc::clone(spans.get(span_id)?);
    let parent_of = |id: u64| spans.get(id).map(|data| (data.span_id, data.callsite));
    let first = parent_of(data.parent_id);
    let next = |(id, _): &(u64, u32)| parent_of(spans.get(*id)?.parent_id);
    let around = std::iter::successors(first, next).take(SPAN_DEPTH_MAX).collect();
    Some(OpenSpan { data, around })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busiest_callsites_come_first_and_the_rest_is_counted() {
        let mut tallies = Tallies::default();
        for callsite in 1..=30_u32 {
            for _ in 0..callsite {
                tallies.count(callsite, if callsite == 3 { 10_000 } else { 10 });
            }
        }
        tallies.count(u32::MAX, 1);
        assert_eq!(tallies.len(), 30);
        let most_records = tallies.top(|tally| tally.records);
        assert_eq!(most_records.len(), CALLSITES_MAX);
        assert_eq!((most_records[0].callsite, most_records[0].bytes), (30, 300));
        let most_bytes = tallies.top(|tally| tally.bytes);
        assert_eq!((most_bytes[0].callsite, most_bytes[0].records), (3, 3));
    }

    #[test]
    fn callers_are_told_that_the_worker_moves_while_it_counts() {
        let mut spans = Spans::default();
        let mut header = crate::record::Header {
            kind: crate::record::Kind::SpanStart,
            flags: 0,
            epoch: 1,
            callsite: 7,
            sinks: 1,
            ticks: 1000,
            trace_high: 0,
            trace_low: 1,
            span_id: 0,
        };
        for n in 0..10 * STRIDE as u64 {
            (header.span_id, header.ticks) = (n + 1, 1000 + n);
            let record = crate::record::Writer::to_vec(&header, |writer| writer.leading_u64(0));
            spans.start(crate::record::RawRecord::first(&record).unwrap(), 0);
        }
        let mut moved = 0;
        let go_on = || {
            moved += 1;
            true
        };
        let found = survey(&spans, go_on).unwrap();
        assert_eq!((moved, found.open), (10, 10 * STRIDE));
        assert_eq!(
            (found.counts[0].count, found.counts[0].oldest_ticks),
            (10 * STRIDE as u64, 1000)
        );
        let oldest: Vec<_> = found.oldest.iter().map(|span| span.data.span_id).collect();
        assert_eq!(oldest, (1..=OLDEST_MAX as u64).collect::<Vec<_>>());
        assert!(survey(&spans, || false).is_none(), "nobody waits");
    }

    #[test]
    fn nobody_waits_beyond_the_deadline_or_for_a_worker_that_has_ended() {
        let question = Question::new(Vec::new());
        assert!(question.wait(clock::now()).is_none());
        question.refuse();
        assert!(question.wait(clock::now() + std::time::Duration::from_secs(60)).is_none());
    }
}
