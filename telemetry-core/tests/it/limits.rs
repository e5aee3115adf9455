//! Deep and wide: nesting, fields, side buffers.

use crate::support::*;
use std::fmt;
use std::time::Duration;
use telemetry_core::export::Outcome;
use telemetry_core::ledger::Cause;
use telemetry_core::pipeline::ScopedPipeline;
use telemetry_core::testing::MemoryExporter;

/// How long the calling thread has computed: what other threads do is not in it.
fn computed() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Opens `depth` spans inside each other, emits, and closes them from the inside out by dropping
/// the innermost: each holds the one around it open. Returns how long the thread computed.
fn nest(pipeline: &ScopedPipeline, depth: usize) -> Duration {
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    std::thread::scope(|scope| {
        let nested = thread.spawn_scoped(scope, || {
            pipeline.run(|| {
                let began = computed();
                let mut innermost = tracing::info_span!("level");
                for _ in 1..depth {
                    innermost = tracing::info_span!(parent: &innermost, "level");
                }
                innermost.in_scope(|| tracing::info!("at the bottom"));
                drop(innermost);
                computed() - began
            })
        });
        nested.unwrap().join().unwrap()
    })
}

#[test]
fn ten_thousand_nested_spans_close_on_a_small_stack_at_linear_cost() {
    // An exporter that does nothing, so that the time is the call site's.
    let pipeline = scoped(Scripted::new("nothing", |_, ack| ack.finish(Outcome::Delivered)));
    nest(&pipeline, 1_000);
    let best = |depth| (0..5).map(|_| nest(&pipeline, depth)).min().unwrap();
    let (short, long) = (best(1_000), best(10_000));
    let report = shut_down(pipeline);
    let spans = span_counts(&report, "nothing");
    assert_eq!((spans.delivered, spans.dropped_total()), (56_000, 0), "{report}");
    assert!(long < 40 * short, "1,000 took {short:?}, 10,000 took {long:?}");
}

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
