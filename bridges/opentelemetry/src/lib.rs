//! A bridge to code that is written against the API of OpenTelemetry for Rust (the crate
//! `opentelemetry`, 0.33).
//!
//! After [`install`] there is one idea of where a thread is:
//!
//! - A span of `tracing` that the thread is in is the span of `opentelemetry::Context::current()`:
//!   its ids, its attributes (`Context::current().span().set_attribute(…)`), its children.
//! - A span that is started through `opentelemetry::global::tracer(…)` is a record like any other,
//!   and, while its context is attached, the parent of `tracing`'s spans and the span of events.
//! - Baggage is the same on both sides.
//! - `opentelemetry::global::get_text_map_propagator` reads and writes the headers that
//!   [`telemetry_core::context`] does.
//!
//! [`LayerTracer`] is for libraries that know `tracing-opentelemetry`; it works without [`install`].
//!
//! ```
//! use opentelemetry::trace::{TraceContextExt, Tracer};
//! use opentelemetry::{Context, KeyValue};
//!
//! telemetry_opentelemetry::install()?;
//! let span = tracing::info_span!("request");
//! span.in_scope(|| {
//!     // A library that knows OpenTelemetry only:
//!     Context::current().span().set_attribute(KeyValue::new("tenant", "acme"));
//!     opentelemetry::global::tracer("library").in_span("query", |_context| {
//!         tracing::info!("in `query`, which is in `request`");
//!     });
//! });
//! # Ok::<(), telemetry_core::Error>(())
//! ```
//!
//! # What it costs
//!
//! Entering a span also attaches a context (two allocations), and leaving it detaches that; where
//! the bridge is not installed, nothing. Events cost what they do without it.
//!
//! # Limits
//!
//! - A span's event becomes a log event with the span's ids, not an event of the span.
//! - Attributes of links, versions and attributes of scopes, and explicit times of events are left
//!   out; a list as an attribute becomes its text.
//! - Directives of filters that name fields do not see the attributes of their spans.
//! - A span of theirs ends when it is ended; spans inside of it do not hold it open.
//! - A `tracing` span that is entered inside the closure of `Context::map_current` or
//!   `get_active_span` is not seen by them: their context cannot change while it is read.
//! - Their hook for who follows contexts (`experimental_context_observer`) is experimental.

#![forbid(unsafe_code)]
#![cfg_attr(
    feature = "opentelemetry_0_32",
    expect(clippy::duplicate_mod, reason = "the same code for each version of the API")
)]

/// The API as the modules know it that are there for each of its versions.
use ::opentelemetry as api;

mod convert;
mod follow;
mod layer;
mod names;
mod propagator;
mod tracer;
#[cfg(feature = "opentelemetry_0_32")]
pub mod v0_32;

pub use layer::{LayerSpan, LayerTracer};
pub use propagator::Propagator;
pub use tracer::{Span, Tracer, TracerProvider};

use opentelemetry::trace::TraceContextExt;
use telemetry_core::Error;
use telemetry_core::context::{self, OpenSpan};

/// Makes this the process's tracer provider, propagator, and idea of the current context, for good.
///
/// # Errors
///
/// Another library follows the contexts of threads. Tracer provider and propagator are set all the
/// same: there an empty context stands for the span that the thread is in.
pub fn install() -> Result<(), Error> {
    opentelemetry::global::set_tracer_provider(TracerProvider::new());
    opentelemetry::global::set_text_map_propagator(Propagator::new());
    match follow::begin() {
        true => Ok(()),
        false => Err(Error::foreign(
            "the observer of `opentelemetry` contexts",
            "let one library follow them; `otel_context` and the global tracer work without",
        )),
    }
}

/// Where the thread is, as a context of theirs: for code that gets one as an argument. After
/// [`install`] it is `Context::current()`.
pub fn otel_context() -> opentelemetry::Context {
    use opentelemetry::baggage::BaggageExt;
    let now = opentelemetry::Context::current();
    if follow::is_on() {
        return now;
    }
    let now = match (OpenSpan::current(), context::current()) {
        (Some(handle), _) => now.with_span(Span::of("opentelemetry".into(), handle)),
        (None, Some(span)) => now.with_remote_span_context(convert::to_their_span(&span)),
        (None, None) => now,
    };
    match context::baggage() {
        baggage if baggage.is_empty() => now,
        baggage => now.with_baggage(convert::to_their_baggage(&baggage)),
    }
}
