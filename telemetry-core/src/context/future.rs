//! Futures that take their context along.
//!
//! # Invariants
//!
//! - The context is the thread's while the future is polled, and while it is dropped, and not in
//!   between.

use super::Carried;
use crate::metric::Labels;
use crate::propagation::RemoteContext;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Gives futures a context.
pub trait InContext: Sized {
    /// Gives key-values to every record inside, as [`scope`](super::scope) does, on top of those
    /// of the thread that calls this and of the one that polls.
    fn in_scope_values(self, values: impl Into<Labels>) -> Scoped<Self> {
        self.in_context(Carried::of_values(&values.into()))
    }

    /// Makes what a caller sent the context of the future.
    fn in_remote(self, remote: &RemoteContext) -> Scoped<Self> {
        self.in_context(Carried::of_remote(remote))
    }

    /// Takes a captured context along.
    fn in_context(self, carried: Carried) -> Scoped<Self> {
        Scoped { inner: Some(self), carried }
    }
}

impl<F: Future> InContext for F {}

pin_project! {
    /// A future with a context; see [`InContext`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        // `None` only while it is dropped.
        #[pin]
        inner: Option<F>,
        carried: Carried,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What a cancelled future says in its destructors belongs to it, too.
            let _guard = this.carried.enter();
            this.inner.set(None);
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _running = this.carried.running();
        let _guard = this.carried.enter();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll(context),
            None => Poll::Pending,
        }
    }
}
