//! For tests: batches made by hand, and an exporter that keeps what it gets.

mod fixture;
mod memory;

pub use fixture::{BatchFixture, SpanHandle};
pub use memory::{CapturedRecord, CapturedSpan, MemoryExporter, OwnedValue};
