//! Which threads are the pipeline's own.
//!
//! # Invariants
//!
//! - Works while a thread's other locals are being destroyed: the mark has no destructor.

use std::cell::Cell;

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread for good.
pub(crate) fn mark() {
    OWN.set(true);
}

pub(crate) fn is_own_thread() -> bool {
    OWN.get()
}
