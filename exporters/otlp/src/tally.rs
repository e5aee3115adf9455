//! Which requests a batch went into, and its one outcome.
//!
//! # Invariants
//!
//! - An [`Ack`] is finished exactly once, when the last part of its batch is.
//! - A part that is dropped leaves the ack unfinished, which its drop then counts as lost.

use std::sync::{Arc, Mutex, PoisonError};
use telemetry_core::export::{Ack, Outcome};
use telemetry_core::ledger::{Cause, Signal, Units};

/// The parts of one batch or snapshot.
#[derive(Debug)]
pub(crate) struct Tally {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ack: Option<Ack>,
    open: usize,
    lost: Units,
    cause: Option<Cause>,
}

impl Tally {
    /// Begins with one part open: the batch itself, until it is encoded.
    pub(crate) fn begin(ack: Ack) -> (Arc<Self>, Open) {
        let state = State { ack: Some(ack), open: 1, lost: Units::default(), cause: None };
        let tally = Arc::new(Self { state: Mutex::new(state) });
        (Arc::clone(&tally), Open { tally })
    }

    fn close(&self, lost: Units, cause: Option<Cause>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost = state.lost.plus(lost);
        state.cause = state.cause.or(cause);
        state.open -= 1;
        if state.open > 0 {
            return;
        }
        let (ack, lost, cause) = (state.ack.take(), state.lost, state.cause);
        drop(state);
        if let Some(ack) = ack {
            let outcome = match cause {
                Some(cause) if ack.units().minus(lost).total() == 0 => Outcome::Rejected(cause),
                Some(cause) => Outcome::Partial { lost, cause },
                None => Outcome::Delivered,
            };
            ack.finish(outcome);
        }
    }
}

/// Keeps a tally open while its batch is encoded.
#[derive(Debug)]
pub(crate) struct Open {
    tally: Arc<Tally>,
}

impl Open {
    /// All of the batch is in requests but for `lost`, which could not be encoded.
    pub(crate) fn finish(self, lost: Units) {
        let cause = (lost.total() > 0).then_some(Cause::Rejected);
        self.tally.close(lost, cause);
    }
}

/// What of one batch is in one request.
#[derive(Debug)]
pub(crate) struct Part {
    tally: Arc<Tally>,
    signal: Signal,
    count: u64,
}

impl Part {
    fn new(tally: &Arc<Tally>, signal: Signal, count: u64) -> Self {
        tally.state.lock().unwrap_or_else(PoisonError::into_inner).open += 1;
        Self { tally: Arc::clone(tally), signal, count }
    }

    fn finish(self, lost: u64, cause: Cause) {
        let lost = lost.min(self.count);
        self.tally.close(Units::of(self.signal, lost), (lost > 0).then_some(cause));
    }
}

/// What is in one request.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parts: Vec<Part>,
    count: u64,
}

impl Parts {
    /// How many records or points.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Adds `count` records of the batch of `tally`.
    pub(crate) fn add(&mut self, tally: &Arc<Tally>, signal: Signal, count: u64) {
        self.count += count;
        match self.parts.last_mut() {
            Some(part) if Arc::ptr_eq(&part.tally, tally) => part.count += count,
            _ => self.parts.push(Part::new(tally, signal, count)),
        }
    }

    /// Ends them all. `lost` of the records are lost; which ones is not known, so they are counted
    /// against the first batches.
    pub(crate) fn finish(self, lost: u64, cause: Cause) {
        let mut left = lost;
        for part in self.parts {
            let here = left.min(part.count);
            left -= here;
            part.finish(here, cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn ack(logs: u64) -> (Ack, mpsc::Receiver<Outcome>) {
        let (sender, receiver) = mpsc::sync_channel(8);
        let units = Units::of(Signal::Log, logs);
        (Ack::for_tests(units, move |outcome| drop(sender.send(outcome))), receiver)
    }

    #[test]
    fn batch_in_two_requests_is_finished_once_by_the_last() {
        let (ack, outcomes) = ack(5);
        let (tally, open) = Tally::begin(ack);
        let (mut first, mut second) = (Parts::default(), Parts::default());
        first.add(&tally, Signal::Log, 3);
        second.add(&tally, Signal::Log, 2);
        open.finish(Units::default());
        first.finish(0, Cause::Rejected);
        assert!(outcomes.try_recv().is_err(), "a part is open");
        second.finish(9, Cause::RetriesExhausted);
        drop(tally);
        let lost = Units::of(Signal::Log, 2);
        let all: Vec<_> = outcomes.try_iter().collect();
        assert_eq!(all, [Outcome::Partial { lost, cause: Cause::RetriesExhausted }]);
    }

    #[test]
    fn losses_of_a_request_are_spread_over_its_batches() {
        let ((one, outcomes), (other, others)) = (ack(2), ack(4));
        let mut parts = Parts::default();
        for (ack, count) in [(one, 2), (other, 4)] {
            let (tally, open) = Tally::begin(ack);
            parts.add(&tally, Signal::Log, count);
            open.finish(Units::default());
        }
        parts.finish(3, Cause::Rejected);
        assert_eq!(outcomes.recv(), Ok(Outcome::Rejected(Cause::Rejected)));
        let lost = Units::of(Signal::Log, 1);
        assert_eq!(others.recv(), Ok(Outcome::Partial { lost, cause: Cause::Rejected }));
    }

    #[test]
    fn dropped_part_counts_its_batch_as_lost() {
        let (ack, outcomes) = ack(2);
        let (tally, open) = Tally::begin(ack);
        let mut parts = Parts::default();
        parts.add(&tally, Signal::Log, 2);
        open.finish(Units::default());
        drop((tally, parts));
        assert_eq!(outcomes.recv(), Ok(Outcome::Rejected(Cause::AckDropped)));
    }
}
