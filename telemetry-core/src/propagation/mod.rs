//! What goes from process to process, and what a thread carries of it: values without a thread.
//!
//! # Invariants
//!
//! - Nothing here knows of threads, spans or records: `context` makes these values a thread's own,
//!   and is where users find them.

pub(crate) mod ids;

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
pub(crate) use frames::has_metric_labels;
pub(crate) use frames::{Frame, Frames};
pub use frames::{set_baggage_fields, set_metric_labels};
pub use ids::{SpanId, TraceId};
pub use propagate::{
    Propagators, RemoteContext, SpanContext, extract, propagators, set_propagators,
};
pub use trace_parent::{TraceFlags, TraceParent};
pub use trace_state::{TRACE_STATE_BYTES_MAX, TRACE_STATE_MEMBERS_MAX, TraceState};
