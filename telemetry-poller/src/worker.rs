//! The thread, and how its handle talks to it.
//!
//! # Invariants
//!
//! - User code (measurements, callbacks) runs without the lock.
//! - `finished` is set when the thread ends, however it ends: nobody waits for it for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{Engine, Scope};
use crate::report::{MeasurementInfo, PollReport, PolledValue};
use crate::schedule::{next_tick, now};

/// What the handle and the thread share.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    finished: bool,
    /// The last poll asked for, and the last one answered.
    asked: u64,
    answered: u64,
    /// Of the last poll asked for. A tick must not replace it: who asked may not have woken yet.
    report: PollReport,
    infos: Vec<MeasurementInfo>,
    values: Vec<PolledValue>,
}

/// Why the thread woke.
enum Wake {
    Stop,
    Tick,
    /// Somebody asked; answer all requests up to this one.
    Asked(u64),
}

/// Why a request got no report.
pub(crate) enum Unanswered {
    Finished,
    Late,
}

impl Shared {
    pub(crate) fn new(infos: Vec<MeasurementInfo>) -> Self {
        let state = State { infos, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits until the thread has ended; returns whether it has.
    pub(crate) fn wait_finished(&self, limit: Duration) -> bool {
        self.wait(self.lock(), limit, |state| state.finished).finished
    }

    /// Asks for a poll, and waits for its report.
    pub(crate) fn ask(&self, limit: Duration) -> Result<PollReport, Unanswered> {
        let mut state = self.lock();
        state.asked += 1;
        let ticket = state.asked;
        self.changed.notify_all();
        let state = self.wait(state, limit, |state| state.answered >= ticket || state.finished);
        if state.answered >= ticket {
            Ok(state.report.clone())
        } else if state.finished {
            Err(Unanswered::Finished)
        } else {
            Err(Unanswered::Late)
        }
    }

    pub(crate) fn infos(&self) -> Vec<MeasurementInfo> {
        self.lock().infos.clone()
    }

    pub(crate) fn values(&self) -> Vec<PolledValue> {
        self.lock().values.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can leave the state half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        guard: MutexGuard<'a, State>,
        limit: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout_while(guard, limit, |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn sleep_until(&self, tick: Instant) -> Wake {
        let limit = tick.saturating_duration_since(now());
        let state =
            self.wait(self.lock(), limit, |state| state.stop || state.asked > state.answered);
        if state.stop {
            Wake::Stop
        } else if state.asked > state.answered {
            Wake::Asked(state.asked)
        } else {
            Wake::Tick
        }
    }

    fn answer(&self, ticket: Option<u64>, report: PollReport, engine: &Engine) {
        let (infos, values) = (engine.infos(), engine.values());
        let mut state = self.lock();
        (state.infos, state.values) = (infos, values);
        if let Some(ticket) = ticket {
            state.answered = ticket;
            state.report = report;
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Polls until it is told to stop: at once, then every `period`.
pub(crate) fn run(shared: &Shared, engine: Engine, period: Duration) {
    let _finished = Finished(shared);
    // Dropped before `_finished`: the user's destructors belong to what a shutdown waits for.
    let mut engine = engine;
    let mut tick = now();
    let mut missed_ticks = 0;
    loop {
        let (scope, ticket) = match shared.sleep_until(tick) {
            Wake::Stop => return,
            Wake::Tick => (Scope::Due, None),
            Wake::Asked(ticket) => (Scope::All, Some(ticket)),
        };
        let begin = now();
        let mut report = engine.poll(scope);
        report.duration = now().saturating_duration_since(begin);
        report.missed_ticks = std::mem::take(&mut missed_ticks);
        engine.tell(&report);
        shared.answer(ticket, report, &engine);
        // A poll asked for when a tick is due takes its place.
        if ticket.is_none() || begin >= tick {
            (tick, missed_ticks) = next_tick(tick, now(), period);
        }
    }
}

/// Says that the thread has ended, also when it ends by a panic.
struct Finished<'a>(&'a Shared);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.lock().finished = true;
        self.0.changed.notify_all();
    }
}
