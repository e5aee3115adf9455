//! 100,000 captures beside threads that hit the same call sites, and hit them first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use telemetry_core::testing::{self, OwnedValue};

const THREADS: u64 = 4;
const CAPTURES: u64 = 100_000;

/// Calls `$emit!` at 16 call sites of their own.
macro_rules! sites {
    ($number:expr, $which:expr) => {
        sites!(@ $number, $which, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $number:expr, $which:expr, $($site:literal)*) => {
        match $which % 16 {
            $($site => tracing::debug!(number = $number, site = $site, "counted"),)*
            _ => {}
        }
    };
}

fn emit(number: u64, which: u64) {
    sites!(number, which);
}

fn capture_one(number: u64) {
    let captured = testing::capture();
    {
        let span = tracing::debug_span!("work", number);
        let _entered = span.enter();
        (0..3).for_each(|n| emit(number, number + n));
    }
    let records = captured.records();
    assert_eq!(records.len(), 4, "capture {number}: {records:?}");
    for record in records {
        assert_eq!(record.spans.len(), 1);
        assert_eq!(record.field("number"), Some(&OwnedValue::U64(number)));
    }
    assert_eq!(captured.lost(), 0);
}

#[test]
fn hundred_thousand_captures_each_have_their_own_records_and_no_others() {
    let (done, hits) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let hit = hits.fetch_add(1, Ordering::Relaxed);
                    emit(u64::MAX, hit);
                    let _span = tracing::debug_span!("work", number = u64::MAX).entered();
                    std::thread::yield_now();
                }
            });
        }
        // The call sites are known, to a thread without any capture, before the first one begins.
        while hits.load(Ordering::Relaxed) < 16 {
            std::thread::yield_now();
        }
        let captures = |thread| (0..CAPTURES / THREADS).map(move |n| n * THREADS + thread);
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| threads.spawn(move || captures(thread).for_each(capture_one)))
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
}
