//! The text that batches become.

use telemetry_console::ConsoleExporterBuilder;
use telemetry_core::batch::Batch;
use telemetry_core::export::Outcome;
use telemetry_core::testing::{self, Lines};

/// 2026-11-22T09:00:00.123456789Z.
pub(crate) const NOW: u64 = 1_795_338_000_123_456_789;

/// The text that a batch becomes.
pub(crate) fn text_of(builder: ConsoleExporterBuilder, batch: Batch) -> String {
    let lines = Lines::default();
    let mut exporter = builder.writer(Box::new(lines.clone())).build().unwrap();
    assert_eq!(testing::export(&mut exporter, batch), Outcome::Delivered);
    lines.text()
}
