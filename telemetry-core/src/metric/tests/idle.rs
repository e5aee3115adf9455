//! Series that nobody touches: what is left out, what is dropped, and that nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn ticking_clock() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(1);
    NOW.fetch_add(1, Relaxed)
}

/// A registry with a timeout, and a time of its own.
struct Timed {
    registry: Registry,
    now: Instant,
}

impl Timed {
    #[expect(clippy::disallowed_methods, reason = "only a beginning: the time is the test's own")]
    fn new(series_limit: usize) -> Self {
        let registry = Registry::with_clock(series_limit, ticking_clock);
        registry.configure(Settings::new().idle_timeout(TIMEOUT)).expect("good");
        Self { registry, now: Instant::now() }
    }

    /// Lets the time go by, with all readers up to date.
    fn pass(&mut self, time: Duration) -> usize {
        self.now += time;
        self.registry.expire(self.now, self.now)
    }

    /// Lets everything become idle, and be looked at.
    fn pass_timeout(&mut self) -> usize {
        self.pass(Duration::ZERO) + self.pass(TIMEOUT) + self.pass(Duration::ZERO)
    }

    fn points(&self) -> usize {
        self.registry.snapshot(0).points()
    }

    fn counter_point(&self) -> Point<Number> {
        let snapshot = self.registry.snapshot(0);
        let Data::Counter { points } = &snapshot.metrics[0].data else { panic!("{snapshot:?}") };
        points[0].clone()
    }
}

#[test]
fn series_that_nobody_holds_is_dropped_and_begins_anew() {
    let mut timed = Timed::new(10);
    timed.registry.counter("logins", user("ann")).add(3);
    let first = timed.counter_point();
    assert_eq!(timed.pass(Duration::ZERO), 0);
    assert_eq!(timed.pass(TIMEOUT - Duration::from_nanos(1)), 0);
    assert_eq!(timed.pass(Duration::from_nanos(1)), 1);
    assert_eq!(timed.points(), 0);
    timed.registry.counter("logins", user("ann")).add(1);
    let again = timed.counter_point();
    assert_eq!(again.value, Number::U64(1));
    assert!(again.start_unix_ns > first.start_unix_ns, "a reset, told by its start");
}

#[test]
fn series_that_somebody_holds_is_left_out_and_comes_back_whole() {
    let mut timed = Timed::new(10);
    let held = timed.registry.counter("logins", user("ann"));
    held.add(3);
    let first = timed.counter_point();
    assert_eq!(timed.pass_timeout(), 0);
    assert_eq!(timed.points(), 0, "idle");
    held.add(1);
    let again = timed.counter_point();
    assert_eq!((again.value, again.start_unix_ns), (Number::U64(4), first.start_unix_ns));
    assert_eq!(timed.pass(TIMEOUT), 0, "touched");
    assert_eq!(timed.points(), 1);
    assert_eq!(timed.pass_timeout(), 0);
    drop(held);
    assert_eq!(timed.pass(Duration::ZERO), 1, "nobody holds it any more");
}

#[test]
fn value_that_not_everybody_has_read_is_kept() {
    let mut timed = Timed::new(10);
    timed.registry.counter("logins", user("ann")).add(3);
    let begin = timed.now;
    timed.pass(Duration::ZERO);
    for hours in 1..5 {
        let later = begin + Duration::from_secs(hours * 3600);
        assert_eq!(timed.registry.expire(later, begin), 0, "the slowest reader stands at `begin`");
    }
    assert_eq!(timed.pass(Duration::from_secs(5 * 3600)), 1);
}

#[test]
fn every_kind_of_touch_keeps_a_series() {
    let mut timed = Timed::new(10);
    let registry = timed.registry.clone();
    registry.set_buckets("size", Buckets::exponential()).expect("unused");
    let (steady, same) = (registry.gauge("steady", ()), registry.up_down_counter("same", ()));
    let (time, size) = (registry.histogram("time", ()), registry.histogram("size", ()));
    let (seconds, adds) = (registry.counter_f64("seconds", ()), registry.counter("adds", ()));
    for _ in 0..5 {
        steady.set(21.0);
        same.add(1);
        same.add(-1);
        time.record(0.0);
        size.record(0.0);
        seconds.add(0.5);
        adds.add(1);
        registry.observe("threads", &Labels::new(), Observation::UpDownCounter(0));
        registry.observe("started", &Labels::new(), Observation::Counter(7));
        assert_eq!(timed.pass(TIMEOUT), 0);
        assert_eq!(timed.points(), 8);
    }
    // Twice: the first look saw the last touch.
    timed.pass(TIMEOUT);
    timed.pass(TIMEOUT);
    assert_eq!(timed.points(), 0);
}

#[test]
fn what_goes_up_and_down_stays_until_it_is_at_zero() {
    let mut timed = Timed::new(10);
    timed.registry.up_down_counter("open", ()).add(2);
    timed.registry.gauge("in.flight", ()).add(1.5);
    timed.registry.gauge("temperature", ()).set(21.0);
    assert_eq!(timed.pass_timeout(), 1, "only the last value that was set");
    assert_eq!(timed.points(), 2);
    timed.registry.up_down_counter("open", ()).add(-2);
    timed.registry.gauge("in.flight", ()).add(-1.5);
    assert_eq!(timed.pass_timeout(), 2);
    assert_eq!(timed.points(), 0);
}

#[test]
fn room_of_dropped_series_is_free_again() {
    let mut timed = Timed::new(3);
    let limit_and_more = |from: usize| {
        (from..from + 5).for_each(|n| timed.registry.counter("adds", user(n)).add(1));
    };
    limit_and_more(0);
    assert_eq!(timed.points(), 4, "three and the overflow series");
    assert_eq!(timed.pass_timeout(), 4);
    (100..103).for_each(|n| timed.registry.counter("adds", user(n)).add(1));
    let counts = counts(&timed.registry.snapshot(0), "adds");
    assert!(counts.keys().all(|key| !key.contains("overflow")), "{counts:?}");
    assert_eq!(counts.len(), 3);
}

#[test]
fn nothing_expires_without_a_timeout() {
    let mut timed = Timed::new(10);
    timed.registry.configure(Settings::new()).expect("good");
    timed.registry.counter("logins", user("ann")).add(3);
    assert_eq!(timed.pass_timeout(), 0);
    assert_eq!(timed.points(), 1);
}

/// Writers that ask for their series anew, writers that hold a handle for a while, a reader, and a
/// sweep after each reading that finds everything idle at once: what was read last of each series,
/// over all its lives, is what was added.
#[test]
fn adds_that_meet_an_expiry_are_neither_lost_nor_counted_twice() {
    let timed = Timed::new(100);
    let (registry, begin) = (&timed.registry, timed.now);
    let (threads, adds) = (3, 20_000_u64);
    let done = AtomicBool::new(false);
    let mut lives = BTreeMap::<(String, u64), u64>::new();
    let mut dropped = 0;
    std::thread::scope(|s| {
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                s.spawn(move || {
                    let mut held = registry.counter("adds", user(0));
                    for n in 0..adds {
                        match n % 7 {
                            0 => held = registry.counter("adds", user(n % 5)),
                            1 | 2 => held.add(1),
                            _ => registry.counter("adds", user((n + thread) % 5)).add(1),
                        }
                        if n % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let done = &done;
        s.spawn(move || {
            for writer in writers {
                writer.join().expect("does not panic");
            }
            done.store(true, Relaxed);
        });
        let mut tick = 1;
        loop {
            let is_last = done.load(Relaxed);
            let snapshot = registry.snapshot(0);
            for point in snapshot.metrics.iter().flat_map(|metric| match &metric.data {
                Data::Counter { points } => points.clone(),
                other => panic!("{other:?}"),
            }) {
                let Number::U64(value) = point.value else { panic!() };
                let life = (format!("{:?}", point.labels), point.start_unix_ns);
                assert!(value >= lives.insert(life, value).unwrap_or(0), "a counter went down");
            }
            if is_last {
                break;
            }
            // Each look is a timeout after the one before.
            let now = begin + TIMEOUT * tick;
            dropped += registry.expire(now, now);
            tick += 1;
        }
    });
    let expected = threads * (0..adds).filter(|n| n % 7 != 0).count() as u64;
    assert_eq!(lives.values().sum::<u64>(), expected);
    assert!(dropped > 10, "only {dropped} series were dropped: nothing was tried");
}
