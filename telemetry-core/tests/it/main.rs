//! Claims about the pipeline as its users see it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod backpressure;
mod conformance;
mod context;
mod exporters;
mod filters;
mod flush;
mod formatting;
mod limits;
mod queue;
mod redaction;
mod scenario;
mod spans;
mod support;
mod threads;
