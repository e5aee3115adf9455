//! Claims about the pipeline as its users see it.

mod backpressure;
mod exporters;
mod flush;
mod formatting;
mod limits;
mod spans;
mod support;
mod threads;
