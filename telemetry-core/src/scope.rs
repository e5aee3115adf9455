//! A thread enters a scope, so that a scoped pipeline or a capture takes its records, and leaves it.
//!
//! # Invariants
//!
//! - Inside a scope the thread's `tracing` subscriber is ours, whatever the process's is.
//! - Scopes nest, and may be left in any order.

use crate::local::{self, Local, mode};
use crate::plan::Scope;
use crate::router;
use crate::takers::Taker;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_core::dispatcher::DefaultGuard;

/// A thread's stay in a scope; its drop leaves it.
#[derive(Debug)]
pub(crate) struct Entered {
    number: u64,
    _of_this_thread: PhantomData<*const ()>,
}

thread_local! {
    /// Who has the thread's events where it has left each scope, by the number of the scope, the
    /// innermost last. `tracing` wants these guards dropped in the order of a stack.
    static SUBSCRIBERS: RefCell<Vec<(u64, Vec<DefaultGuard>)>> = const { RefCell::new(Vec::new()) };
}

/// Enters a scope.
pub(crate) fn enter(scope: &Arc<Scope>) -> Entered {
    let producer = match &scope.tape {
        Some(_) => None,
        None => scope.intake.producer().map(Rc::new),
    };
    let has_buffer = scope.tape.is_some() || producer.is_some();
    push(has_buffer.then(|| Taker { scope: Arc::clone(scope), producer }))
}

/// Enters a capture, unless the thread is in it.
pub(crate) fn enter_capture(scope: &Arc<Scope>) -> Option<Entered> {
    let is_here = current_capture().is_some_and(|current| Arc::ptr_eq(&current, scope));
    (!is_here).then(|| enter(scope))
}

/// Leaves the capture that the thread is in, if it is in one, for a while.
pub(crate) fn enter_none() -> Option<Entered> {
    current_capture().map(|_| push(None))
}

/// The capture that takes the thread's records.
pub(crate) fn current_capture() -> Option<Arc<Scope>> {
    let scope = |local: &Local| {
        let is_scoped = local.mode.get() & mode::SCOPED != 0;
        is_scoped.then(|| local.takers.scope()).flatten()
    };
    local::with(scope).flatten().filter(|scope| scope.tape.is_some())
}

fn push(taker: Option<Taker>) -> Entered {
    // Of the process, not of the thread: a thread at its end shares a state with others.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let refused = local::with(|local| {
        let refused = local.takers.push(number, taker);
        show_taker(local);
        refused
    });
    drop(refused);
    let subscriber = router::enter_here();
    let _ = SUBSCRIBERS.try_with(|subscribers| {
        subscribers.borrow_mut().push((number, subscriber.into_iter().collect()));
    });
    Entered { number, _of_this_thread: PhantomData }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let taker = local::with(|local| {
            let taker = local.takers.remove(self.number);
            show_taker(local);
            taker
        });
        drop(taker);
        let guards = SUBSCRIBERS.try_with(|all| leave(&mut all.borrow_mut(), self.number));
        // Outside of the borrow: a foreign subscriber may end with it, which is others' code.
        guards.unwrap_or_default().into_iter().rev().for_each(drop);
    }
}

/// What gives the thread's events back, unless a scope further inside still needs them: then that
/// one does it.
fn leave(subscribers: &mut Vec<(u64, Vec<DefaultGuard>)>, number: u64) -> Vec<DefaultGuard> {
    let at = subscribers.iter().rposition(|(other, _)| *other == number);
    let Some(at) = at else { return Vec::new() };
    let (_, mut guards) = subscribers.remove(at);
    if let Some((_, inner)) = subscribers.get_mut(at) {
        guards.append(inner);
        *inner = std::mem::take(&mut guards);
    }
    guards
}

/// Lets the call site know whether somebody else takes the records.
fn show_taker(local: &Local) {
    let bit = if local.takers.current().is_some() { mode::SCOPED } else { 0 };
    local.mode.set(local.mode.get() & !mode::SCOPED | bit);
}
