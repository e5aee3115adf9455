//! A span that is open, for those who have more to say of it than `tracing` lets them.
//!
//! # Invariants
//!
//! - It is a name and holds nothing: what it is asked for after the span is over is `None`.

use super::carried::Parent;
use super::{SpanContext, span_context};
use crate::callsite::{self, Callsite};
use crate::local;
use crate::propagation::RemoteContext;
use crate::record::Writer;
use crate::recorder::{self, opened, slots};
use std::sync::atomic::Ordering;
use tracing_core::Dispatch;
use tracing_core::span::Id;

/// A span of this process that is open and that our recorder knows.
///
/// Keep the `tracing` span as long as you use this: it holds nothing open.
///
/// ```
/// use telemetry_core::context::{OpenSpan, Propagators};
///
/// let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
/// let span = tracing::info_span!("request");
/// let open = span.with_subscriber(|(id, dispatch)| OpenSpan::of(dispatch, id)).flatten();
/// // `None` here, because no pipeline runs: nobody records the span.
/// if let Some(open) = open {
///     open.set_parent(&Propagators::default().extract(&headers));
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSpan(pub(super) u64);

impl OpenSpan {
    /// The span that the thread is in; `None` outside of any, and directly inside a caller's.
    pub fn current() -> Option<Self> {
        let handle = local::with(|local| local.current.get().handle)?;
        recorder::current_of(handle).map(|_| Self(handle))
    }

    /// The span that the thread opened last, if it is still open and known by that: it may be
    /// forgotten at any time.
    pub fn newest() -> Option<Self> {
        let handle = local::with(|local| local.newest_handle().load(Ordering::Relaxed))?;
        recorder::current_of(handle).map(|_| Self(handle))
    }

    /// The span as a number, to put where only a number can be.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`to_bits`](Self::to_bits) has made a number of; any other number is a span that is
    /// over.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Where the span was opened.
    pub fn callsite(self) -> Option<&'static Callsite> {
        callsite::by_id(slots::read(self.0)?.callsite)
    }

    /// The span that a `tracing` span is to us; `None` when nobody records it.
    pub fn of(dispatch: &Dispatch, id: &Id) -> Option<Self> {
        let handle = recorder::handle_of(dispatch, id)?;
        recorder::current_of(handle).map(|_| Self(handle))
    }

    /// The span as other processes are to know it.
    pub fn context(self) -> Option<SpanContext> {
        span_context(recorder::current_of(self.0)?)
    }

    /// Makes the span of a caller, or any that is known by its ids, the parent of this one, which
    /// is in that trace from now on. Returns whether it did: not when `remote` has no span, or
    /// this one is over.
    ///
    /// Meant for the time between the opening of a span and its first child, where whoever opens
    /// it does not know the parent yet. Later it has its price: events, and spans that were opened
    /// inside, keep the trace they have; so do other threads that are inside, until they enter the
    /// span again. The caller's sampling decision counts as if the span had been opened inside. Its
    /// baggage does not become the span's: enter `remote` around the work for that.
    pub fn set_parent(self, remote: &RemoteContext) -> bool {
        let Some(span) = remote.span() else { return false };
        recorder::set_parent(self.0, &Parent::of(span).current)
    }

    /// Gives the span fields; of equal names the later value counts.
    pub fn record(self, write: impl FnOnce(&mut Writer<'_>)) {
        opened::record_fields(self.0, write);
    }

    /// Links the span to another one.
    pub fn link(self, other: &SpanContext) {
        let trace = other.trace_id.get();
        recorder::link(self.0, (trace >> 64) as u64, trace as u64, other.span_id.get());
    }

    /// Emits an event of a callsite of [`event_callsite`](super::event_callsite) in the span.
    pub fn emit(self, callsite: &'static Callsite, write: impl FnOnce(&mut Writer<'_>)) {
        opened::emit_in(self.0, callsite, write);
    }
}
