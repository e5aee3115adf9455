//! Context that travels: ids, what came with a request, key-values of a scope, baggage.
//!
//! Most of it is the core's; here is what has to do with `tracing`'s spans.

pub use telemetry_core::context::*;

use tracing::Span;

/// The span as other processes are to know it; `None` when nobody records it.
///
/// ```
/// use telemetry_toolkit::context;
///
/// let span = tracing::info_span!("request");
/// assert_eq!(context::of(&span), None); // no telemetry runs here
/// ```
pub fn of(span: &Span) -> Option<SpanContext> {
    open(span)?.context()
}

/// Makes the caller's span the parent of `span`, which is in the caller's trace from then on.
/// Returns whether it did: not when `remote` has no span, or nobody records `span`.
///
/// For the time after the span was opened and before its first child, where whoever opens it does
/// not know the caller yet. [`RemoteContext::run`] around the opening does the same, and needs no
/// repair; [`OpenSpan::set_parent`] says what it costs to come late. It takes the place of
/// `set_parent` of `tracing-opentelemetry`, which finds no layer of its own (`LayerNotFound`) where
/// telemetry runs without foreign layers.
///
/// ```
/// use telemetry_toolkit::context;
/// use tracing::{info_span, instrument};
///
/// #[instrument(skip_all)]
/// fn handle(headers: &[(&str, &str)]) {
///     context::set_parent(&tracing::Span::current(), &context::extract(headers));
///     tracing::info!("in the caller's trace");
/// }
/// # handle(&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]);
/// # let _ = info_span!("unused");
/// ```
pub fn set_parent(span: &Span, remote: &RemoteContext) -> bool {
    open(span).is_some_and(|open| open.set_parent(remote))
}

fn open(span: &Span) -> Option<OpenSpan> {
    span.with_subscriber(|(id, dispatch)| OpenSpan::of(dispatch, id)).flatten()
}
