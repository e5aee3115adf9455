//! Flush and shutdown, from everywhere.

use crate::face;
use crate::support::*;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use telemetry_core::export::Outcome;
use telemetry_core::metric::Registry;
use telemetry_core::pipeline::{ScopedPipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;

#[test]
fn flush_without_records_or_exporters_is_complete_and_quick() {
    let pipeline = face::builder().scoped().unwrap();
    let began = now();
    for _ in 0..3 {
        let report = pipeline.flush(LONG).unwrap();
        assert!(report.is_complete(), "{report}");
    }
    assert!(pipeline.shutdown(LONG).is_complete());
    assert!(now() - began < Duration::from_secs(5));
}

#[test]
fn flush_that_meets_a_stalled_exporter_ends_at_its_deadline() {
    let door = Door::default();
    let closed = door.clone();
    let pipeline = scoped(Scripted::new("stalled", move |_, ack| {
        closed.wait();
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| emit_many(0, 10));
    let began = now();
    let report = pipeline.flush(Duration::from_millis(100)).unwrap();
    assert!(report.timed_out && !report.is_complete(), "{report}");
    assert!(now() - began < Duration::from_secs(3));
    door.open();
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    shut_down(pipeline);
}

#[test]
fn flushes_of_eight_threads_beside_eight_that_emit_are_each_complete() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    std::thread::scope(|scope| {
        for source in 0..8 {
            let pipeline = &pipeline;
            scope.spawn(move || pipeline.run(|| emit_many(source, 5_000)));
        }
        for source in 8..16 {
            let (pipeline, seen) = (&pipeline, seen.clone());
            scope.spawn(move || {
                pipeline.run(|| {
                    for seq in 0..20 {
                        emit(source, seq);
                        assert!(!pipeline.flush(LONG).unwrap().timed_out);
                        assert_eq!(seen.of(source).len() as u64, seq + 1, "flushed and not there");
                    }
                });
            });
        }
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    (0..8).for_each(|source| seen.assert_all(source, 5_000));
}

#[test]
fn flush_and_shutdown_of_an_exporters_own_thread_are_refused() {
    let place: Arc<OnceLock<ScopedPipeline>> = Arc::default();
    let errors: Arc<Mutex<Vec<String>>> = Arc::default();
    let (inside, noted) = (Arc::clone(&place), Arc::clone(&errors));
    let pipeline = scoped(Scripted::new("curious", move |_, ack| {
        let error = inside.get().unwrap().flush(LONG).unwrap_err();
        noted.lock().unwrap().push(error.to_string());
        ack.finish(Outcome::Delivered);
    }));
    place.set(pipeline).unwrap();
    let pipeline = place.get().unwrap();
    pipeline.run(|| emit(0, 0));
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    assert!(errors.lock().unwrap()[0].contains("would wait for itself"));
}

#[test]
fn events_of_an_exporters_own_thread_are_counted_and_not_recorded() {
    let place: Arc<OnceLock<ScopedPipeline>> = Arc::default();
    let inside = Arc::clone(&place);
    let seen = Seen::default();
    let noted = seen.clone();
    let exporter = Scripted::new("loud", move |batch, ack| {
        noted.note(&batch);
        inside.get().unwrap().run(|| emit(9, 0));
        ack.finish(Outcome::Delivered);
    });
    place.set(scoped(exporter)).unwrap();
    let pipeline = place.get().unwrap();
    pipeline.run(|| emit(0, 0));
    for _ in 0..3 {
        assert!(!pipeline.flush(LONG).unwrap().timed_out);
    }
    assert_eq!(seen.count(), 1, "no feedback");
}

/// Shuts its pipeline down when it is dropped.
struct Service(Option<ScopedPipeline>);

impl Drop for Service {
    fn drop(&mut self) {
        let pipeline = self.0.take().unwrap();
        pipeline.run(|| emit(0, 1));
        assert!(pipeline.flush(LONG).unwrap().is_complete());
        pipeline.run(|| emit(0, 2));
        assert_at_rest(&pipeline.shutdown(LONG));
    }
}

#[test]
fn flush_and_shutdown_work_inside_drop() {
    let seen = Seen::default();
    let service = Service(Some(scoped(Scripted::noting("memory", &seen))));
    service.0.as_ref().unwrap().run(|| emit(0, 0));
    drop(service);
    seen.assert_all(0, 3);
    // And while a panic unwinds.
    let seen = Seen::default();
    let service = Service(Some(scoped(Scripted::noting("memory", &seen))));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        service.0.as_ref().unwrap().run(|| emit(0, 0));
        let _service = service;
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    seen.assert_all(0, 3);
}

#[test]
fn dropped_pipeline_delivers_what_it_has() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    pipeline.run(|| emit_many(0, 1_000));
    drop(pipeline);
    seen.assert_all(0, 1_000);
}

struct Unparker(std::thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unparker(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

#[test]
fn flush_async_needs_no_runtime() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    pipeline.run(|| emit_many(0, 100));
    let report = block_on(pipeline.flush_async(LONG)).unwrap();
    assert!(report.is_complete(), "{report}");
    seen.assert_all(0, 100);
    shut_down(pipeline);
}

#[test]
fn flush_async_that_meets_a_stalled_exporter_ends_at_its_deadline() {
    let door = Door::default();
    let closed = door.clone();
    let pipeline = scoped(Scripted::new("stalled", move |_, ack| {
        closed.wait();
        ack.finish(Outcome::Delivered);
    }));
    pipeline.run(|| emit(0, 0));
    let began = now();
    let report = block_on(pipeline.flush_async(Duration::from_millis(100))).unwrap();
    assert!(report.timed_out, "{report}");
    assert!(now() - began < Duration::from_secs(5));
    door.open();
    shut_down(pipeline);
}

#[test]
fn flush_works_inside_tokio_and_after_it_is_gone() {
    let seen = Seen::default();
    let pipeline = scoped(Scripted::noting("memory", &seen));
    let current = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for (source, runtime) in [current, multi].into_iter().enumerate() {
        let source = source as u64;
        runtime.block_on(async {
            pipeline.run(|| emit(source, 0));
            assert!(pipeline.flush_async(LONG).await.unwrap().is_complete());
            assert_eq!(seen.of(source).len(), 1);
            pipeline.run(|| emit(source, 1));
            assert!(pipeline.flush(LONG).unwrap().is_complete(), "blocking, inside block_on");
            assert_eq!(seen.of(source).len(), 2);
        });
        drop(runtime);
        pipeline.run(|| emit(source, 2));
        assert!(pipeline.flush(LONG).unwrap().is_complete());
        seen.assert_all(source, 3);
    }
    shut_down(pipeline);
}

#[test]
fn metrics_reach_exporters_at_flush_and_at_shutdown() {
    let memory = MemoryExporter::new("memory");
    let registry = Registry::new();
    let pipeline = face::builder()
        .sink(SinkBuilder::new(memory.clone()))
        .registry(registry.clone())
        .scoped()
        .unwrap();
    let jobs = registry.counter("jobs", ());
    let value_of_last = |memory: &MemoryExporter| {
        let snapshots = memory.snapshots();
        let snapshot = snapshots.last().expect("a reading arrived");
        let jobs = snapshot.metrics.iter().find(|metric| &*metric.name == "jobs");
        format!("{:?}", jobs.expect("the metric is there").data)
    };
    jobs.add(3);
    assert!(pipeline.flush(LONG).unwrap().is_complete());
    assert!(value_of_last(&memory).contains("U64(3)"), "{}", value_of_last(&memory));
    jobs.add(4);
    shut_down(pipeline);
    assert!(value_of_last(&memory).contains("U64(7)"), "{}", value_of_last(&memory));
}
