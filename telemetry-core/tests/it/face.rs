//! The recorder's own face: it is the process's `tracing` subscriber.

use telemetry_core::pipeline::{Builder, Pipeline};

/// Does whoever calls `tracing` hold a span's parent open, beside our recorder?
pub(crate) const HOLDS_PARENTS_ITSELF: bool = false;

/// What a pipeline is made of, in a process with this face.
pub(crate) fn builder() -> Builder {
    Pipeline::builder()
}
