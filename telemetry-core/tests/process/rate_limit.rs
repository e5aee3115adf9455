//! How many events a call site may emit, in the attached pipeline.

use super::{LONG, assert_done};
use std::collections::BTreeMap;
use std::time::Duration;
use telemetry_core::clock::ManualClock;
use telemetry_core::event;
use telemetry_core::ledger::{Cause, Counts, Report, Signal};
use telemetry_core::pipeline::{Pipeline, RateLimit, SinkBuilder};
use telemetry_core::testing::{MemoryExporter, OwnedValue};

fn counts(report: &Report, exporter: &str) -> Counts {
    assert!(report.is_balanced(), "{report}");
    report.exporter(exporter).unwrap().counts(Signal::Log).clone()
}

/// What summaries say was suppressed, by target.
fn suppressed(memory: &MemoryExporter) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for event in memory.events() {
        let field = |name: &str| {
            event.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        let (Some(OwnedValue::U64(count)), Some(OwnedValue::Text(target))) =
            (field("suppressed"), field("callsite.target"))
        else {
            continue;
        };
        assert_eq!(event.target, "telemetry");
        assert!(event.message().unwrap().contains(&count.to_string()));
        assert!(matches!(field("period_s"), Some(OwnedValue::F64(_))));
        *found.entry(target).or_default() += count;
    }
    found
}

fn delivered(memory: &MemoryExporter, target: &str) -> u64 {
    memory.events().iter().filter(|event| event.target == target).count() as u64
}

/// Waits until the limit is in force: the clock's rate has to be known first.
fn wait_for_limit(pipeline: &Pipeline, exporter: &str) {
    let deadline = telemetry_core::clock::now() + LONG;
    loop {
        let report = pipeline.flush(LONG).unwrap();
        if counts(&report, exporter).dropped_for(Cause::RateLimited) > 0 {
            return;
        }
        assert!(telemetry_core::clock::now() < deadline, "nothing is limited");
        (0..20_000).for_each(|_| tracing::info!(target: "probe", "is there a limit?"));
    }
}

const STORM: u64 = 60_000;

/// A storm in each way in, each from its own call site.
fn storm(n: u64) {
    tracing::info!(target: "storm::tracing", n, "too many");
    log::info!(target: "storm::log", "too many: {n}");
    tracing::debug!(target: "storm::fields", n, "too many, and fields decide");
    tracing::error!(target: "storm::error", n, "errors are never too many");
    tracing::info!(target: "storm::audit", n, "left alone");
}

mod own {
    /// The target of our own macro is its module.
    pub(super) fn storm(n: u64) {
        telemetry_core::event!(Info, "storm", { n = n });
    }

    pub(super) fn decided_late(n: u64) {
        telemetry_core::event!(Debug, "storm.late", { n = n });
    }
}

pub(crate) fn harmless() {
    let (memory, warnings) = (MemoryExporter::new("memory"), MemoryExporter::new("warnings"));
    let limit = RateLimit::per_second(100).burst(1_000).except("storm::audit");
    let pipeline = Pipeline::builder()
        .filter("info,[{n>=0}]=debug".parse().unwrap())
        .sink(SinkBuilder::new(memory.clone()))
        .sink(SinkBuilder::new(warnings.clone()).filter("warn".parse().unwrap()))
        .rate_limit(limit)
        .attach()
        .unwrap();
    wait_for_limit(&pipeline, "memory");
    let began = telemetry_core::clock::now();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..STORM).for_each(storm));
        scope.spawn(|| (0..STORM).for_each(own::storm));
        scope.spawn(|| (0..STORM).for_each(own::decided_late));
        scope.spawn(|| {
            for n in 0..900_u64 {
                tracing::info!(target: "others", n, "of another call site");
                std::thread::yield_now();
            }
        });
    });
    let report = pipeline.flush(LONG).unwrap();
    let at_flush = suppressed(&memory);
    assert_eq!(
        at_flush.values().sum::<u64>(),
        counts(&report, "memory").dropped_for(Cause::RateLimited)
    );
    (0..100).for_each(storm);
    let seconds = (telemetry_core::clock::now() - began).as_secs() + 1;
    let report = pipeline.shutdown(LONG);
    let told = suppressed(&memory);
    let module = module_path!();
    for (target, emitted) in [
        ("storm::tracing", STORM + 100),
        ("storm::log", STORM + 100),
        ("storm::fields", STORM + 100),
        (&format!("{module}::own"), 2 * STORM),
        ("others", 900),
        ("storm::error", STORM + 100),
        ("storm::audit", STORM + 100),
    ] {
        let (delivered, told) =
            (delivered(&memory, target), told.get(target).copied().unwrap_or(0));
        assert_eq!(delivered + told, emitted, "{target}: {delivered} and {told}");
        let sites = if target.ends_with("::own") { 2 } else { 1 };
        let is_limited = !["others", "storm::error", "storm::audit"].contains(&target);
        let most = if is_limited { sites * (1_000 + 100 * seconds) } else { emitted };
        assert!(delivered <= most, "{target}: {delivered} in {seconds} s");
        assert!(!is_limited || delivered >= sites * 1_000, "{target}: {delivered}");
    }
    let all = counts(&report, "memory");
    assert_eq!(all.dropped_for(Cause::RateLimited), told.values().sum::<u64>());
    assert_eq!(all.dropped_total(), all.dropped_for(Cause::RateLimited), "{report}");
    // Who has lost nothing hears nothing.
    let of_warnings = counts(&report, "warnings");
    assert_eq!((of_warnings.emitted, of_warnings.dropped_total()), (STORM + 100, 0), "{report}");
    assert!(suppressed(&warnings).is_empty());
}

#[test]
fn storm_from_one_call_site_harms_no_other_and_is_told_exactly() {
    assert_done("rate_limit_storm");
}

/// With a clock that stands still, the numbers are exact.
pub(crate) fn exact() {
    let clock = ManualClock::install(1_000_000_000_000);
    for round in 0..2 {
        let memory = MemoryExporter::new("memory");
        let pipeline = Pipeline::builder()
            .sink(SinkBuilder::new(memory.clone()))
            .rate_limit(RateLimit::per_second(1_000).burst(50))
            .attach()
            .unwrap();
        wait_for_limit(&pipeline, "memory");
        let emit = |n: u64| (0..n).for_each(|_| event!(Info, "counted"));
        for (wait_ms, emitted, admitted) in
            [(0, 80, 50), (20, 80, 20), (1, 1, 1), (1_000, 60, 50), (1_000, 10, 10)]
        {
            clock.advance(Duration::from_millis(wait_ms));
            let before = pipeline.flush(LONG).unwrap();
            emit(emitted);
            let after = pipeline.flush(LONG).unwrap();
            let told = suppressed(&memory).values().sum::<u64>();
            let dropped =
                |report: &Report| counts(report, "memory").dropped_for(Cause::RateLimited);
            let now = dropped(&after) - dropped(&before);
            assert_eq!(now, emitted - admitted, "after {wait_ms} ms, round {round}");
            assert_eq!(told, dropped(&after));
        }
        assert!(pipeline.shutdown(LONG).is_balanced());
        // The next pipeline begins with the whole burst.
        assert_eq!(delivered(&memory, module_path!()), 131);
    }
}

#[test]
fn call_site_emits_its_burst_and_then_at_its_rate() {
    assert_done("rate_limit_exact");
}

/// Nobody reads at the end; whatever threads do meanwhile, the next pipeline's account is its own.
pub(crate) fn again() {
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    event!(Info, "all.the.time");
                }
            });
        }
        for _ in 0..20 {
            let memory = MemoryExporter::new("memory");
            let pipeline = Pipeline::builder()
                .sink(SinkBuilder::new(memory.clone()))
                .rate_limit(RateLimit::per_second(1).burst(1))
                .attach()
                .unwrap();
            let deadline = telemetry_core::clock::now() + LONG;
            while suppressed(&memory).is_empty() {
                assert!(telemetry_core::clock::now() < deadline, "nothing is told");
                pipeline.flush(LONG).unwrap();
            }
            assert!(!pipeline.end(LONG).timed_out);
            // Threads may have been about to count when it ended.
            while !pipeline.report().is_balanced() {
                std::thread::yield_now();
            }
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn noise_over_the_end_of_a_pipeline_is_told_of_by_the_next_one() {
    assert_done("rate_limit_again");
}
