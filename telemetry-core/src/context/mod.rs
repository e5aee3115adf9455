//! Context that travels: ids, what came with a request, key-values of a scope, baggage.
//!
//! ```
//! use telemetry_core::context::{self, Propagators};
//! use tracing::info_span;
//!
//! // A server: the caller's span becomes the parent.
//! let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
//! let remote = Propagators::default().extract(&headers);
//! let span = remote.run(|| info_span!("request"));
//! // A client inside of it sends on what `current()` is.
//! let mut outgoing = Vec::new();
//! span.in_scope(|| Propagators::default().inject(&mut outgoing));
//! // Everything the thread emits while the guard lives has the field.
//! let _scope = context::scope([("tenant", "acme")]);
//! ```
//!
//! # Invariants
//!
//! - A guard belongs to the thread that made it, and takes out what it put there, in any order.
//! - Where a thread has no state (its end, exhausted memory) nothing is attached and nothing fails.
//! - The call site is told by one bit of its mode, and only while there are fields to write.

mod carried;
mod future;
mod open;
mod owned;
mod registered;
mod task;
mod thread;

pub use carried::Carried;
pub use future::{InContext, Scoped};
pub use open::OpenSpan;
pub use owned::{OwnedSpan, SpanParent, event_callsite, span_callsite};
pub use task::TaskKind;
pub(crate) use task::{Live, TaskState, live};
pub use thread::spawn_thread;

#[cfg(feature = "observer")]
pub use crate::observer::set_observer;
pub use crate::observer::{Observer, Place};
pub use crate::propagation::{
    BAGGAGE_BYTES_MAX, BAGGAGE_MEMBERS_MAX, Baggage, Environment, Extract, Inject, Propagators,
    RemoteContext, SpanContext, SpanId, TRACE_STATE_BYTES_MAX, TRACE_STATE_MEMBERS_MAX, TraceFlags,
    TraceId, TraceParent, TraceState, extract, propagators, set_baggage_fields, set_metric_labels,
    set_propagators, variable_name,
};

use crate::local::{self, Current, Local, mode};
use crate::metric::Labels;
use crate::observer;
use crate::propagation::Frame;
pub(crate) use crate::propagation::has_metric_labels;
use crate::record::flag;
use crate::recorder::{self, states};
use crate::scope::Entered;
use registered::Registered;
use std::marker::PhantomData;
use std::sync::Arc;

/// The span that the thread is in, or the caller's span that it entered, as other processes are
/// to know it; `None` outside of both.
pub fn current() -> Option<SpanContext> {
    span_context(local::with(|local| local.current.get())?)
}

fn span_context(current: Current) -> Option<SpanContext> {
    let trace_id = trace_id(&current)?;
    let flags = current.flags as u8;
    Some(SpanContext {
        trace_id,
        span_id: SpanId::new(current.span_id)?,
        flags: flag::to_trace_flags(flags),
        state: if flags & flag::STATE != 0 { states::get(trace_id) } else { Default::default() },
        is_remote: flags & flag::REMOTE_PARENT != 0,
    })
}

/// Links the span that the thread is in to another one, of any trace and process, that has to do
/// with it without being its parent: a caller that is not trusted, the messages of a batch.
///
/// At most 128 links a span; outside of spans of this process nothing happens.
///
/// ```
/// use telemetry_core::context::{self, Propagators};
///
/// let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
/// let remote = Propagators::default().extract(&headers);
/// let span = tracing::info_span!("request"); // of a trace of its own
/// span.in_scope(|| remote.span().map(context::link));
/// ```
pub fn link(other: &SpanContext) {
    if let Some(open) = OpenSpan::current() {
        open.link(other);
    }
}

/// The thread's baggage.
pub fn baggage() -> Baggage {
    top().map(|frame| frame.baggage.clone()).unwrap_or_default()
}

/// The key-values that the thread's records get, those of outer scopes included.
pub fn values() -> Labels {
    let values = top().map(|frame| frame.values.clone()).unwrap_or_default();
    values.redacted_again().unwrap_or(values)
}

/// The labels that the thread's measurements get of its scope; `None` = none.
#[inline]
pub(crate) fn metric_labels() -> Option<Labels> {
    if has_metric_labels() { metric_labels_here() } else { None }
}

#[cold]
#[inline(never)]
fn metric_labels_here() -> Option<Labels> {
    let labels = top()?.labels.clone();
    let labels = labels.redacted_again().unwrap_or(labels);
    (!labels.is_empty()).then_some(labels)
}

/// Gives key-values to every record of the thread while the guard lives.
///
/// Events, spans that are opened, and records of the `log` crate get them as fields, and
/// measurements those of [`set_metric_labels`] as labels. Scopes nest:
/// an inner value replaces an outer one of the same key, and a field of the record itself stands
/// behind both, where exporters that keep one of a name keep it. At most 64 keys; `message` is an
/// event's own and is left out.
///
/// ```
/// use telemetry_core::context::{self, InContext};
/// use telemetry_core::metric::Value;
///
/// {
///     let _scope = context::scope([("tenant", Value::from(42)), ("region", "eu".into())]);
///     tracing::info!("has both");
/// }
/// // Across `.await`, on whichever thread the future is polled:
/// let task = async { tracing::info!("has one") }.in_scope_values([("tenant", 42)]);
/// # drop(task);
/// ```
#[must_use = "the scope ends with its guard"]
pub fn scope(values: impl Into<Labels>) -> Guard {
    Guard::entering(Carried::of_values(&values.into()))
}

/// Replaces the thread's baggage while the guard lives; the default clears it, as is right before
/// a call to somebody else's service.
#[must_use = "the scope ends with its guard"]
pub fn with_baggage(baggage: Baggage) -> Guard {
    Guard::entering(Carried::of_baggage(baggage))
}

impl Propagators {
    /// Writes the thread's context: its span, the trace's state, its baggage.
    pub fn inject<C: Inject + ?Sized>(self, carrier: &mut C) {
        if self != Self::NONE {
            self.inject_from(&RemoteContext::new(current(), baggage()), carrier);
        }
    }
}

/// Writes the thread's context, with the process's propagators.
pub fn inject<C: Inject + ?Sized>(carrier: &mut C) {
    propagators().inject(carrier);
}

impl RemoteContext {
    /// Makes the caller's span the parent of the spans that the thread opens while the guard
    /// lives, and its baggage the thread's.
    ///
    /// Without a span of the caller, the spans inside have the parent that they had.
    #[must_use = "the context is left with its guard"]
    pub fn enter(&self) -> Guard {
        Guard::entering(Carried::of_remote(self))
    }

    /// Runs `f` inside.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.enter();
        f()
    }
}

/// Leaves all spans while the guard lives: a span that the thread opens inside begins a trace.
/// Baggage and key-values stay.
///
/// ```
/// use telemetry_core::context;
///
/// let request = tracing::info_span!("request").entered();
/// let _outside = context::outside();
/// let job = tracing::info_span!("job"); // a trace of its own
/// assert_eq!(context::current(), None);
/// # drop(request);
/// ```
#[must_use = "the spans are left with its guard"]
pub fn outside() -> Guard {
    Guard::entering(Carried::outside())
}

impl SpanContext {
    /// Makes the span the parent of the spans that the thread opens while the guard lives; baggage
    /// and key-values stay.
    #[must_use = "the context is left with its guard"]
    pub fn enter(&self) -> Guard {
        Guard::entering(Carried::of_span(self))
    }
}

/// Leaves a scope when dropped. It belongs to the thread that made it: a future that holds one
/// across an `.await` is not `Send`; use [`InContext`] there.
#[derive(Debug)]
pub struct Guard {
    frame: Option<u64>,
    entry: Entry,
    /// A span that was entered through its subscriber.
    registered: Option<Registered>,
    /// What the guard alone keeps alive.
    owned: Option<Carried>,
    _scope: Option<Entered>,
    _of_this_thread: PhantomData<*const ()>,
}

/// What was put on the thread's stack of spans.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Nothing,
    Span(u64),
    Parent(Current),
}

impl Guard {
    fn entering(carried: Carried) -> Self {
        let mut guard = carried.enter();
        guard.owned = Some(carried);
        guard
    }

    fn new(
        frame: Option<u64>,
        entry: Entry,
        registered: Option<Registered>,
        scope: Option<Entered>,
    ) -> Self {
        let _of_this_thread = PhantomData;
        Self { frame, entry, registered, owned: None, _scope: scope, _of_this_thread }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.entry {
            Entry::Nothing => {}
            Entry::Span(handle) => recorder::exit_from_afar(handle),
            Entry::Parent(parent) => recorder::leave_parent(parent),
        }
        if let Some(registered) = &self.registered {
            registered.exit();
        }
        if let Some(number) = self.frame {
            let frame = local::with(|local| {
                let frame = local.frames.remove(number);
                show_fields(local);
                frame
            });
            drop(frame);
            observer::left(Place::frame(number));
        }
    }
}

fn top() -> Option<Arc<Frame>> {
    local::with(|local| local.frames.top()).flatten()
}

fn push_frame(local: &Local, frame: &Arc<Frame>) -> Option<u64> {
    let number = local.frames.push(Arc::clone(frame))?;
    show_fields(local);
    observer::entered(Place::frame(number));
    Some(number)
}

/// Lets the call site know whether there are fields to write.
fn show_fields(local: &Local) {
    let has_fields = local.frames.top().is_some_and(|frame| !frame.fields.is_empty());
    let bit = if has_fields { mode::FIELDS } else { 0 };
    local.mode.set(local.mode.get() & !mode::FIELDS | bit);
}

fn trace_id(current: &Current) -> Option<TraceId> {
    TraceId::new(u128::from(current.trace_high) << 64 | u128::from(current.trace_low))
}
