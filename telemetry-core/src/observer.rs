//! One other library that follows where each thread is: what it enters, and what it leaves.
//!
//! Only with the feature `observer`, which a bridge turns on; without it nothing here costs anything.
//!
//! # Invariants
//!
//! - The observer is called after the fact, in the thread that it is about, and what it is told was
//!   entered is left once, in any order.
//! - Beyond the limits of a thread's stack nothing is entered, and nothing is told.
//! - There is one observer in a process, and it stays.

/// What a thread has entered: the same value is told when it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Span(u64),
    Parent(u64),
    Frame(u64),
}

impl Place {
    /// A span of this process, by its handle.
    pub(crate) const fn span(handle: u64) -> Self {
        Self(Kind::Span(handle))
    }

    /// A caller's span, by the number of its entering.
    pub(crate) const fn parent(number: u64) -> Self {
        Self(Kind::Parent(number))
    }

    /// Key-values or baggage, by number.
    pub(crate) const fn frame(number: u64) -> Self {
        Self(Kind::Frame(number))
    }

    /// Is it a span, of whatever process?
    pub const fn is_span(self) -> bool {
        !matches!(self.0, Kind::Frame(_))
    }
}

/// Follows where threads are.
///
/// It runs at call sites: it must not panic, block, or enter anything that it does not leave.
pub trait Observer: Send + Sync + 'static {
    /// The thread has entered a span, a caller's span, a scope or baggage, and is in it.
    fn entered(&self, place: Place);

    /// The thread has left it.
    fn left(&self, place: Place);
}

#[cfg(feature = "observer")]
mod told {
    use super::{Observer, Place};
    use std::sync::OnceLock;

    static OBSERVER: OnceLock<Box<dyn Observer>> = OnceLock::new();

    /// Sets the process's observer; `false` when it has one.
    pub fn set_observer(observer: impl Observer) -> bool {
        OBSERVER.set(Box::new(observer)).is_ok()
    }

    #[inline(always)]
    pub(crate) fn entered(place: Place) {
        if let Some(observer) = OBSERVER.get() {
            observer.entered(place);
        }
    }

    #[inline(always)]
    pub(crate) fn left(place: Place) {
        if let Some(observer) = OBSERVER.get() {
            observer.left(place);
        }
    }
}

#[cfg(feature = "observer")]
pub use told::set_observer;
#[cfg(feature = "observer")]
pub(crate) use told::{entered, left};

#[cfg(not(feature = "observer"))]
#[inline(always)]
pub(crate) fn entered(_: Place) {}

#[cfg(not(feature = "observer"))]
#[inline(always)]
pub(crate) fn left(_: Place) {}
