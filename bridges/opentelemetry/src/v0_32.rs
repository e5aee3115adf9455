//! The same for code that knows `opentelemetry` 0.32: two versions of that crate in one program are
//! strangers, with globals and types of their own.
//!
//! [`LayerTracer`] is for the layer of `tracing-opentelemetry` 0.33, which `reqwest-tracing` 0.7 and
//! `tracing-actix-web` 0.7 look for.
//!
//! # Limits
//!
//! This version tells nobody what contexts are attached. So a context of theirs that is attached is no
//! parent of `tracing`'s spans, and `Context::current()` has no span of ours; where a context is
//! empty, the span that the thread is in stands in for it.
//!
//! # Invariants
//!
//! - The code is the same as for the current version: the files are.

use opentelemetry_0_32 as api;

#[path = "convert.rs"]
mod convert;
#[path = "layer.rs"]
mod layer;
#[path = "propagator.rs"]
mod propagator;
#[path = "tracer.rs"]
mod tracer;

/// Contexts of this version are not followed.
mod follow {
    pub(crate) const fn is_on() -> bool {
        false
    }
}

pub use layer::{LayerSpan, LayerTracer};
pub use propagator::Propagator;
pub use tracer::{Span, Tracer, TracerProvider};

/// Makes this the process's tracer provider and propagator of that version, for good.
pub fn install() {
    api::global::set_tracer_provider(TracerProvider::new());
    api::global::set_text_map_propagator(Propagator::new());
}
