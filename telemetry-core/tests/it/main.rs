//! Claims about the pipeline as its users see it.

mod queue;
mod spans;
