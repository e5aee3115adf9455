//! What a full queue does to the others.

use crate::face;
use crate::support::LONG;
use std::time::Duration;
use telemetry_core::Waits;
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Exporter, Outcome};
use telemetry_core::ledger::{Cause, Signal};
use telemetry_core::pipeline::SinkBuilder;
use telemetry_core::testing::MemoryExporter;

struct NeverReady;

impl Exporter for NeverReady {
    fn name(&self) -> &str {
        "never-ready"
    }

    fn export(&mut self, _: Batch, ack: Ack) {
        ack.finish(Outcome::RetryAfter(Duration::from_millis(10)));
    }
}

#[test]
fn exporter_that_only_retries_takes_nothing_from_the_others() {
    const EVENTS: u64 = 20_000;
    let memory = MemoryExporter::new("memory");
    let pipeline = face::builder()
        .buffer_bytes(256 * 1024)
        // What the machine takes from the worker is not the exporter's doing.
        .waits(Waits { blocking: LONG, in_async: LONG })
        .sink(SinkBuilder::new(NeverReady).queue_bytes(64 * 1024))
        .sink(SinkBuilder::new(memory.clone()))
        .scoped()
        .unwrap();
    pipeline.run(|| {
        for n in 0..EVENTS {
            tracing::info!(n, "an event that has to arrive at the exporter that takes it");
        }
    });
    let report = pipeline.shutdown(Duration::from_secs(2));
    assert!(report.is_balanced(), "{report}");
    let kept = report.exporter("memory").unwrap().counts(Signal::Log);
    assert_eq!(kept.delivered, EVENTS, "{report}");
    let lost = report.exporter("never-ready").unwrap().counts(Signal::Log);
    assert!(lost.dropped_for(Cause::QueueFull) > 0, "{report}");
    assert_eq!(lost.delivered, 0, "{report}");
}
