//! Claims about the pipeline as its users see it, over the recorder's own face.
//!
//! The same claims are made over the other one: `tests/layer`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod backpressure;
mod conformance;
mod context;
mod exporters;
mod face;
mod filters;
mod flush;
mod formatting;
mod inspect;
mod limits;
mod own;
mod parents;
mod queue;
mod redaction;
mod scenario;
mod spans;
mod support;
mod threads;
mod write_through;
