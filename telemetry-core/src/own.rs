//! Which threads are the pipeline's own, and whether one of them gets on.
//!
//! # Invariants
//!
//! - Works while a thread's other locals are being destroyed: the mark has no destructor.

use std::cell::Cell;
use std::path::{Path, PathBuf};

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

/// One of the pipeline's threads, as the operating system knows it.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    stat: PathBuf,
}

impl Thread {
    /// The calling thread; `None` where the system has no `/proc/thread-self`.
    pub(crate) fn current() -> Option<Self> {
        let thread = std::fs::read_link("/proc/thread-self").ok()?;
        Some(Self { stat: Path::new("/proc").join(thread).join("stat") })
    }

    /// Does the thread run, or wait for a core or a disk only (states `R` and `D`,
    /// proc_pid_stat(5))?
    pub(crate) fn is_runnable(&self) -> bool {
        std::fs::read(&self.stat).is_ok_and(|stat| {
            // The thread's name stands in parentheses and may hold some itself.
            let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
            matches!(state, Some(b'R' | b'D'))
        })
    }
}
