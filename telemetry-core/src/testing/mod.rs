//! For tests: of what a program emits, and of exporters.
//!
//! [`capture`] with [`assert_event!`](crate::assert_event!),
//! [`assert_span_tree!`](crate::assert_span_tree!) and [`assert_metric!`](crate::assert_metric!)
//! is for whoever emits; [`BatchFixture`], [`export`], [`Lines`] and [`MemoryExporter`] are for
//! exporters.
//!
//! ```
//! use telemetry_core::{assert_event, assert_span_tree, testing};
//!
//! let captured = testing::capture();
//! tracing::info_span!("request").in_scope(|| {
//!     tracing::info_span!("query").in_scope(|| tracing::warn!(rows = 0, "nothing found"));
//! });
//! assert_event!(captured, level: Warn, span: "request", rows = 0);
//! assert_span_tree!(captured, "request > query");
//! ```

mod capture;
mod fixture;
mod json;
mod lines;
mod matcher;
mod measured;
mod memory;
mod pattern;
mod printing;
mod setup;
mod show;
mod tree;

pub use capture::{CAPTURE_BYTES_MAX, Capture, capture};
pub use fixture::{BatchFixture, SpanHandle};
pub use lines::{ErrorFixture, Lines, export, export_metrics};
pub use matcher::{Matcher, any, contains, matching};
pub use memory::{CapturedRecord, CapturedSpan, MemoryExporter, OwnedValue};
pub use pattern::EventPattern;
pub use printing::print_with;
pub use setup::init_for_tests;
pub use tree::{SpanNode, SpanTree};
