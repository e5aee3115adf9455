//! Waiting for a flush: one ticket, counted down by every exporter.
//!
//! # Invariants
//!
//! - A ticket is done when every exporter has passed it, and never waits beyond its deadline.
//! - Waiting needs no runtime: a thread blocks on a condition variable, a future is woken.

use crate::clock;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What a flush waits for.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) deadline: Instant,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
struct State {
    remaining: usize,
    expired: bool,
    waker: Option<Waker>,
}

impl Ticket {
    /// A ticket that `parties` have to pass.
    pub(crate) fn new(parties: usize, deadline: Instant) -> Arc<Self> {
        let state = State { remaining: parties, expired: false, waker: None };
        Arc::new(Self { deadline, state: Mutex::new(state), done: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One party has passed.
    pub(crate) fn pass(&self) {
        self.update(|state| state.remaining = state.remaining.saturating_sub(1));
    }

    /// Has everybody passed?
    pub(crate) fn is_passed(&self) -> bool {
        self.state().remaining == 0
    }

    /// The deadline is over: whoever waits gets the news.
    pub(crate) fn expire(&self) {
        self.update(|state| state.expired = true);
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            if state.remaining == 0 || state.expired { state.waker.take() } else { None }
        };
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until all have passed, at most so long, whatever the deadline.
    pub(crate) fn wait_at_most(&self, longest: Duration) -> Waited {
        let state = self.state();
        let is_open = |state: &mut State| state.remaining > 0 && !state.expired;
        let waited = self.done.wait_timeout_while(state, longest, is_open);
        match &*waited.unwrap_or_else(PoisonError::into_inner).0 {
            State { remaining: 0, .. } => Waited::Passed,
            State { expired: true, .. } => Waited::Expired,
            _ => Waited::InVain,
        }
    }

    /// Waits until all have passed; `false` at the deadline.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state();
        while state.remaining > 0 {
            let left = self.deadline.saturating_duration_since(clock::now());
            if left.is_zero() || state.expired {
                return false;
            }
            state = self.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// How a wait for a ticket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Passed,
    /// Nobody passes it any more.
    Expired,
    /// All of the time was waited.
    InVain,
}

/// Ends when a flush is complete (`true`) or its deadline is over (`false`).
#[derive(Debug)]
pub(crate) struct Passed(pub(crate) Arc<Ticket>);

impl Future for Passed {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.state();
        if state.remaining == 0 {
            return Poll::Ready(true);
        }
        // The worker expires tickets, so no timer of a runtime is needed.
        if state.expired {
            return Poll::Ready(false);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
