//! Spans that are started through the OpenTelemetry API.
//!
//! # Invariants
//!
//! - A span ends when its owner says so, or drops it, whatever is inside of it then.
//! - A span that nobody wants does not record, and has the context of its parent, as the API asks.
//! - A status only rises: unset, error, ok; a description belongs to an error.

use super::api::trace::{Event, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt};
use super::api::{Context, InstrumentationScope, KeyValue};
use super::{convert, follow};
use crate::names::{self, Kind};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use telemetry_core::context::{OpenSpan, OwnedSpan, SpanParent};
use telemetry_core::record::Writer;

/// Makes tracers whose spans are records of ours: for `opentelemetry::global::set_tracer_provider`.
///
/// ```
/// use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
/// use telemetry_opentelemetry::TracerProvider;
///
/// let tracer = TracerProvider::new().tracer("my_library");
/// let mut span = tracer.start("send");
/// span.set_attribute(opentelemetry::KeyValue::new("peer", "192.0.2.1"));
/// span.end();
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracerProvider {}

impl TracerProvider {
    /// A provider; all are the same.
    pub const fn new() -> Self {
        Self {}
    }
}

impl super::api::trace::TracerProvider for TracerProvider {
    type Tracer = Tracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> Tracer {
        Tracer { scope: scope.name().into() }
    }
}

/// Starts spans of a scope, whose name is their target: filters know them by it, at the level
/// `info`.
#[derive(Debug, Clone)]
pub struct Tracer {
    scope: Arc<str>,
}

impl super::api::trace::Tracer for Tracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, parent_cx: &Context) -> Span {
        let parent = parent_cx.span().span_context().clone();
        if parent_cx.is_telemetry_suppressed() {
            return Span::without_record(Arc::clone(&self.scope), parent);
        }
        let (callsite, is_named) = names::callsite(Kind::Span, &self.scope, &builder.name);
        let write = |writer: &mut Writer<'_>| {
            if !is_named {
                writer.inline("otel.name", &&*builder.name);
            }
            if let Some(kind) = &builder.span_kind {
                writer.inline("otel.kind", &kind_name(kind));
            }
            for attribute in builder.attributes.iter().flatten() {
                convert::write(writer, attribute);
            }
        };
        let began = builder.start_time.map(unix_ns);
        let there = convert::span(&parent);
        let span = OwnedSpan::start(callsite, parent_of(there.as_ref()), began, write);
        let Some(span) = span else { return Span::without_record(Arc::clone(&self.scope), parent) };
        let mut span = Span::owning(Arc::clone(&self.scope), span);
        for link in builder.links.into_iter().flatten() {
            super::api::trace::Span::add_link(&mut span, link.span_context, link.attributes);
        }
        for Event { name, attributes, .. } in builder.events.into_iter().flatten() {
            super::api::trace::Span::add_event(&mut span, name, attributes);
        }
        span
    }
}

/// What a span is inside of: the span that their context names. Where contexts are not followed, an
/// empty one means the span that the thread is in.
fn parent_of(there: Option<&telemetry_core::context::SpanContext>) -> SpanParent<'_> {
    let Some(there) = there else {
        return if follow::is_on() { SpanParent::Root } else { SpanParent::Current };
    };
    let here = OpenSpan::current().filter(|here| {
        here.context()
            .is_some_and(|here| (here.trace_id, here.span_id) == (there.trace_id, there.span_id))
    });
    here.map_or(SpanParent::There(there), SpanParent::Here)
}

fn kind_name(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}

fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A span of ours behind their interface.
#[derive(Debug)]
pub struct Span {
    scope: Arc<str>,
    context: SpanContext,
    /// `None` when nobody wants the span, or it is over.
    handle: Option<OpenSpan>,
    /// The span, if this is its owner.
    owned: Option<OwnedSpan>,
    status: Rank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Unset,
    Error,
    Ok,
}

impl Span {
    pub(crate) fn without_record(scope: Arc<str>, context: SpanContext) -> Self {
        Self { scope, context, handle: None, owned: None, status: Rank::Unset }
    }

    fn owning(scope: Arc<str>, span: OwnedSpan) -> Self {
        let mut shown = Self::of(scope, span.open());
        shown.owned = Some(span);
        shown
    }

    /// A span that somebody else ends.
    pub(crate) fn of(scope: Arc<str>, handle: OpenSpan) -> Self {
        let context = handle.context().map(|span| convert::to_their_span(&span));
        let handle = context.as_ref().map(|_| handle);
        let context = context.unwrap_or(SpanContext::NONE);
        Self { scope, context, handle, owned: None, status: Rank::Unset }
    }

    /// The span, if what is told of it is exported.
    fn recording(&self) -> Option<OpenSpan> {
        self.handle.filter(|_| self.context.is_sampled())
    }
}

impl super::api::trace::Span for Span {
    fn add_event_with_timestamp<T>(&mut self, name: T, _: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        let Some(handle) = self.recording() else { return };
        let name = name.into();
        let kind = if name == "exception" { Kind::Error } else { Kind::Event };
        let (callsite, is_named) = names::callsite(kind, &self.scope, &name);
        handle.emit(callsite, |writer| {
            if !is_named {
                writer.inline("otel.event.name", &&*name);
            }
            for attribute in &attributes {
                convert::write(writer, attribute);
            }
        });
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        self.recording().is_some()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if let Some(handle) = self.recording() {
            handle.record(|writer| convert::write(writer, &attribute));
        }
    }

    fn set_attributes(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        let Some(handle) = self.recording() else { return };
        let attributes: Vec<KeyValue> = attributes.into_iter().collect();
        if attributes.is_empty() {
            return;
        }
        handle.record(|writer| {
            for attribute in &attributes {
                convert::write(writer, attribute);
            }
        });
    }

    fn set_status(&mut self, status: Status) {
        let (rank, code) = match &status {
            Status::Unset => return,
            Status::Error { .. } => (Rank::Error, "ERROR"),
            Status::Ok => (Rank::Ok, "OK"),
        };
        let Some(handle) = self.recording().filter(|_| rank >= self.status) else { return };
        if self.status == Rank::Ok {
            return; // it is final
        }
        self.status = rank;
        handle.record(|writer| {
            writer.inline("otel.status_code", &code);
            if let Status::Error { description } = &status
                && !description.is_empty()
            {
                writer.inline("otel.status_message", &&**description);
            }
        });
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(handle) = self.recording() {
            let name = new_name.into();
            handle.record(|writer| writer.inline("otel.name", &&*name));
        }
    }

    fn add_link(&mut self, span_context: SpanContext, _: Vec<KeyValue>) {
        if let (Some(handle), Some(other)) = (self.recording(), convert::span(&span_context)) {
            handle.link(&other);
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        if let Some(span) = self.owned.take() {
            span.end_at(unix_ns(timestamp));
            self.handle = None;
        }
    }
}
