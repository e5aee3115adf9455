//! Extracts what a caller sent, and injects what a callee is to get.
//!
//! # Invariants
//!
//! - Extraction never fails: what cannot be read is as if it were not there, and never replaces a
//!   value that was there before.
//! - A `traceparent` that comes twice counts as none; without one, `tracestate` is not read.
//! - Until propagators are set for the process, nothing is extracted or injected by name of the process.

use super::baggage::Baggage;
use super::carrier::{Extract, Inject};
use super::ids::{SpanId, TraceId};
use super::trace_parent::{TraceFlags, TraceParent};
use super::trace_state::TraceState;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// Every name that the propagators read and write.
pub(crate) const FIELDS: [&str; 3] = [TRACE_PARENT, TRACE_STATE, BAGGAGE];

/// A span as other processes know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// The trace's flags.
    pub flags: TraceFlags,
    /// What tracing systems added to the trace.
    pub state: TraceState,
    /// Was it extracted, so that the span belongs to another process?
    pub is_remote: bool,
}

/// What came with a request: the caller's span, and baggage.
///
/// [`enter`](Self::enter) makes it the parent of the spans that are opened in the thread. A service
/// at a public edge, which trusts no caller, does not enter it: ids can be forged, and the sampled
/// flag makes a callee record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteContext {
    pub(crate) span: Option<SpanContext>,
    pub(crate) baggage: Baggage,
}

impl RemoteContext {
    /// The context of this span and baggage.
    pub fn new(span: Option<SpanContext>, baggage: Baggage) -> Self {
        Self { span, baggage }
    }

    /// The caller's span; `None` when it sent none that can be used.
    pub fn span(&self) -> Option<&SpanContext> {
        self.span.as_ref()
    }

    /// The baggage.
    pub fn baggage(&self) -> &Baggage {
        &self.baggage
    }
}

/// A set of propagators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagators(u8);

impl fmt::Display for Propagators {
    /// As `OTEL_PROPAGATORS` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NONE => "none",
            Self::TRACE_CONTEXT => "tracecontext",
            Self::BAGGAGE => "baggage",
            _ => "tracecontext,baggage",
        })
    }
}

impl Propagators {
    /// None: nothing is read or written.
    pub const NONE: Self = Self(0);
    /// `traceparent` and `tracestate` (W3C Trace Context).
    pub const TRACE_CONTEXT: Self = Self(1);
    /// `baggage` (W3C Baggage).
    pub const BAGGAGE: Self = Self(2);

    /// Reads the value of `OTEL_PROPAGATORS`, without regard to case; also returns the names that
    /// mean nothing here.
    ///
    /// ```
    /// use telemetry_core::context::Propagators;
    ///
    /// let (known, unknown) = Propagators::from_names("tracecontext,b3");
    /// assert_eq!((known, &unknown[..]), (Propagators::TRACE_CONTEXT, &["b3"][..]));
    /// ```
    pub fn from_names(names: &str) -> (Self, Vec<&str>) {
        let mut propagators = Self::NONE;
        let mut unknown = Vec::new();
        for name in names.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "tracecontext" => propagators = propagators | Self::TRACE_CONTEXT,
                "baggage" => propagators = propagators | Self::BAGGAGE,
                "none" | "" => {}
                _ => unknown.push(name),
            }
        }
        (propagators, unknown)
    }

    /// Are all of `others` in the set?
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Reads what a caller sent.
    ///
    /// ```
    /// use telemetry_core::context::Propagators;
    ///
    /// let headers = [("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    /// let remote = Propagators::default().extract(&headers);
    /// assert!(remote.span().unwrap().is_remote);
    /// ```
    pub fn extract<C: Extract + ?Sized>(self, carrier: &C) -> RemoteContext {
        self.extract_over(carrier, RemoteContext::default())
    }

    /// As [`extract`](Self::extract); what cannot be read is kept from `before`.
    pub fn extract_over<C: Extract + ?Sized>(
        self,
        carrier: &C,
        before: RemoteContext,
    ) -> RemoteContext {
        let mut remote = before;
        if self.contains(Self::TRACE_CONTEXT)
            && let Some(span) = span(carrier)
        {
            remote.span = Some(span);
        }
        if self.contains(Self::BAGGAGE) {
            let baggage = Baggage::parse(carrier.get_all(BAGGAGE));
            if !baggage.is_empty() {
                remote.baggage = baggage;
            }
        }
        remote
    }

    /// Writes a context, of this thread or not.
    pub fn inject_from<C: Inject + ?Sized>(self, context: &RemoteContext, carrier: &mut C) {
        if self.contains(Self::TRACE_CONTEXT)
            && let Some(span) = &context.span
        {
            let SpanContext { trace_id, span_id, flags, .. } = *span;
            carrier.set(TRACE_PARENT, TraceParent { trace_id, span_id, flags }.to_string());
            if !span.state.is_empty() {
                carrier.set(TRACE_STATE, span.state.to_string());
            }
        }
        if self.contains(Self::BAGGAGE) && !context.baggage.is_empty() {
            carrier.set(BAGGAGE, context.baggage.to_string());
        }
    }
}

impl std::ops::BitOr for Propagators {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Trace context and baggage.
impl Default for Propagators {
    fn default() -> Self {
        Self::TRACE_CONTEXT | Self::BAGGAGE
    }
}

fn span<C: Extract + ?Sized>(carrier: &C) -> Option<SpanContext> {
    let mut parents = carrier.get_all(TRACE_PARENT);
    let parent = TraceParent::parse(parents.next()?)?;
    if parents.next().is_some() {
        return None;
    }
    let state = TraceState::parse(carrier.get_all(TRACE_STATE)).unwrap_or_default();
    let TraceParent { trace_id, span_id, flags } = parent;
    Some(SpanContext { trace_id, span_id, flags, state, is_remote: true })
}

static OF_PROCESS: AtomicU8 = AtomicU8::new(0);

/// Sets the process's propagators: those of `context::extract` and `context::inject`.
pub fn set_propagators(propagators: Propagators) {
    // Relaxed, here and below: the set is all that is published.
    OF_PROCESS.store(propagators.0, Ordering::Relaxed);
}

/// The process's propagators: none until somebody sets them.
pub fn propagators() -> Propagators {
    Propagators(OF_PROCESS.load(Ordering::Relaxed))
}

/// Reads what a caller sent, with the process's propagators.
pub fn extract<C: Extract + ?Sized>(carrier: &C) -> RemoteContext {
    propagators().extract(carrier)
}
