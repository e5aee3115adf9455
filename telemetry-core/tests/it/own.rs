//! What only the own face promises: forged ids are harmless, and a span that is deep inside others
//! closes on any stack. A `Registry` panics on the former, and closes the latter by recursion.

use crate::spans::captured;
use crate::support::*;
use std::time::Duration;
use telemetry_core::export::Outcome;
use telemetry_core::pipeline::ScopedPipeline;

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
fn stale_and_forged_ids_are_ignored_and_counted() {
    let (memory, report) = captured(|| {
        let stale = {
            let span = tracing::info_span!("gone");
            span.id().unwrap()
        };
        let forged = tracing::Id::from_u64(0x0123_4567_89AB_CDEF);
        tracing::dispatcher::get_default(|dispatch| {
            for id in [&stale, &forged] {
                dispatch.enter(id);
                tracing::info!("entered nothing");
                dispatch.exit(id);
                let _ = dispatch.clone_span(id);
                assert!(!dispatch.try_close(id.clone()));
            }
        });
        let child = tracing::info_span!(parent: forged, "child of nothing");
        child.follows_from(tracing::Id::from_u64(0xBAD));
        drop(child);
        tracing::info!(parent: stale, "event in nothing");
    });
    assert_eq!((memory.spans().len(), memory.events().len()), (2, 3));
    assert!(memory.events().iter().all(|event| event.span_id.is_none()));
    let expected = "entered, cloned and closed twice, a parent twice, a link";
    assert_eq!(report.stale_spans, 9, "{expected}");
}
