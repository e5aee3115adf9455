//! The tracer for tracing-opentelemetry's layer: its spans are shadows of ours.
//!
//! The layer keeps a builder for each `tracing` span, and starts the span of OpenTelemetry when its
//! context is asked for: when it is entered, by `span.context()`, for a child. What the tracer then
//! starts has the ids of our span, and what was set through `OpenTelemetrySpanExt` goes to ours.
//!
//! # Invariants
//!
//! - A shadow is exported by nobody, holds nothing open and ends nothing.
//! - What the layer repeats of `tracing` (fields, events, names) our recorder has already: it is
//!   left out.
//! - A builder carries the handle of its span. One that our recorder does not know has none; its
//!   shadow has the context of its parent.

use super::api::trace::{
    Event, Link, Span as _, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer,
};
use super::api::{Context, KeyValue, Value};
use super::convert;
use super::tracer::Span;
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;
use telemetry_core::callsite::Callsite;
use telemetry_core::context::{OpenSpan, RemoteContext};

/// The attribute that a builder carries its span's handle in.
const HANDLE: &str = "telemetry.span";

/// What the layer says of a span beside its fields; our records have it, too.
const OF_THE_LAYER: [&str; 9] = [
    "busy_ns",
    "code.file.path",
    "code.line.number",
    "code.module.name",
    "idle_ns",
    "level",
    "target",
    "thread.id",
    "thread.name",
];

thread_local! {
    /// The span that the last builder was made for.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// A tracer for `tracing_opentelemetry::layer().with_tracer(…)`, so that libraries that use
/// `OpenTelemetrySpanExt` go on working, with our ids.
///
/// The layer has to stand behind ours on one `Registry`, as it does in the facade's
/// `Builder::layer`.
///
/// ```
/// use telemetry_core::TelemetryLayer;
/// use telemetry_opentelemetry::LayerTracer;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let theirs = tracing_opentelemetry::layer().with_tracer(LayerTracer::new());
/// let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new()).with(theirs);
/// # drop(subscriber);
/// ```
///
/// - `set_parent` gives our span that parent, when the span is entered or its context is asked for
///   for the first time; `context` is our span's.
/// - `set_attribute`, `set_status`, `add_link` and `add_event` go to our span.
///
/// # Limits
///
/// - A parent in the trace that the span is in already is left out, and so is one of a span that is
///   never entered; an attribute whose name is one of the span's fields is left to `record`.
/// - An event of level `error` sets the status of its span, as the layer has it.
#[derive(Debug, Clone)]
pub struct LayerTracer {
    scope: Arc<str>,
}

impl Default for LayerTracer {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerTracer {
    /// A tracer; all are the same.
    pub fn new() -> Self {
        Self { scope: "opentelemetry".into() }
    }
}

/// The span that the thread has just opened, if it is called `name` and was not asked for before:
/// our recorder hears of a span before the layer does.
fn just_opened(name: &str) -> Option<OpenSpan> {
    let newest = OpenSpan::newest()?;
    let is_new = LAST.replace(newest.to_bits()) != newest.to_bits();
    let is_it = newest.callsite().is_some_and(|callsite| callsite.name() == name);
    (is_new && is_it).then_some(newest)
}

impl Tracer for LayerTracer {
    type Span = LayerSpan;

    fn span_builder<T>(&self, name: T) -> SpanBuilder
    where
        T: Into<Cow<'static, str>>,
    {
        let mut builder = SpanBuilder::from_name(name);
        if let Some(open) = just_opened(&builder.name) {
            let handle = KeyValue::new(HANDLE, open.to_bits().cast_signed());
            builder.attributes = Some(vec![handle]);
        }
        builder
    }

    fn build_with_context(&self, builder: SpanBuilder, parent_cx: &Context) -> LayerSpan {
        let parent = parent_cx.span().span_context().clone();
        let attributes = builder.attributes.unwrap_or_default();
        let open = attributes.iter().find(|attribute| attribute.key.as_str() == HANDLE);
        let open = open.and_then(|handle| match handle.value {
            Value::I64(bits) => Some(OpenSpan::from_bits(bits.cast_unsigned())),
            _ => None,
        });
        let open = open.filter(|open| open.context().is_some());
        let Some((open, callsite)) = open.and_then(|open| Some((open, open.callsite()?))) else {
            return LayerSpan {
                span: Span::without_record(Arc::clone(&self.scope), parent),
                callsite: None,
            };
        };
        reparent(open, &parent);
        let span = Span::of(Arc::clone(&self.scope), open);
        let mut shadow = LayerSpan { span, callsite: Some(callsite) };
        shadow.set_attributes(attributes);
        for Link { span_context, attributes, .. } in builder.links.into_iter().flatten() {
            shadow.add_link(span_context, attributes);
        }
        for Event { name, timestamp, attributes, .. } in builder.events.into_iter().flatten() {
            shadow.add_event_with_timestamp(name, timestamp, attributes);
        }
        shadow
    }
}

/// Gives our span the parent that was set for it: one of another trace. In the same trace it is
/// mostly one that the layer does not see.
fn reparent(open: OpenSpan, parent: &SpanContext) {
    let (Some(now), Some(parent)) = (open.context(), convert::span(parent)) else { return };
    if now.trace_id != parent.trace_id {
        open.set_parent(&RemoteContext::new(Some(parent), Default::default()));
    }
}

/// The shadow of a span of ours.
#[derive(Debug)]
pub struct LayerSpan {
    span: Span,
    /// `None` when our recorder does not know the span.
    callsite: Option<&'static Callsite>,
}

impl LayerSpan {
    /// Was the attribute set by hand, and not by the layer, for what our records have?
    fn is_new(&self, attribute: &KeyValue) -> bool {
        let key = attribute.key.as_str();
        let is_field = |callsite: &Callsite| callsite.fields().iter().any(|field| field == key);
        key != HANDLE && !OF_THE_LAYER.contains(&key) && !self.callsite.is_some_and(is_field)
    }
}

/// Did the layer make this of an event of `tracing`? It says level and target first.
fn is_of_tracing(attributes: &[KeyValue]) -> bool {
    let key = |n: usize| attributes.get(n).map(|attribute| attribute.key.as_str());
    (key(0), key(1)) == (Some("level"), Some("target"))
}

impl super::api::trace::Span for LayerSpan {
    fn add_event_with_timestamp<T>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) where
        T: Into<Cow<'static, str>>,
    {
        if !is_of_tracing(&attributes) {
            self.span.add_event_with_timestamp(name, timestamp, attributes);
        }
    }

    fn span_context(&self) -> &SpanContext {
        self.span.span_context()
    }

    fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if self.is_new(&attribute) {
            self.span.set_attribute(attribute);
        }
    }

    fn set_attributes(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        let new = attributes.into_iter().filter(|attribute| self.is_new(attribute));
        let new: Vec<KeyValue> = new.collect();
        self.span.set_attributes(new);
    }

    fn set_status(&mut self, status: Status) {
        self.span.set_status(status);
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.update_name(new_name);
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        self.span.add_link(span_context, attributes);
    }

    /// The span of `tracing` ends it.
    fn end_with_timestamp(&mut self, _: SystemTime) {}
}
