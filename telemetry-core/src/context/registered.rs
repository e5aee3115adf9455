//! The span that a thread is in as far as a registry knows, where the recorder is a layer on one.
//!
//! # Invariants
//!
//! - It is held open, and entered and left through its subscriber, so that the layers of other
//!   libraries are in it as well.
//! - Without a layer of ours in the process nothing is asked for: one load.

use crate::router::{self, Router};
use tracing_core::dispatcher::{self, Dispatch};
use tracing_core::span::Id;

/// A registry's span.
#[derive(Debug)]
pub(super) struct Registered {
    dispatch: Dispatch,
    id: Id,
}

impl Registered {
    /// The thread's current span; `None` where no registry knows of one.
    pub(super) fn current() -> Option<Self> {
        if !router::has_layer() {
            return None;
        }
        dispatcher::get_default(|dispatch| {
            if dispatch.is::<Router>() {
                return None; // the recorder itself: it is asked apart
            }
            let current = dispatch.current_span();
            let id = dispatch.clone_span(current.id()?);
            Some(Self { dispatch: dispatch.clone(), id })
        })
    }

    pub(super) fn enter(&self) {
        self.dispatch.enter(&self.id);
    }

    pub(super) fn exit(&self) {
        self.dispatch.exit(&self.id);
    }
}

impl Clone for Registered {
    fn clone(&self) -> Self {
        Self { dispatch: self.dispatch.clone(), id: self.dispatch.clone_span(&self.id) }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A registry closes the span around it through the thread's subscriber, whichever that is
        // (tracing-subscriber 0.3.23): where that is another registry, it panics.
        dispatcher::with_default(&self.dispatch, || self.dispatch.try_close(self.id.clone()));
    }
}
