//! Write-through: a call site waits until its record is out.
//!
//! Whoever has committed a record asks for a ticket; the worker takes it, reads what was committed
//! before, and lets the exporters that write through pass it. All that ask meanwhile share the
//! next one, so many threads cost no more rounds than one.
//!
//! # Invariants
//!
//! - Nobody asks before the record is committed: the worker takes a ticket first and looks into
//!   the buffers second.
//! - A ticket that nobody waited long enough for keeps others from waiting, until it is passed
//!   after all: an exporter that hangs costs one wait, and not one per record.
//! - Once the worker has ended there are no tickets.

use crate::clock;
use crate::flush::Ticket;
use crate::own;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a wait lasts at most, as long as records are read, or the pipeline's threads compute or
/// wait for a core or a disk: a machine that is busy is no exporter that hangs.
pub(super) const WAIT_RUNNING: Duration = Duration::from_secs(2);

/// What writes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How many exporters do.
    pub(crate) sinks: usize,
    /// Does one of them take finished spans?
    pub(crate) spans: bool,
}

/// The tickets, and who asks for them.
#[derive(Debug, Default)]
pub(crate) struct Through {
    state: Mutex<State>,
    is_asked: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// `None` = off.
    extent: Option<Extent>,
    next: Option<Arc<Ticket>>,
    given_up: Option<Arc<Ticket>>,
    /// Those that the record passes through.
    threads: Vec<own::Thread>,
}

impl Through {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, extent: Option<Extent>) {
        *self.state() = State { extent, ..State::default() };
    }

    /// Lets go of everybody who waits.
    pub(crate) fn end(&self) {
        let state = std::mem::take(&mut *self.state());
        state.next.iter().for_each(|ticket| ticket.expire());
    }

    /// Adds one of the threads that the records pass through.
    pub(crate) fn pass_through(&self, thread: own::Thread) {
        self.state().threads.push(thread);
    }

    /// A ticket for what the calling thread has committed; `None` = there is nothing to wait for.
    pub(super) fn ask(&self, is_span: bool) -> Option<Arc<Ticket>> {
        let mut state = self.state();
        let extent = state.extent.filter(|extent| extent.spans || !is_span)?;
        if state.given_up.as_ref().is_some_and(|ticket| !ticket.is_passed()) {
            return None;
        }
        state.given_up = None;
        let ticket = state.next.get_or_insert_with(|| {
            // The worker passes it as well.
            Ticket::new(extent.sinks + 1, clock::now() + WAIT_RUNNING)
        });
        let ticket = Arc::clone(ticket);
        drop(state);
        // Release: the worker that sees it finds the ticket.
        self.is_asked.store(true, Ordering::Release);
        Some(ticket)
    }

    /// The worker: takes the ticket that was asked for, if one was.
    pub(crate) fn take(&self) -> Option<Arc<Ticket>> {
        if !self.is_asked.load(Ordering::Acquire) {
            return None;
        }
        self.is_asked.store(false, Ordering::Relaxed);
        self.state().next.take()
    }

    /// Nobody waits any more, until this ticket is passed.
    pub(super) fn give_up(&self, ticket: Arc<Ticket>) {
        let mut state = self.state();
        if state.extent.is_some() {
            state.given_up = Some(ticket);
        }
    }

    /// Has somebody waited in vain for a ticket that is not passed yet?
    pub(super) fn is_given_up(&self) -> bool {
        self.state().given_up.as_ref().is_some_and(|ticket| !ticket.is_passed())
    }

    /// Does one of the threads compute, or wait for a core or a disk?
    pub(super) fn is_runnable(&self) -> bool {
        let threads = self.state().threads.clone();
        threads.iter().any(own::Thread::is_runnable)
    }
}
