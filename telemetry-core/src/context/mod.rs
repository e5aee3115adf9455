//! Identity that travels: trace and span ids.

pub mod ids;

pub use ids::{SpanId, TraceId};
