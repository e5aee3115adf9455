//! Claims about the pipeline as its users see it, over the recorder as a layer on a `Registry`.
//!
//! They are those of `tests/it`, but for what only its `own` claims: forged ids, and nests that are
//! too deep for a recursion.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod beside;
mod face;

#[path = "../captures/places.rs"]
mod captured_places;
#[path = "../captures/spans.rs"]
mod captured_spans;

#[path = "../it/backpressure.rs"]
mod backpressure;
#[path = "../it/conformance.rs"]
mod conformance;
#[path = "../it/context.rs"]
mod context;
#[path = "../it/exporters.rs"]
mod exporters;
#[path = "../it/filters.rs"]
mod filters;
#[path = "../it/flush.rs"]
mod flush;
#[path = "../it/formatting.rs"]
mod formatting;
#[path = "../it/inspect.rs"]
mod inspect;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/parents.rs"]
mod parents;
#[path = "../it/queue.rs"]
mod queue;
#[path = "../it/redaction.rs"]
mod redaction;
#[path = "../it/scenario.rs"]
mod scenario;
#[path = "../it/spans.rs"]
mod spans;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/threads.rs"]
mod threads;
#[path = "../it/write_through.rs"]
mod write_through;

use telemetry_core::testing::{self, Capture};

/// A capture, in a process with this face of the recorder.
fn capture() -> Capture {
    drop(face::builder());
    testing::capture()
}
