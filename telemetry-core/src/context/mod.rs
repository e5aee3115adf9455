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
//! - The parts here know nothing of threads and records; `attached`, whose public part is found
//!   here, makes them a thread's own.

pub mod ids;

mod baggage;
mod carrier;
mod frames;
mod propagate;
#[cfg(test)]
mod tests;
mod trace_parent;
mod trace_state;

pub use baggage::{BAGGAGE_BYTES_MAX, BAGGAGE_MEMBERS_MAX, Baggage};
pub use carrier::{Environment, Extract, Inject, variable_name};
pub use frames::set_baggage_fields;
pub(crate) use frames::{Frame, Frames};
pub use ids::{SpanId, TraceId};
pub use propagate::{
    Propagators, RemoteContext, SpanContext, extract, inject, propagators, set_propagators,
};
pub use trace_parent::{TraceFlags, TraceParent};
pub use trace_state::{TRACE_STATE_BYTES_MAX, TRACE_STATE_MEMBERS_MAX, TraceState};

pub use crate::attached::{
    Carried, Guard, InContext, Scoped, baggage, current, scope, spawn_thread, values, with_baggage,
};
