//! Deep and wide: nesting, fields, side buffers.

use crate::support::*;
use std::fmt;
use telemetry_core::ledger::Cause;
use telemetry_core::testing::MemoryExporter;

#[test]
fn ten_thousand_entered_spans_exit_in_order() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        let entered: Vec<_> = (0..10_000).map(|_| tracing::info_span!("level").entered()).collect();
        tracing::info!("deep");
        for span in entered.into_iter().rev() {
            drop(span);
        }
        tracing::info!("outside");
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost() + report.stale_spans, 0, "{report}");
    assert_eq!(memory.spans().len(), 10_000);
    let events = memory.events();
    assert!(events[0].span_id.is_some() && events[1].span_id.is_none());
}

/// Emits more than the side buffer holds while it is formatted.
struct Flood;

impl fmt::Debug for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for seq in 0..1_000 {
            emit(1, seq);
        }
        f.write_str("flood")
    }
}

#[test]
fn what_the_side_buffer_does_not_hold_is_counted_reentrant() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    pipeline.run(|| tracing::info!(value = ?Flood, "outer"));
    let report = shut_down(pipeline);
    let counts = logs(&report, "memory");
    assert_eq!(counts.emitted, 1_001, "{report}");
    assert_eq!(counts.dropped_for(Cause::Reentrant), counts.dropped_total(), "{report}");
    assert_eq!(counts.delivered, seen.count() + 1, "{report}");
    assert!(seen.count() > 100);
    seen.assert_ordered();
}

#[test]
fn thirty_two_fields_of_one_event_arrive_in_order() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(
            f00 = 0,
            f01 = 1,
            f02 = 2,
            f03 = 3,
            f04 = 4,
            f05 = 5,
            f06 = 6,
            f07 = 7,
            f08 = 8,
            f09 = 9,
            f10 = 10,
            f11 = 11,
            f12 = 12,
            f13 = 13,
            f14 = 14,
            f15 = 15,
            f16 = 16,
            f17 = 17,
            f18 = 18,
            f19 = 19,
            f20 = 20,
            f21 = 21,
            f22 = 22,
            f23 = 23,
            f24 = 24,
            f25 = 25,
            f26 = 26,
            f27 = 27,
            f28 = 28,
            f29 = 29,
            f30 = 30,
            f31 = 31
        );
    });
    shut_down(pipeline);
    let fields = &memory.events()[0].fields;
    let names: Vec<_> = fields.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, (0..32).map(|n| format!("f{n:02}")).collect::<Vec<_>>());
}
