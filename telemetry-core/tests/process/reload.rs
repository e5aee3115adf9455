//! Filters that are exchanged while the program runs, in the attached pipeline.

use super::{LONG, assert_delivered, assert_done, waits_for};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::{MemoryExporter, OwnedValue};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};

fn attach(filter: &str) -> (Pipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    let builder = super::builder().filter(filter.parse().unwrap());
    (builder.sink(SinkBuilder::new(memory.clone())).attach().unwrap(), memory)
}

/// The numbers `n` of the events that arrived.
fn arrived(memory: &MemoryExporter) -> BTreeSet<u64> {
    let number = |fields: &[(String, OwnedValue)]| {
        fields.iter().find_map(|(key, value)| match value {
            OwnedValue::U64(n) if key == "n" => Some(*n),
            _ => None,
        })
    };
    memory.events().iter().filter_map(|event| number(&event.fields)).collect()
}

type Site = fn(u64);

macro_rules! sites {
    ($($number:literal)*) => {
        [$({
            let site: Site = |n| {
                let _ = $number;
                match n % 3 {
                    0 => tracing::debug!(n, "by tracing"),
                    1 => telemetry_core::event!(Debug, "own", { n = n }),
                    _ => {
                        let span = tracing::debug_span!("a span");
                        span.in_scope(|| tracing::debug!(n, "in a span"));
                    }
                }
            };
            site
        }),*]
    };
}

/// Callsites that register one after the other, while filters change.
const SITES: [Site; 64] = sites![
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
];

/// Two threads emit at callsites old and new while filters change; an event that was emitted
/// between two changes has to be decided by the filter in effect then.
pub(crate) fn everywhere() {
    // A word that is dynamic, static, or absent: every transition of a decision.
    let filters = [
        "debug",
        "off",
        "debug,[nobody{a=1}]=off",
        "info,[nobody{a=1}]=debug",
        "debug,[nobody]=off",
    ];
    let is_on = |round: usize| filters[round % filters.len()].starts_with("debug");
    let (pipeline, memory) = attach(filters[0]);
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (numbers, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let emit = || {
        let (mut must, mut must_not) = (Vec::new(), Vec::new());
        while !ended.load(Ordering::Acquire) {
            let round = done.load(Ordering::SeqCst);
            let n = numbers.fetch_add(1, Ordering::SeqCst);
            SITES[(round / 4 + n as usize % 4) % SITES.len()](n);
            if begun.load(Ordering::SeqCst) == round {
                if is_on(round) { must.push(n) } else { must_not.push(n) }
            }
        }
        (must, must_not)
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(emit)).collect();
        for round in 1..=100 {
            begun.store(round, Ordering::SeqCst);
            pipeline.filters().set(filters[round % filters.len()]).unwrap();
            done.store(round, Ordering::SeqCst);
            let seen = numbers.load(Ordering::SeqCst);
            while numbers.load(Ordering::SeqCst) < seen + 50 {
                std::thread::yield_now();
            }
        }
        ended.store(true, Ordering::Release);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_delivered(&pipeline.shutdown(LONG));
    let arrived = arrived(&memory);
    for (must, must_not) in found {
        let lost: Vec<_> = must.iter().filter(|n| !arrived.contains(n)).collect();
        let leaked: Vec<_> = must_not.iter().filter(|n| arrived.contains(n)).collect();
        assert!(must.len() > 100 && must_not.len() > 100);
        assert!(lost.is_empty() && leaked.is_empty(), "{lost:?} lost, {leaked:?} leaked");
    }
}

#[test]
fn filter_that_was_set_holds_for_all_threads_and_callsites() {
    assert_done("reload_everywhere");
}

/// The name of the thread that waits at the door.
const REGISTERING: &str = "registering";

/// Another library's subscriber, which is asked about callsites after ours. The thread
/// [`REGISTERING`] that asks about `at` waits at the door.
struct Other {
    at: &'static str,
    asked: AtomicUsize,
    door: Mutex<Door>,
    moved: Condvar,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    Open,
    Waiting,
    Passed,
}

impl Other {
    fn new(at: &'static str) -> Arc<Self> {
        let (door, moved) = (Mutex::new(Door::Open), Condvar::new());
        Arc::new(Self { at, asked: AtomicUsize::new(0), door, moved })
    }

    fn move_to(&self, next: Door) {
        *self.door.lock().unwrap() = next;
        self.moved.notify_all();
    }

    fn wait_for(&self, wanted: &Door) {
        let door = self.door.lock().unwrap();
        drop(self.moved.wait_while(door, |door| *door < *wanted).unwrap());
    }
}

struct Asked(Arc<Other>);

impl Subscriber for Asked {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == self.0.at {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            if std::thread::current().name() == Some(REGISTERING) {
                self.0.move_to(Door::Waiting);
                self.0.wait_for(&Door::Passed);
            }
        }
        Interest::never()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A thread registers a callsite. Between the answer, by the filter before, and its storage, the
/// filter changes and everything is rebuilt.
pub(crate) fn race() {
    let (pipeline, memory) = attach("debug,race=info");
    let other = Other::new("race");
    let _dispatch = Dispatch::new(Asked(Arc::clone(&other)));
    let emit = |n: u64| tracing::debug!(target: "race", n, "raced");
    std::thread::scope(|scope| {
        let registering = std::thread::Builder::new().name(REGISTERING.to_owned());
        let registering = registering.spawn_scoped(scope, || emit(1)).unwrap();
        other.wait_for(&Door::Waiting);
        pipeline.filters().set("debug").unwrap();
        other.move_to(Door::Passed);
        registering.join().unwrap();
    });
    emit(2);
    assert_delivered(&pipeline.shutdown(LONG));
    assert!(arrived(&memory).contains(&2), "the callsite is dead");
}

#[test]
fn callsite_that_registers_during_a_change_does_not_fall_silent() {
    assert_done("reload_race");
}

/// Four threads change the filter as fast as they can.
pub(crate) fn coalesced() {
    let (pipeline, memory) = attach("off");
    let other = Other::new("asked");
    let _dispatch = Dispatch::new(Asked(Arc::clone(&other)));
    let emit = |n: u64| tracing::debug!(target: "asked", n, "asked about");
    emit(0);
    // What was told in haste is replaced meanwhile, three times at most.
    let before = other.asked.load(Ordering::SeqCst);
    let began = telemetry_core::clock::now();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (start, filters) = (&start, pipeline.filters());
            scope.spawn(move || {
                start.wait();
                for n in 0..50 {
                    filters.set(&format!("off,thread_{thread}_{n}=info")).unwrap();
                }
            });
        }
    });
    pipeline.filters().set("debug").unwrap();
    emit(1);
    let turns = (telemetry_core::clock::now() - began).as_millis() / 5;
    let asked = (other.asked.load(Ordering::SeqCst) - before) as u128;
    assert!(asked <= turns + 5, "{asked} times in {turns} turns");
    assert_delivered(&pipeline.shutdown(LONG));
    assert_eq!(arrived(&memory), BTreeSet::from([1]));
}

#[test]
fn changes_that_come_together_are_put_into_effect_together() {
    assert_done("reload_coalesced");
}

/// Threads change filters while the pipeline ends and another one begins.
pub(crate) fn during_shutdown() {
    for round in 0..20 {
        let (pipeline, memory) = attach("info");
        let filters = pipeline.filters();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let filters = filters.clone();
                scope.spawn(move || {
                    let mut changed = 0;
                    while filters.set(["debug", "info,[s{a=1}]=trace"][changed % 2]).is_ok() {
                        changed += 1;
                    }
                });
            }
            (0..100_u64).for_each(|n| tracing::info!(n, "always wanted"));
            assert_delivered(&pipeline.shutdown(LONG));
        });
        assert_eq!(arrived(&memory).len(), 100, "round {round}");
        assert!(filters.add("debug", Duration::from_secs(1)).is_err());
    }
}

#[test]
fn filters_that_change_during_a_shutdown_lose_nothing() {
    assert_done("reload_during_shutdown");
}

/// Forks while another thread changes filters: the child's calls fail, and do not hang.
pub(crate) fn forked() {
    let (pipeline, _memory) = attach("info");
    let filters = pipeline.filters();
    let temporary = filters.add("debug", Duration::from_secs(60)).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                filters.set("info,[s{a=1}]=debug").unwrap();
                let added = filters.add("trace", Duration::from_secs(60)).unwrap();
                assert!(added.cancel().unwrap());
            }
        });
        for _ in 0..20 {
            // SAFETY: the child calls only what this test is about, and exits.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let refused = filters.set("debug").is_err() && temporary.cancel().is_err();
                let is_silent = filters.in_effect().is_empty() && filters.temporary().is_empty();
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(!refused || !is_silent)) };
            }
            assert!(waits_for(child), "the child hangs or failed");
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_delivered(&pipeline.shutdown(LONG));
}

#[test]
fn forks_child_cannot_change_filters() {
    assert_done("reload_forked");
}

/// A filter for a while, over a change of the filters below it; everything leaves its record.
pub(crate) fn temporary() {
    let (pipeline, memory) = attach("info");
    let filters = pipeline.filters();
    let request = |n: u64| {
        let span = tracing::info_span!("request", tenant = 42);
        span.in_scope(|| tracing::debug!(n, "in the request"));
    };
    request(1);
    let short = filters.add("[request{tenant=42}]=debug", Duration::from_millis(200)).unwrap();
    request(2);
    filters.set("off").unwrap();
    request(3);
    let deadline = telemetry_core::clock::now() + LONG;
    while !filters.temporary().is_empty() {
        assert!(telemetry_core::clock::now() < deadline, "it never ended");
        std::thread::yield_now();
    }
    // It has ended; what it was for is decided by the worker's turn, which may still be under way.
    assert!(!short.cancel().unwrap() && short.left().is_zero());
    filters.set("warn").unwrap();
    request(4);
    assert!(filters.add("debug", Duration::from_secs(60)).unwrap().cancel().unwrap());
    assert_delivered(&pipeline.shutdown(LONG));
    assert_eq!(arrived(&memory), BTreeSet::from([2, 3]));
    let events = memory.events();
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.target == "telemetry")
        .filter_map(|event| event.message().map(str::to_owned))
        .collect();
    assert_eq!(
        told,
        [
            "temporary filter 1 is added for 200ms: `[request{tenant=42}]=debug` (by: program)",
            "the filter is `off`, and was `info` (by: program)",
            "temporary filter 1 has ended: `[request{tenant=42}]=debug`",
            "the filter is `warn`, and was `off` (by: program)",
            "temporary filter 2 is added for 60s: `debug` (by: program)",
            "temporary filter 2 was cancelled: `debug` (by: program)",
        ],
    );
}

#[test]
fn temporary_filter_ends_by_itself_and_every_change_is_told() {
    assert_done("reload_temporary");
}

/// The thread that changes the filter has another subscriber, or none, as its own.
pub(crate) fn foreign_default() {
    let (pipeline, memory) = attach("info");
    let emit = |n: u64| tracing::debug!(n, "wanted");
    emit(1);
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), || {
        pipeline.filters().set("debug").unwrap();
    });
    emit(2);
    assert_delivered(&pipeline.shutdown(LONG));
    assert_eq!(arrived(&memory), BTreeSet::from([2]));
}

#[test]
fn filter_holds_that_was_set_under_another_subscriber() {
    assert_done("reload_foreign_default");
}
