//! Threads that come and go.

use crate::support::*;
use std::cell::RefCell;
use telemetry_core::testing::MemoryExporter;

#[test]
fn records_of_threads_that_are_gone_arrive() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    for round in 0..20 {
        std::thread::scope(|scope| {
            for thread in 0..10 {
                let pipeline = &pipeline;
                scope.spawn(move || pipeline.run(|| emit_many(round * 10 + thread, 100)));
            }
        });
    }
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    (0..200).for_each(|source| seen.assert_all(source, 100));
}

#[test]
fn span_moves_between_threads_and_outlives_them() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    let span = std::thread::scope(|scope| {
        let opened = scope.spawn(|| {
            pipeline.run(|| {
                let span = tracing::info_span!("moving", stops = tracing::field::Empty);
                span.in_scope(|| tracing::info!(stop = 1_u64, "here"));
                span
            })
        });
        opened.join().unwrap()
    });
    let span = std::thread::scope(|scope| {
        let moved = scope.spawn(|| {
            pipeline.run(|| {
                span.record("stops", 2_u64);
                span.in_scope(|| tracing::info!(stop = 2_u64, "there"));
            });
            span
        });
        moved.join().unwrap()
    });
    assert!(memory.spans().is_empty());
    std::thread::scope(|scope| {
        scope.spawn(|| pipeline.run(move || drop(span)));
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost() + report.stale_spans, 0, "{report}");
    let (events, spans) = (memory.events(), memory.spans());
    assert_eq!((events.len(), spans.len()), (2, 1));
    assert!(events.iter().all(|event| event.span_id == spans[0].span_id));
}

#[test]
fn many_threads_share_and_close_each_others_spans() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    let (sender, receiver) = std::sync::mpsc::sync_channel::<tracing::Span>(64);
    let receiver = std::sync::Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (sender, pipeline) = (sender.clone(), &pipeline);
            scope.spawn(move || {
                pipeline.run(|| {
                    for n in 0..5_000_u64 {
                        sender.send(tracing::info_span!("shared", n)).unwrap();
                    }
                });
            });
        }
        drop(sender);
        for _ in 0..2 {
            scope.spawn(|| {
                pipeline.run(|| {
                    while let Ok(span) = { receiver.lock().unwrap().recv() } {
                        span.in_scope(|| tracing::info!("inside"));
                    }
                });
            });
        }
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost() + report.stale_spans, 0, "{report}");
    let (events, spans) = (memory.events(), memory.spans());
    assert_eq!((events.len(), spans.len()), (10_000, 10_000));
    assert!(events.iter().all(|event| event.spans.len() == 1), "every event has its span");
}

/// Emits when its thread-local is destroyed.
struct LastWords(u64);

impl Drop for LastWords {
    fn drop(&mut self) {
        let span = tracing::info_span!("last");
        let _entered = span.enter();
        emit(self.0, 0);
    }
}

thread_local! {
    static LAST_WORDS: RefCell<Vec<LastWords>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn thread_local_destructors_may_emit() {
    // Outside of a scope nobody listens; it must only do no harm, in either order of destruction.
    for ours_first in [true, false] {
        std::thread::spawn(move || {
            if ours_first {
                emit(0, 0);
            }
            LAST_WORDS.with_borrow_mut(|words| words.push(LastWords(1)));
            if !ours_first {
                emit(0, 1);
            }
        })
        .join()
        .unwrap();
    }
}
