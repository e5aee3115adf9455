//! Who takes a thread's records instead of the attached pipeline: scoped pipelines and captures.
//!
//! # Invariants
//!
//! - The innermost entry decides. It may say that nobody does, and the attached pipeline has them.
//! - Entries are taken out by number, so guards may be dropped in any order.
//! - What is found here is a copy: no borrow is held while anybody else's code runs.

use crate::chunk::Producer;
use crate::plan::Scope;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A scope, as one thread writes to it.
#[derive(Debug, Clone)]
pub(crate) struct Taker {
    pub(crate) scope: Arc<Scope>,
    /// The thread's buffer in a scoped pipeline; a capture has none.
    pub(crate) producer: Option<Rc<Producer>>,
}

/// A thread's takers, the innermost last.
pub(crate) struct Takers(RefCell<Vec<(u64, Option<Taker>)>>);

impl Takers {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Makes an entry the innermost one; gives it back when it found no place.
    pub(crate) fn push(&self, number: u64, taker: Option<Taker>) -> Result<(), Option<Taker>> {
        // It may be borrowed where the allocator logs while the vector grows.
        match self.0.try_borrow_mut() {
            Ok(mut entries) => {
                entries.push((number, taker));
                Ok(())
            }
            Err(_) => Err(taker),
        }
    }

    /// Takes an entry out, wherever it stands.
    pub(crate) fn remove(&self, number: u64) -> Option<Taker> {
        let mut entries = self.0.try_borrow_mut().ok()?;
        let at = entries.iter().rposition(|(other, _)| *other == number)?;
        entries.remove(at).1
    }

    /// The innermost one.
    pub(crate) fn current(&self) -> Option<Taker> {
        self.0.try_borrow().ok()?.last()?.1.clone()
    }

    /// The scope that decides about the thread's records, unless it is a capture that has ended.
    pub(crate) fn scope(&self) -> Option<Arc<Scope>> {
        let entries = self.0.try_borrow().ok()?;
        let scope = &entries.last()?.1.as_ref()?.scope;
        scope.is_open().then(|| Arc::clone(scope))
    }

    /// The innermost one of an epoch: who has decided about a record.
    pub(crate) fn of_epoch(&self, epoch: u8) -> Option<Taker> {
        let entries = self.0.try_borrow().ok()?;
        let takers = entries.iter().rev().filter_map(|(_, taker)| taker.as_ref());
        takers.into_iter().find(|taker| taker.scope.epoch() == epoch).cloned()
    }

    /// Takes all out.
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }
}
