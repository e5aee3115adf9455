//! A thread enters a scope, so that a scoped pipeline or a capture takes its records, and leaves it.
//!
//! # Invariants
//!
//! - Inside a scope the thread's `tracing` subscriber is ours, whatever the process's is; inside a
//!   capture, its `metrics` recorder is.
//! - Scopes nest, and may be left in any order.

mod recorder;

pub(crate) use recorder::set_process_recorder;

use crate::local::{self, Local, mode};
use crate::plan::Scope;
use crate::router;
use crate::takers::Taker;
use metrics::LocalRecorderGuard;
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
    /// What the thread gets back where it leaves each scope, by the number of the scope, the
    /// innermost last.
    static LENT: RefCell<Vec<(u64, Vec<Lent>)>> = const { RefCell::new(Vec::new()) };
}

/// The subscriber and the recorder that the thread had before a scope. `tracing` and `metrics` want
/// these guards dropped in the order of a stack.
#[expect(dead_code, reason = "it is there for its drop")]
struct Lent {
    subscriber: Option<DefaultGuard>,
    recorder: Option<LocalRecorderGuard<'static>>,
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
    let recorder = taker.as_ref().and_then(|taker| recorder::enter_here(&taker.scope));
    let refused = local::with(|local| {
        let refused = local.takers.push(number, taker);
        show_taker(local);
        refused
    });
    drop(refused);
    let subscriber = router::enter_here();
    let is_lent = subscriber.is_some() || recorder.is_some();
    let lent = is_lent.then_some(Lent { subscriber, recorder });
    let _ = LENT.try_with(|all| all.borrow_mut().push((number, lent.into_iter().collect())));
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
        let lent = LENT.try_with(|all| leave(&mut all.borrow_mut(), self.number));
        // Outside of the borrow: a foreign subscriber may end with it, which is others' code.
        lent.unwrap_or_default().into_iter().rev().for_each(drop);
    }
}

/// What the thread gets back, unless a scope further inside still needs it: then that one gives it.
fn leave(all: &mut Vec<(u64, Vec<Lent>)>, number: u64) -> Vec<Lent> {
    let at = all.iter().rposition(|(other, _)| *other == number);
    let Some(at) = at else { return Vec::new() };
    let (_, mut lent) = all.remove(at);
    if let Some((_, inner)) = all.get_mut(at) {
        lent.append(inner);
        *inner = std::mem::take(&mut lent);
    }
    lent
}

/// Lets the call site know whether somebody else takes the records.
fn show_taker(local: &Local) {
    let bit = if local.takers.current().is_some() { mode::SCOPED } else { 0 };
    local.mode.set(local.mode.get() & !mode::SCOPED | bit);
}
