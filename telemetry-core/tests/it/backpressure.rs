//! What happens at each limit: the budget of the buffers, the queue of an exporter.

use crate::face;
use crate::support::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry_core::Waits;
use telemetry_core::export::{Outcome, Signals};
use telemetry_core::ledger::{Cause, Signal};
use telemetry_core::metric::{Data, Registry};
use telemetry_core::output::LineWriter;
use telemetry_core::pipeline::{OnFull, ScopedPipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;

const NO_WAITS: Waits = Waits { blocking: Duration::ZERO, in_async: Duration::ZERO };

/// A pipeline whose exporter waits at a door with its first batch.
fn behind_a_door(on_full: OnFull, waits: Waits) -> (ScopedPipeline, Door, Seen, Count) {
    let (door, seen, got) = (Door::default(), Seen::default(), Count::default());
    let (closed, noted, count) = (door.clone(), seen.clone(), got.clone());
    let exporter = Scripted::new("slow", move |batch, ack| {
        count.up();
        closed.wait();
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    });
    let pipeline = face::builder()
        .sink(SinkBuilder::new(exporter).on_full(on_full).queue_bytes(64 * 1024))
        .buffer_bytes(256 * 1024)
        .waits(waits)
        .scoped()
        .unwrap();
    (pipeline, door, seen, got)
}

/// The ledger and the exporter's own account say the same.
fn assert_accounts_agree(report: &telemetry_core::ledger::Report, seen: &Seen, emitted: u64) {
    let counts = logs(report, "slow");
    assert_eq!(counts.emitted, emitted, "{report}");
    assert_eq!(counts.delivered, seen.count(), "{report}");
    seen.assert_ordered();
}

#[test]
fn queue_that_drops_loses_at_once_and_counts_it() {
    let (pipeline, door, seen, got) = behind_a_door(OnFull::Drop, Waits::default());
    pipeline.run(|| {
        emit(0, 0);
        got.wait_for(1);
        for seq in 1..50_000 {
            emit(0, seq);
        }
    });
    wait_until(|| logs(&pipeline.report(), "slow").dropped_for(Cause::QueueFull) > 0);
    door.open();
    let report = shut_down(pipeline);
    assert_accounts_agree(&report, &seen, 50_000);
    assert_eq!(logs(&report, "slow").dropped_for(Cause::BufferFull), 0, "{report}");
    assert!(report.blocked < Duration::from_secs(5), "{report}");
}

#[test]
fn stalled_queue_that_waits_loses_its_own_after_its_patience_and_recovers() {
    let (pipeline, door, seen, got) = behind_a_door(OnFull::Wait, Waits::default());
    pipeline.run(|| {
        emit(0, 0);
        got.wait_for(1);
        for seq in 1..50_000 {
            emit(0, seq);
        }
    });
    wait_until(|| logs(&pipeline.report(), "slow").dropped_for(Cause::QueueFull) > 0);
    door.open();
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    let lost = pipeline.report().lost();
    pipeline.run(|| emit_many(1, 20_000));
    let report = shut_down(pipeline);
    assert_accounts_agree(&report, &seen, 70_000);
    seen.assert_all(1, 20_000);
    assert_eq!(report.lost(), lost, "nothing is lost after the recovery");
}

#[test]
fn slow_exporter_that_makes_progress_loses_nothing() {
    let seen = Seen::default();
    let noted = seen.clone();
    let exporter = Scripted::new("slow", move |batch, ack| {
        std::thread::sleep(Duration::from_millis(3));
        noted.note(&batch);
        ack.finish(Outcome::Delivered);
    });
    let pipeline = face::builder()
        .sink(SinkBuilder::new(exporter).queue_bytes(64 * 1024))
        .buffer_bytes(256 * 1024)
        .scoped()
        .unwrap();
    std::thread::scope(|scope| {
        for source in 0..4 {
            let pipeline = &pipeline;
            scope.spawn(move || pipeline.run(|| emit_many(source, 25_000)));
        }
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    (0..4).for_each(|source| seen.assert_all(source, 25_000));
}

#[test]
fn call_sites_that_never_wait_drop_at_the_budget_and_come_back() {
    // On a machine that is busy elsewhere, the worker may give up the exporter first.
    assert!((0..10).any(|_| buffers_were_full_behind_a_door()));
}

/// Emits more than there is room for while the exporter makes no progress, for less than its
/// patience: the worker waits meanwhile, and the buffers fill up.
fn buffers_were_full_behind_a_door() -> bool {
    let (pipeline, door, seen, got) = behind_a_door(OnFull::Wait, NO_WAITS);
    pipeline.run(|| {
        emit(0, 0);
        got.wait_for(1);
        let began = now();
        for seq in 1..100_000 {
            emit(0, seq);
        }
        assert!(now() - began < Duration::from_secs(20));
    });
    door.open();
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    pipeline.run(|| emit_many(1, 500));
    let report = shut_down(pipeline);
    assert_eq!(report.blocked, Duration::ZERO, "{report}");
    assert_accounts_agree(&report, &seen, 100_500);
    seen.assert_all(1, 500);
    logs(&report, "slow").dropped_for(Cause::BufferFull) > 0
}

#[test]
fn spans_at_the_budget_are_counted_once_each_and_leave_nothing_behind() {
    let (door, got) = (Door::default(), Count::default());
    let (closed, count) = (door.clone(), got.clone());
    let exporter = Scripted::new("slow", move |_, ack| {
        count.up();
        closed.wait();
        ack.finish(Outcome::Delivered);
    });
    let readings = MemoryExporter::new("readings").signals_only(Signals::METRICS);
    let pipeline = face::builder()
        .sink(SinkBuilder::new(exporter).queue_bytes(64 * 1024))
        .sink(SinkBuilder::new(readings.clone()))
        .registry(Registry::new())
        .buffer_bytes(256 * 1024)
        .waits(NO_WAITS)
        .scoped()
        .unwrap();
    pipeline.run(|| {
        emit(0, 0);
        got.wait_for(1);
        // Long-lived spans, so that starts and closes are lost independently of each other.
        let mut open = std::collections::VecDeque::new();
        for n in 0..60_000_u64 {
            open.push_back(tracing::info_span!("work", n));
            if open.len() > 1000 {
                open.pop_front();
            }
        }
    });
    door.open();
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    let report = pipeline.flush(LONG).unwrap();
    assert_at_rest(&report);
    let counts = span_counts(&report, "slow");
    assert_eq!(counts.emitted, 60_000, "{report}");
    assert!(counts.dropped_for(Cause::BufferFull) > 0, "the buffers did fill up: {report}");
    let live = || {
        pipeline.flush(LONG).unwrap();
        let snapshots = readings.snapshots();
        let metrics = &snapshots.last().expect("a flush reads the metrics").metrics;
        let live = metrics.iter().find(|metric| &*metric.name == "otel.sdk.span.live").unwrap();
        match &live.data {
            Data::UpDownCounter { points } => points[0].value.as_f64(),
            other => panic!("{other:?}"),
        }
    };
    wait_until(|| live() == 0.0);
    shut_down(pipeline);
}

#[test]
fn burst_beside_busy_cores_loses_nothing() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        pipeline.run(|| emit_many(0, 200_000));
        assert!(!pipeline.flush(LONG).unwrap().timed_out);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    seen.assert_all(0, 200_000);
}

/// Takes 32 KiB every 30 ms: a slow disk.
struct SlowDisk(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for SlowDisk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(30));
        let taken = bytes.len().min(32 * 1024);
        self.0.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn slow_disk_that_takes_a_batch_bit_by_bit_loses_nothing() {
    let written: Arc<Mutex<Vec<u8>>> = Arc::default();
    let mut output = LineWriter::writer(Box::new(SlowDisk(Arc::clone(&written))));
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let slow = Scripted::new("slow", move |batch, ack| {
        output.begin();
        for _ in batch.records() {
            output.line().extend_from_slice(&line);
            output.end_line(Signal::Log);
        }
        ack.finish(output.finish());
    });
    // A batch (an eighth of the queue) takes longer than the patience with an exporter.
    let sink = SinkBuilder::new(slow).queue_bytes(1536 * 1024);
    let pipeline = face::builder().sink(sink).buffer_bytes(256 * 1024).scoped().unwrap();
    pipeline.run(|| emit_many(0, 25_000));
    let report = shut_down(pipeline);
    assert_eq!(logs(&report, "slow").delivered, 25_000, "{report}");
    assert_eq!(written.lock().unwrap().len(), 2_500_000);
}
