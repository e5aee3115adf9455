//! Write-through: what a call has returned from is out.

use crate::face;
use crate::support::*;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use telemetry_core::export::{Exporter, Outcome};
use telemetry_core::ledger::Cause;
use telemetry_core::pipeline::{ScopedPipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;
use telemetry_core::{Waits, set_async_probe};

/// A pipeline whose only exporter writes through.
fn through(exporter: impl Exporter) -> ScopedPipeline {
    face::builder().sink(SinkBuilder::new(exporter).write_through(true)).scoped().unwrap()
}

#[test]
fn event_is_out_when_its_call_returns() {
    let seen = Seen::default();
    let pipeline = through(Scripted::noting("file", &seen));
    pipeline.run(|| {
        for seq in 0..300 {
            emit(0, seq);
            assert_eq!(seen.count(), seq + 1);
        }
    });
    let report = shut_down(pipeline);
    seen.assert_all(0, 300);
    assert!(!report.blocked.is_zero(), "{report}");
}

#[test]
fn threads_that_wait_share_batches_and_each_has_its_own_out() {
    let (seen, batches) = (Seen::default(), Count::default());
    let (noted, count) = (seen.clone(), batches.clone());
    let pipeline = through(Scripted::new("file", move |batch, ack| {
        count.up();
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    }));
    std::thread::scope(|scope| {
        for source in 0..8 {
            let (pipeline, seen) = (&pipeline, &seen);
            scope.spawn(move || {
                pipeline.run(|| {
                    for seq in 0..100 {
                        emit(source, seq);
                        assert_eq!(seen.of(source).len() as u64, seq + 1, "source {source}");
                    }
                });
            });
        }
    });
    shut_down(pipeline);
    assert_eq!(seen.count(), 800);
    assert!(batches.get() <= 800, "no more batches than events: {}", batches.get());
}

#[test]
fn exporter_that_hangs_costs_one_wait_and_is_waited_for_again_when_it_has_caught_up() {
    let (door, seen) = (Door::default(), Seen::default());
    let (closed, noted) = (door.clone(), seen.clone());
    let pipeline = through(Scripted::new("file", move |batch, ack| {
        closed.wait();
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| emit(0, 0));
    let waited = pipeline.report().blocked;
    assert!(waited >= Waits::default().blocking, "{waited:?}");
    pipeline.run(|| (1..100).for_each(|seq| emit(0, seq)));
    assert_eq!(pipeline.report().blocked, waited, "nobody waits a second time");
    door.open();
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    pipeline.run(|| emit(0, 100));
    assert_eq!(seen.count(), 101);
    shut_down(pipeline);
}

#[test]
fn hanging_exporter_is_not_waited_for_longer_because_others_emit_meanwhile() {
    let (door, ended) = (Door::default(), AtomicBool::new(false));
    let closed = door.clone();
    let hanging = Scripted::new("file", move |_, ack| {
        closed.wait();
        ack.finish(Outcome::Delivered);
    });
    let waits = Waits { in_async: Duration::ZERO, ..Waits::default() };
    let sink = SinkBuilder::new(hanging).write_through(true);
    let pipeline = face::builder().sink(sink).waits(waits).scoped().unwrap();
    // A worker of an async runtime, by its name, waits for nothing.
    set_async_probe(|| std::thread::current().name() == Some("async"));
    let emit_until_the_end = || {
        for seq in (0..).take_while(|_| !ended.load(Ordering::Relaxed)) {
            pipeline.run(|| emit(1, seq));
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("async".into())
            .spawn_scoped(scope, emit_until_the_end)
            .unwrap();
        pipeline.run(|| emit(0, 0));
        ended.store(true, Ordering::Relaxed);
    });
    let waited = pipeline.report().blocked;
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    assert!(waited >= Waits::default().blocking, "{waited:?}");
    door.open();
    shut_down(pipeline);
}

#[test]
fn exporter_that_does_not_write_through_holds_nobody_up() {
    let (door, seen) = (Door::default(), Seen::default());
    let closed = door.clone();
    let slow = Scripted::new("slow", move |_, ack| {
        closed.wait();
        ack.finish(Outcome::Delivered);
    });
    let pipeline = face::builder()
        .sink(SinkBuilder::new(slow))
        .sink(SinkBuilder::new(Scripted::noting("file", &seen)).write_through(true))
        .scoped()
        .unwrap();
    pipeline.run(|| {
        for seq in 0..100 {
            emit(0, seq);
            assert_eq!(seen.count(), seq + 1);
        }
    });
    door.open();
    shut_down(pipeline);
}

#[test]
fn what_the_exporter_loses_is_counted_when_the_call_returns() {
    let pipeline = through(Scripted::new("file", |_, ack| {
        ack.finish(Outcome::Rejected(Cause::WriteFailed));
    }));
    for lost in 1..=20 {
        pipeline.run(|| emit(0, lost));
        assert_eq!(logs(&pipeline.report(), "file").dropped_for(Cause::WriteFailed), lost);
    }
    shut_down(pipeline);
}

#[test]
fn span_is_out_when_it_has_closed() {
    let memory = MemoryExporter::new("file");
    let pipeline = through(memory.clone());
    pipeline.run(|| {
        for n in 1..=50_usize {
            tracing::info_span!("step", n).in_scope(|| tracing::info!("inside"));
            assert_eq!((memory.events().len(), memory.spans().len()), (n, n));
        }
    });
    shut_down(pipeline);
}

/// Logs when it is formatted.
struct Talkative;

impl fmt::Debug for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!("of its debug");
        f.write_str("talkative")
    }
}

#[test]
fn debug_that_logs_waits_for_nothing_and_is_out_with_its_event() {
    let memory = MemoryExporter::new("file");
    let pipeline = through(memory.clone());
    pipeline.run(|| {
        for n in 1..=20 {
            tracing::info!(value = ?Talkative, "outer");
            assert_eq!(memory.events().len(), 2 * n);
        }
    });
    let report = shut_down(pipeline);
    assert!(report.blocked < Duration::from_secs(2), "{report}");
}

#[test]
fn exporter_that_logs_does_not_wait_for_itself() {
    let seen = Seen::default();
    let noted = seen.clone();
    let pipeline = through(Scripted::new("file", move |batch, ack| {
        tracing::info!("of the exporter");
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| emit(0, 0));
    assert_eq!(seen.count(), 1);
    shut_down(pipeline);
}

#[test]
fn waiting_and_never_waiting_cannot_both_be_had() {
    let waits = Waits { blocking: Duration::ZERO, in_async: Duration::ZERO };
    let sink = || SinkBuilder::new(MemoryExporter::new("file")).write_through(true);
    let error = face::builder().sink(sink()).waits(waits).scoped().unwrap_err();
    let text = "`waits.blocking` is `0ns`, but must be more than 0 where an exporter writes \
                through: `file`";
    assert_eq!(error.to_string(), text);
    let only_async = Waits { in_async: Duration::ZERO, ..Waits::default() };
    shut_down(face::builder().sink(sink()).waits(only_async).scoped().unwrap());
}
