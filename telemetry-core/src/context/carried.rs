//! What a piece of work takes along from one thread to another.
//!
//! # Invariants
//!
//! - The span that is carried stays open; the trace's state stays known.
//! - It is made whole when it is captured: entering it allocates a place in two vectors at most.

use super::owned::foreign;
use super::registered::Registered;
use super::task::{Live, Running};
use super::{Entry, Guard, push_frame, top, trace_id};
use crate::local::{self, Current};
use crate::metric::Labels;
use crate::plan::Scope;
use crate::propagation::{Baggage, Frame, RemoteContext, SpanContext, TraceId};
use crate::record::flag;
use crate::recorder::{self, slots, states};
use crate::scope;
use std::sync::Arc;

/// A thread's context, taken along to another thread: span, baggage, key-values, and in tests the
/// capture that takes its records.
///
/// ```
/// use telemetry_core::context::Carried;
///
/// let carried = Carried::capture();
/// std::thread::spawn(move || {
///     let _guard = carried.enter();
///     tracing::info!("in the span of the thread that captured");
/// });
/// ```
#[derive(Debug)]
pub struct Carried {
    span: Span,
    /// The same, or a span inside, as a registry knows it, for the layers of others.
    registered: Option<Registered>,
    frame: Option<Arc<Frame>>,
    meets: Meets,
    /// The task that it is the context of.
    pub(super) task: Option<Arc<Live>>,
    capture: Capture,
}

/// What becomes of the frame that the thread has where the context is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meets {
    /// It counts no more: the context was captured whole.
    Replaces,
    /// Its values stay under those that are added, its baggage stays.
    AddsValues,
    /// Its values stay, its baggage counts no more.
    SetsBaggage,
}

/// What becomes of the capture that takes the thread's records, in tests.
#[derive(Debug, Clone)]
enum Capture {
    /// It goes on.
    Kept,
    /// This one takes them, or none if there was none.
    Replaced(Option<Arc<Scope>>),
}

/// What becomes of the thread's current span.
#[derive(Debug)]
enum Span {
    /// It stays.
    Kept,
    /// A span of this process; a reference to it is held.
    Here(u64),
    /// The caller's span, or none.
    Parent(Parent),
}

#[derive(Debug)]
pub(super) struct Parent {
    pub(super) current: Current,
    state: Option<TraceId>,
}

impl Parent {
    /// A span that is known by its ids, with the state of its trace held if there is one.
    pub(super) fn of(span: &SpanContext) -> Self {
        let current = foreign(span);
        let has_state = current.flags & u64::from(flag::STATE) != 0;
        Self { current, state: has_state.then_some(span.trace_id) }
    }

    /// `current`, with the state of its trace held if there is one.
    fn holding(mut current: Current) -> Self {
        current.handle = 0;
        let has_state = current.flags & u64::from(flag::STATE) != 0;
        let state = trace_id(&current).filter(|trace| has_state && states::hold(*trace));
        if state.is_none() {
            current.flags &= !u64::from(flag::STATE);
        }
        Self { current, state }
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if let Some(trace_id) = self.state {
            states::release(trace_id);
        }
    }
}

impl Carried {
    /// Takes what the thread is in: its span, which stays open as long as it is carried, baggage,
    /// key-values.
    pub fn capture() -> Self {
        let current = local::with(|local| local.current.get()).unwrap_or_default();
        let span = if current.handle != 0 && slots::retain(current.handle) {
            Span::Here(current.handle)
        } else {
            Span::Parent(Parent::holding(current))
        };
        Self {
            span,
            registered: Registered::current(),
            frame: Some(top().unwrap_or_default()),
            meets: Meets::Replaces,
            capture: Capture::Replaced(scope::current_capture()),
            task: None,
        }
    }

    pub(super) fn of_values(values: &Labels) -> Self {
        let frame = top().unwrap_or_default().with_values(values);
        Self::of_frame(frame, Meets::AddsValues)
    }

    pub(super) fn of_baggage(baggage: Baggage) -> Self {
        let frame = Frame::new(super::values(), baggage);
        Self::of_frame(frame, Meets::SetsBaggage)
    }

    fn of_frame(frame: Frame, meets: Meets) -> Self {
        let frame = Some(Arc::new(frame));
        let (span, capture) = (Span::Kept, Capture::Kept);
        Self { span, registered: None, frame, meets, capture, task: None }
    }

    /// Nothing but a capture.
    pub(crate) fn of_capture(scope: Arc<Scope>) -> Self {
        let (capture, meets) = (Capture::Replaced(Some(scope)), Meets::AddsValues);
        Self { span: Span::Kept, registered: None, frame: None, meets, capture, task: None }
    }

    pub(super) fn of_remote(remote: &RemoteContext) -> Self {
        let mut carried = Self::of_baggage(remote.baggage.clone());
        if let Some(span) = &remote.span {
            carried.span = Span::Parent(Parent::of(span));
        }
        carried
    }

    pub(super) fn outside() -> Self {
        Self::of_parent(Parent { current: Current::default(), state: None })
    }

    pub(super) fn of_span(span: &SpanContext) -> Self {
        Self::of_parent(Parent::of(span))
    }

    fn of_parent(parent: Parent) -> Self {
        let (span, capture) = (Span::Parent(parent), Capture::Kept);
        let meets = Meets::AddsValues;
        Self { span, registered: None, frame: None, meets, capture, task: None }
    }

    /// The context with further key-values, as [`scope`](super::scope) gives them.
    #[must_use]
    pub fn with_values(mut self, values: impl Into<Labels>) -> Self {
        let frame = self.frame.take().unwrap_or_default().with_values(&values.into());
        self.frame = Some(Arc::new(frame));
        self
    }

    /// Makes it the thread's context while the guard lives.
    #[must_use = "the context is left with its guard"]
    pub fn enter(&self) -> Guard {
        let scope = match &self.capture {
            Capture::Kept => None,
            Capture::Replaced(Some(scope)) if scope.is_open() => scope::enter_capture(scope),
            Capture::Replaced(_) => scope::enter_none(),
        };
        if let Some(registered) = &self.registered {
            registered.enter();
        }
        let entry = match &self.span {
            Span::Kept => Entry::Nothing,
            // The registry's enter has brought the thread there, unless it is filtered out for us.
            Span::Here(handle) if self.registered.is_some() && is_current(*handle) => {
                Entry::Nothing
            }
            Span::Here(handle) => {
                recorder::enter_from_afar(*handle);
                Entry::Span(*handle)
            }
            Span::Parent(parent) => {
                recorder::enter_parent(parent.current).map_or(Entry::Nothing, Entry::Parent)
            }
        };
        let frame = self.frame_here();
        let number = frame.and_then(|frame| local::with(|local| push_frame(local, &frame)));
        Guard::new(number.flatten(), entry, self.registered.clone(), scope)
    }

    /// Lets the task, if it is the context of one, be seen as running on this thread.
    pub(super) fn running(&self) -> Option<Running<'_>> {
        self.task.as_deref().map(Live::run)
    }

    fn frame_here(&self) -> Option<Arc<Frame>> {
        let frame = self.frame.as_ref()?;
        let outer = if self.meets == Meets::Replaces { None } else { top() };
        let Some(outer) = outer else { return Some(Arc::clone(frame)) };
        let baggage = match self.meets {
            Meets::AddsValues if !outer.baggage.is_empty() => &outer.baggage,
            _ => &frame.baggage,
        };
        // Mostly it was made where it is entered, and holds what is there already.
        let holds = |key| frame.values.get(key).is_some();
        if *baggage == frame.baggage && outer.values.iter().all(|(key, _)| holds(key)) {
            return Some(Arc::clone(frame));
        }
        let outer = Frame::new(outer.values.clone(), baggage.clone());
        Some(Arc::new(outer.with_values(&frame.values)))
    }

    /// Runs `f` inside.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _running = self.running();
        let _guard = self.enter();
        f()
    }
}

impl Clone for Carried {
    fn clone(&self) -> Self {
        let span = match &self.span {
            Span::Kept => Span::Kept,
            Span::Here(handle) => {
                recorder::retain(*handle);
                Span::Here(*handle)
            }
            Span::Parent(parent) => Span::Parent(Parent::holding(parent.current)),
        };
        Self {
            span,
            registered: self.registered.clone(),
            frame: self.frame.clone(),
            meets: self.meets,
            capture: self.capture.clone(),
            task: self.task.clone(),
        }
    }
}

fn is_current(handle: u64) -> bool {
    local::with(|local| local.current.get().handle) == Some(handle)
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let Span::Here(handle) = self.span {
            recorder::close(handle);
        }
    }
}
