//! Spans that their owner ends: for bridges to other APIs, whose spans have names and times of
//! their own.
//!
//! # Invariants
//!
//! - An owned span ends once: with [`OwnedSpan::end_at`], or now when it is dropped.

use super::OpenSpan;
use crate::callsite::{Callsite, Description};
use crate::level::Level;
use crate::local::{self, Current};
use crate::propagation::SpanContext;
use crate::record::{Writer, flag};
use crate::recorder::{self, opened, states};
use crate::{clock, router};

/// What a span is opened in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum SpanParent<'a> {
    /// Where the thread is.
    Current,
    /// Nothing: it begins a trace.
    Root,
    /// A span of this process, which it holds open.
    Here(OpenSpan),
    /// A span of another process, or one of this process that it does not hold open.
    There(&'a SpanContext),
}

/// A span that its owner ends.
///
/// It is not entered: what is to be inside of it names it as its parent.
///
/// ```
/// use telemetry_core::Level;
/// use telemetry_core::context::{OwnedSpan, SpanParent, span_callsite};
///
/// let callsite = span_callsite(Level::Info, "my_library", "send");
/// let span = OwnedSpan::start(callsite, SpanParent::Current, None, |fields| {
///     fields.inline("peer", &"192.0.2.1");
/// });
/// if let Some(span) = &span {
///     span.open().record(|fields| fields.inline("bytes", &512_u64));
/// }
/// drop(span);
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a span that is dropped is over"]
pub struct OwnedSpan(u64);

impl OwnedSpan {
    /// Opens a span of a callsite of [`span_callsite`], which began now or at a time of its own, in
    /// nanoseconds since the Unix epoch; `None` when nobody wants it.
    ///
    /// Filters decide by its target, level and name; directives of fields do not see its fields.
    pub fn start(
        callsite: &'static Callsite,
        parent: SpanParent<'_>,
        began_unix_ns: Option<u64>,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Option<Self> {
        let ticks = began_unix_ns.map_or_else(clock::ticks, clock::ticks_at);
        let mut kept = None;
        let parent = match parent {
            SpanParent::Current => local::with(|local| local.current.get()).unwrap_or_default(),
            SpanParent::Root => Current::default(),
            SpanParent::Here(span) => recorder::current_of(span.0).unwrap_or_default(),
            SpanParent::There(span) => {
                let parent = foreign(span);
                kept = (parent.flags & u64::from(flag::STATE) != 0).then_some(span.trace_id);
                parent
            }
        };
        let handle = opened::start(callsite, parent, ticks, write);
        // The span holds the state of its trace by now.
        if let Some(trace_id) = kept {
            states::release(trace_id);
        }
        handle.map(Self)
    }

    /// The span, as one that this does not hold open.
    pub const fn open(&self) -> OpenSpan {
        OpenSpan(self.0)
    }

    /// Ends it at a time of its own, in nanoseconds since the Unix epoch.
    pub fn end_at(self, unix_ns: u64) {
        opened::end(self.0, clock::ticks_at(unix_ns));
        std::mem::forget(self);
    }
}

impl Drop for OwnedSpan {
    fn drop(&mut self) {
        recorder::close(self.0);
    }
}

/// A span that is not one of this process's handles, as a current span. The state of its trace, if
/// it has one, is kept for a holder: the caller.
pub(super) fn foreign(span: &SpanContext) -> Current {
    let trace = span.trace_id.get();
    let is_kept = !span.state.is_empty() && states::keep(span.trace_id, &span.state);
    let flags = flag::of_trace_flags(span.flags)
        | if span.is_remote { flag::REMOTE_PARENT } else { 0 }
        | if is_kept { flag::STATE } else { 0 };
    Current {
        handle: 0,
        span_id: span.span_id.get(),
        trace_high: (trace >> 64) as u64,
        trace_low: trace as u64,
        flags: u64::from(flags),
    }
}

/// Registers a callsite for spans of another API. It stays for ever: whoever makes names up bounds
/// how many there are, and keeps what this returns.
pub fn span_callsite(level: Level, target: &str, name: &str) -> &'static Callsite {
    register(true, level, target, name)
}

/// As [`span_callsite`], for events.
pub fn event_callsite(level: Level, target: &str, name: &str) -> &'static Callsite {
    register(false, level, target, name)
}

fn register(span: bool, level: Level, target: &str, name: &str) -> &'static Callsite {
    router::register_own(Description {
        span,
        level,
        name: name.to_owned(),
        target: target.to_owned(),
        module: None,
        file: None,
        line: None,
        fields: Vec::new(),
        measurements: 0,
        named: !span,
    })
}
