//! Claims about the pipeline as its users see it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod backpressure;
mod context;
mod exporters;
mod flush;
mod formatting;
mod limits;
mod queue;
mod spans;
mod support;
mod threads;
