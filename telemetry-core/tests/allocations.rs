//! A thread that has logged before allocates nothing for an event.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use telemetry_core::bridge::metrics::Recorder;
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;
use telemetry_core::{counter, gauge, histogram, metric};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what the calling thread allocates.
struct Counting;

// SAFETY: all work is done by `System`; the count is a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

fn event(n: u64) {
    tracing::info!(n, path = "/orders", seconds = 0.25, id = %n, "message of {n}");
}

fn exponential() -> metric::Histogram {
    metric::global().set_buckets("sizes", metric::Buckets::exponential()).unwrap();
    metric::global().histogram("sizes", ())
}

/// Call sites with and without labels that are literals.
fn measure(route: &str) {
    counter!("requests", "method" => "GET").add(1);
    counter!("requests", "route" => route, "status" => 200, "method" => "GET").add(1);
    gauge!("fill", "route" => route).set(0.5);
    histogram!("took", "route" => route).record(0.5);
}

/// Few enough records for the chunk that the thread is in: a new chunk is an allocation.
const EVENTS: u64 = 50;

/// One test: a second one on another thread would share the pipeline's chunks.
#[test]
fn warm_thread_allocates_nothing_for_events_spans_and_measurements() {
    Recorder::new(metric::global().clone()).install().unwrap();
    let memory = MemoryExporter::new("memory");
    let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).attach().unwrap();
    let warm = |_| {
        let span = tracing::info_span!("around", n = 1_u64);
        span.in_scope(|| event(0));
    };
    (0..100).for_each(warm);
    let _ = pipeline.flush(std::time::Duration::from_secs(10)).unwrap();
    let span = tracing::info_span!("around", n = 2_u64);
    let of_events = span.in_scope(|| allocations(|| (0..EVENTS).for_each(event)));
    let mut of_spans = u64::MAX;
    // A chunk may fill up within one round; not within all.
    for _ in 0..3 {
        of_spans = of_spans.min(allocations(|| (0..20).for_each(warm)));
    }
    let mut of_unwanted = allocations(|| (0..EVENTS).for_each(|n| tracing::trace!(n, "unwanted")));
    of_unwanted += allocations(|| (0..EVENTS).for_each(|n| tracing::trace!(n, "unwanted")));
    let sizes = exponential();
    sizes.record(1.0);
    sizes.record(-1.0);
    // Further and further apart, so that buckets are merged again and again.
    let wide =
        |n: u64| (1.0 + (n % 60) as f64).exp2() * if n.is_multiple_of(2) { 1.0 } else { -1.0 };
    let of_values = allocations(|| (0..100_000).for_each(|n| sizes.record(wide(n))));
    measure("/a");
    let of_measurements = allocations(|| (0..EVENTS).for_each(|_| measure("/a")));
    drop(span);
    let report = pipeline.shutdown(std::time::Duration::from_secs(10));
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    assert_eq!(memory.events().len() as u64, 100 + EVENTS + 60);
    assert_eq!(of_spans, 0, "spans");
    assert_eq!((of_measurements, of_values), (0, 0), "measurements");
    assert_eq!(sizes.value().count, 100_002);
    assert!(of_events <= 1, "{of_events} for {EVENTS} events; one may be a new chunk's");
    assert!(of_unwanted <= 16, "{of_unwanted}: registering a callsite, once");
}
