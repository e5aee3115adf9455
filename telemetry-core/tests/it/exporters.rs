//! What exporters do to their batches, and what the ledger says of it.

use crate::face;
use crate::support::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::time::Instant;
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Context, Exporter, Outcome};
use telemetry_core::ledger::{Cause, Signal, Units};
use telemetry_core::pipeline::SinkBuilder;
use telemetry_core::testing::MemoryExporter;

#[test]
fn refused_batch_is_counted_under_its_cause() {
    // What the exporter means: delivered, rejected, failed.
    let meant: Arc<Mutex<[u64; 3]>> = Arc::default();
    let told = Arc::clone(&meant);
    let mut batches = 0;
    let pipeline = scoped(Scripted::new("picky", move |batch, ack| {
        batches += 1;
        let count = batch.units().get(Signal::Log);
        let partial = |lost, cause| Outcome::Partial { lost: Units::of(Signal::Log, lost), cause };
        let (outcome, counts) = match batches {
            1 => (Outcome::Rejected(Cause::Rejected), [0, count, 0]),
            2 => (partial(1, Cause::WriteFailed), [count - 1, 0, 1]),
            3 => (partial(count + 99, Cause::Rejected), [0, count, 0]),
            _ => (Outcome::Delivered, [count, 0, 0]),
        };
        for (total, count) in told.lock().unwrap().iter_mut().zip(counts) {
            *total += count;
        }
        ack.finish(outcome);
    }));
    for source in 0..4 {
        pipeline.run(|| emit_many(source, 10));
        let report = pipeline.flush(LONG).unwrap();
        assert!(report.is_balanced() && !report.timed_out, "{report}");
    }
    let report = shut_down(pipeline);
    let counts = logs(&report, "picky");
    let [delivered, rejected, failed] = *meant.lock().unwrap();
    assert_eq!((counts.emitted, counts.delivered), (40, delivered), "{report}");
    assert_eq!(counts.dropped_for(Cause::Rejected), rejected, "{report}");
    assert_eq!(counts.dropped_for(Cause::WriteFailed), failed, "{report}");
}

#[test]
fn panicking_exporter_rests_and_recovers() {
    let seen = Seen::default();
    let noted = seen.clone();
    let mut batches = 0;
    let pipeline = scoped(Scripted::new("shaky", move |batch, ack| {
        batches += 1;
        assert!(batches > 1, "the first batch is too much");
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| emit(0, 0));
    let report = pipeline.flush(LONG).unwrap();
    assert_eq!(logs(&report, "shaky").dropped_for(Cause::ExporterPanicked), 1, "{report}");
    pipeline.run(|| emit_many(1, 10));
    let report = pipeline.flush(LONG).unwrap();
    assert_eq!(logs(&report, "shaky").dropped_for(Cause::Quarantined), 10, "{report}");
    wait_until(|| {
        std::thread::sleep(Duration::from_millis(50));
        pipeline.run(|| emit(2, 0));
        pipeline.flush(LONG).unwrap();
        seen.count() > 0
    });
    shut_down(pipeline);
}

#[test]
fn dropped_ack_is_a_loss_and_late_ack_from_another_thread_is_not() {
    let held: Arc<Mutex<Vec<Ack>>> = Arc::default();
    let keep = Arc::clone(&held);
    let mut batches = 0;
    let got = Count::default();
    let count = got.clone();
    let pipeline = scoped(Scripted::new("late", move |_, ack| {
        batches += 1;
        match batches {
            1 => drop(ack),
            _ => keep.lock().unwrap().push(ack),
        }
        count.up();
    }));
    pipeline.run(|| emit(0, 0));
    let report = pipeline.flush(LONG).unwrap();
    assert_eq!(logs(&report, "late").dropped_for(Cause::AckDropped), 1, "{report}");
    pipeline.run(|| emit(1, 0));
    got.wait_for(2);
    let report = pipeline.report();
    assert_eq!(logs(&report, "late").pending, 1, "{report}");
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| pipeline.flush(LONG).unwrap());
        scope.spawn(|| held.lock().unwrap().pop().unwrap().finish(Outcome::Delivered));
        let report = flush.join().unwrap();
        assert_eq!(logs(&report, "late").delivered, 1, "{report}");
        assert!(!report.timed_out);
    });
    shut_down(pipeline);
}

#[test]
fn retried_batch_is_delivered_once_and_in_order() {
    let seen = Seen::default();
    let noted = seen.clone();
    let mut calls = 0;
    let pipeline = scoped(Scripted::new("busy", move |batch, ack| {
        calls += 1;
        if calls % 3 != 0 {
            return ack.finish(Outcome::RetryAfter(Duration::from_millis(5)));
        }
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| {
        for seq in 0..300 {
            emit(0, seq);
            if seq % 100 == 99 {
                assert!(!pipeline.flush(LONG).unwrap().timed_out);
            }
        }
    });
    let report = shut_down(pipeline);
    seen.assert_all(0, 300);
    assert_eq!(logs(&report, "busy").delivered, 300);
}

#[test]
fn ack_after_the_deadline_of_the_shutdown_is_not_counted_again() {
    let held: Arc<Mutex<Vec<Ack>>> = Arc::default();
    let keep = Arc::clone(&held);
    let got = Count::default();
    let count = got.clone();
    let pipeline = scoped(Scripted::new("later", move |_, ack| {
        keep.lock().unwrap().push(ack);
        count.up();
    }));
    pipeline.run(|| emit_many(0, 10));
    got.wait_for(1);
    let report = pipeline.shutdown(Duration::from_millis(50));
    assert!(report.timed_out && report.is_balanced(), "{report}");
    assert_eq!(logs(&report, "later").dropped_for(Cause::ShutdownTimeout), 10);
    for ack in held.lock().unwrap().drain(..) {
        ack.finish(Outcome::Delivered);
    }
}

#[test]
fn retries_end_with_the_shutdown() {
    let calls = Count::default();
    let count = calls.clone();
    let pipeline = scoped(Scripted::new("never", move |_, ack| {
        count.up();
        ack.finish(Outcome::RetryAfter(Duration::from_millis(20)));
    }));
    pipeline.run(|| emit_many(0, 10));
    calls.wait_for(1);
    let began = now();
    let report = pipeline.shutdown(Duration::from_millis(200));
    assert!(now() - began < Duration::from_secs(5));
    assert_at_rest(&report);
    assert_eq!(logs(&report, "never").dropped_total(), 10, "{report}");
    assert!(calls.get() < 100, "{} calls: the retries did not wait", calls.get());
}

/// Tells when it is dropped.
struct Flag(Count);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.up();
    }
}

#[test]
fn exporter_that_outlives_the_shutdown_ends_when_it_can() {
    let (door, gone, got) = (Door::default(), Count::default(), Count::default());
    let (closed, flag, count) = (door.clone(), Flag(gone.clone()), got.clone());
    let pipeline = scoped(Scripted::new("stuck", move |_, ack| {
        let _ = &flag;
        count.up();
        closed.wait();
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| emit_many(0, 10));
    got.wait_for(1);
    let report = pipeline.shutdown(Duration::from_millis(50));
    assert!(report.timed_out && report.is_balanced(), "{report}");
    assert_eq!(gone.get(), 0);
    door.open();
    gone.wait_for(1);
}

#[test]
fn healthy_exporters_beside_a_stalled_one_get_everything() {
    let (door, seen_a, seen_b) = (Door::default(), Seen::default(), Seen::default());
    let closed = door.clone();
    let stalled = Scripted::new("stalled", move |_, ack| {
        closed.wait();
        ack.finish(Outcome::Delivered);
    });
    let pipeline = face::builder()
        .sink(SinkBuilder::new(stalled).queue_bytes(64 * 1024))
        .sink(SinkBuilder::new(Scripted::noting("a", &seen_a)))
        .sink(SinkBuilder::new(Scripted::noting("b", &seen_b)))
        .scoped()
        .unwrap();
    std::thread::scope(|scope| {
        for source in 0..2 {
            let pipeline = &pipeline;
            scope.spawn(move || pipeline.run(|| emit_many(source, 50_000)));
        }
    });
    wait_until(|| logs(&pipeline.report(), "a").delivered == 100_000);
    wait_until(|| logs(&pipeline.report(), "b").delivered == 100_000);
    door.open();
    let report = shut_down(pipeline);
    for seen in [&seen_a, &seen_b] {
        seen.assert_all(0, 50_000);
        seen.assert_all(1, 50_000);
    }
    assert_eq!(logs(&report, "a").dropped_total(), 0, "{report}");
    let stalled = logs(&report, "stalled");
    assert!(stalled.dropped_for(Cause::QueueFull) > 0, "{report}");
    assert_eq!(stalled.emitted, 100_000, "{report}");
}

#[test]
fn thirty_two_exporters_each_get_everything_and_a_thirty_third_is_refused() {
    let memories: Vec<_> = (0..33).map(|n| MemoryExporter::new(format!("m{n}"))).collect();
    let with = |count: usize| {
        memories[..count]
            .iter()
            .fold(face::builder(), |builder, memory| builder.sink(SinkBuilder::new(memory.clone())))
    };
    let error = with(33).scoped().unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("at most 32"), "{error}");
    let pipeline = with(32).scoped().unwrap();
    pipeline.run(|| {
        let span = tracing::info_span!("one");
        span.in_scope(|| emit_many(0, 20));
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    for memory in &memories[..32] {
        assert_eq!((memory.events().len(), memory.spans().len()), (20, 1));
    }
}

#[test]
fn two_exporters_of_one_name_are_refused() {
    let sink = || SinkBuilder::new(MemoryExporter::new("same"));
    let error = face::builder().sink(sink()).sink(sink()).scoped().unwrap_err();
    assert!(
        error.is_setting() && error.to_string().contains("`same`")
            || error.to_string().contains("same"),
        "{error}"
    );
}

/// Panics wherever it is called.
struct Hopeless;

impl Exporter for Hopeless {
    fn name(&self) -> &str {
        "hopeless"
    }

    fn start(&mut self, _: &Context) {
        panic!("in start, on purpose");
    }

    fn export(&mut self, _: Batch, _: Ack) {
        panic!("in export, on purpose");
    }

    fn flush(&mut self, _: Instant) {
        panic!("in flush, on purpose");
    }

    fn shutdown(&mut self, _: Instant) {
        panic!("in shutdown, on purpose");
    }
}

impl Drop for Hopeless {
    fn drop(&mut self) {
        panic!("in drop, on purpose");
    }
}

#[test]
fn exporter_that_panics_everywhere_harms_nobody() {
    let seen = Seen::default();
    let pipeline = face::builder()
        .sink(SinkBuilder::new(Hopeless))
        .sink(SinkBuilder::new(Scripted::noting("healthy", &seen)))
        .scoped()
        .unwrap();
    for source in 0..3 {
        pipeline.run(|| emit_many(source, 100));
        assert!(!pipeline.flush(LONG).unwrap().timed_out);
    }
    let report = shut_down(pipeline);
    (0..3).for_each(|source| seen.assert_all(source, 100));
    let counts = logs(&report, "hopeless");
    assert_eq!((counts.emitted, counts.dropped_total()), (300, 300), "{report}");
}

#[test]
fn ack_that_a_panicking_thread_held_is_counted() {
    let pipeline = scoped(Scripted::new("threaded", |_, ack| {
        let helper = std::thread::spawn(move || {
            let _ack = ack;
            panic!("with the ack in hand, on purpose");
        });
        assert!(helper.join().is_err());
    }));
    pipeline.run(|| emit_many(0, 10));
    let report = shut_down(pipeline);
    assert_eq!(logs(&report, "threaded").dropped_for(Cause::ExporterPanicked), 10, "{report}");
}
