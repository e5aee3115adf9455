//! Trace context and baggage in carriers of the OpenTelemetry API.
//!
//! # Invariants
//!
//! - What is read and written is what the process's propagators say, by the same rules as
//!   everywhere: all values of a repeated header, nothing of one that breaks the grammar.
//! - What is in the context already stays where the carrier has nothing better.

use super::api::Context;
use super::api::baggage::BaggageExt;
use super::api::propagation::text_map_propagator::FieldIter;
use super::api::propagation::{Extractor, Injector, TextMapPropagator};
use super::api::trace::TraceContextExt;
use super::{convert, follow};
use std::sync::LazyLock;
use telemetry_core::context::{self, Extract, Inject, RemoteContext};

/// Extracts and injects `traceparent`, `tracestate` and `baggage`: for
/// `opentelemetry::global::set_text_map_propagator`.
///
/// Where contexts are not followed (see [`install`](crate::install)), an empty context stands for
/// the span that the thread is in.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Propagator {}

impl Propagator {
    /// A propagator; all are the same.
    pub const fn new() -> Self {
        Self {}
    }
}

static FIELDS: LazyLock<[String; 3]> =
    LazyLock::new(|| ["traceparent", "tracestate", "baggage"].map(str::to_owned));

struct FromTheirs<'a>(&'a dyn Extractor);

impl Extract for FromTheirs<'_> {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.get_all(name).unwrap_or_default().into_iter()
    }
}

struct ToTheirs<'a>(&'a mut dyn Injector);

impl Inject for ToTheirs<'_> {
    fn set(&mut self, name: &'static str, value: String) {
        self.0.set(name, value);
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let mut span = convert::span(cx.span().span_context());
        let mut baggage = convert::baggage(cx.baggage());
        if !follow::is_on() {
            span = span.or_else(context::current);
            if baggage.is_empty() {
                baggage = context::baggage();
            }
        }
        let sent = RemoteContext::new(span, baggage);
        context::propagators().inject_from(&sent, &mut ToTheirs(injector));
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let remote = context::extract(&FromTheirs(extractor));
        let mut extracted = cx.clone();
        if let Some(span) = remote.span() {
            extracted = extracted.with_remote_span_context(convert::to_their_span(span));
        }
        if !remote.baggage().is_empty() {
            extracted = extracted.with_baggage(convert::to_their_baggage(remote.baggage()));
        }
        extracted
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&*FIELDS)
    }
}
