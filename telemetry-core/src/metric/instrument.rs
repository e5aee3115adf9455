//! The handles measurements are made with, and the cells behind them.
//!
//! # Invariants
//!
//! - A measurement is one or two atomic operations on a cell made beforehand: it never allocates,
//!   and never waits for a reader. (`absolute` and `set` wait for each other only.)
//! - Sums are exact: every `add` that returned is in the next snapshot.
//! - A value that is not finite never reaches a cell; it is counted as rejected.
//!
//! Every atomic here is relaxed: a cell is a statistic of its own, and no other memory is
//! published through it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::shard::{Line, shards, thread_index};

/// Counts the measurements of a registry that were refused because they were not finite.
#[derive(Debug, Default)]
pub(crate) struct Rejected(AtomicU64);

impl Rejected {
    #[cold]
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// An integer sum over shards; signed values use two's complement.
#[derive(Debug)]
pub(crate) struct Sum {
    shards: Box<[Line<Part>]>,
    /// Held by `raise_to` and `set`, so that two of them never both add the same difference.
    assign: Mutex<()>,
    pub(super) removed: Removed,
}

/// Says whether a cell's series was removed, so that who remembers the handle looks for a new one.
#[derive(Debug, Default)]
pub(crate) struct Removed(AtomicBool);

impl Removed {
    pub(super) fn set(&self) {
        self.0.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
struct Part {
    value: AtomicU64,
    /// Was something added that may not show in the sum? For those that go up and down.
    touched: AtomicBool,
}

impl Sum {
    fn new() -> Self {
        let shards = (0..shards()).map(|_| Line::default()).collect();
        Self { shards, assign: Mutex::new(()), removed: Removed::default() }
    }

    #[inline]
    fn part(&self) -> &Part {
        // The number of shards is a power of two.
        &self.shards[thread_index() & (self.shards.len() - 1)].0
    }

    #[inline]
    pub(crate) fn add(&self, value: u64) {
        self.part().value.fetch_add(value, Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.value.load(Relaxed)))
    }

    pub(super) fn is_touched(&self) -> bool {
        self.shards.iter().any(|shard| shard.0.touched.load(Relaxed))
    }

    pub(super) fn forget_touch(&self) {
        self.shards.iter().for_each(|shard| forget(&shard.0.touched));
    }

    /// Adds what `value` has more than the sum. An `add` at the same time counts as made after.
    pub(crate) fn raise_to(&self, value: u64) {
        let _one_at_a_time = self.assign.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.read();
        if value > now {
            self.add(value - now);
        }
    }

    /// Moves the sum to `value`. An `add` at the same time counts as made after.
    fn set(&self, value: u64) {
        let _one_at_a_time = self.assign.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(value.wrapping_sub(self.read()));
    }
}

/// Clears a mark. Writes only if it is set, so that nobody's cache line is taken for nothing.
pub(super) fn forget(touched: &AtomicBool) {
    if touched.load(Relaxed) {
        touched.store(false, Relaxed);
    }
}

/// Replaces the float in `cell` by `next` of it, unless that is `None`.
#[inline]
pub(super) fn update_f64(cell: &AtomicU64, next: impl Fn(f64) -> Option<f64>) -> bool {
    let next = |bits| next(f64::from_bits(bits)).map(f64::to_bits);
    cell.fetch_update(Relaxed, Relaxed, next).is_ok()
}

/// Adds up whole things, and never goes down: requests, bytes, errors.
///
/// Adding is one atomic operation on a cache line of the calling thread, about 5 ns. Cloning
/// gives another handle of the same series; handles stay valid for ever, also after
/// [`remove`](super::Registry::remove) (what they then count is not exported any more).
///
/// ```
/// # let registry = telemetry_core::metric::Registry::new();
/// let requests = registry.counter("http.server.requests", [("route", "/users")]);
/// requests.add(1);
/// assert_eq!(requests.value(), 1);
/// ```
#[derive(Clone)]
pub struct Counter(pub(super) Arc<Sum>);

impl Counter {
    /// Adds `value`. Wraps at 2^64.
    #[inline]
    pub fn add(&self, value: u64) {
        self.0.add(value);
    }

    /// Raises the count to `value`; a lower `value` changes nothing.
    ///
    /// For counts kept elsewhere (the kernel, a library). Concurrent calls end at the largest.
    pub fn absolute(&self, value: u64) {
        self.0.raise_to(value);
    }

    /// Returns the count.
    pub fn value(&self) -> u64 {
        self.0.read()
    }
}

/// Adds up an amount that is not whole, and never goes down: seconds of processor time.
///
/// Not sharded, so that [`absolute`](Self::absolute) is exact to the last bit.
#[derive(Clone)]
pub struct CounterF64(pub(super) Arc<Float>);

#[derive(Debug)]
pub(super) struct Float {
    bits: AtomicU64,
    rejected: Arc<Rejected>,
}

/// A last value.
#[derive(Debug)]
pub(crate) struct Last {
    /// NaN stands for "never set": no finite value has its bits.
    bits: AtomicU64,
    /// Was it set? The same value again does not show in `bits`.
    touched: AtomicBool,
    /// Was something ever added to it? Then it goes up and down, and is forgotten at 0 only.
    is_sum: AtomicBool,
    pub(super) removed: Removed,
    rejected: Arc<Rejected>,
}

impl CounterF64 {
    /// Adds `value`. Negative and non-finite values are rejected and counted, as is a sum that
    /// would not be finite.
    pub fn add(&self, value: f64) {
        let finite = |sum: f64| sum.is_finite().then_some(sum);
        if !(value >= 0.0 && update_f64(&self.0.bits, |now| finite(now + value))) {
            self.0.rejected.add(1);
        }
    }

    /// Raises the sum to `value`; a lower `value` changes nothing, a non-finite one is rejected.
    pub fn absolute(&self, value: f64) {
        if !value.is_finite() {
            return self.0.rejected.add(1);
        }
        update_f64(&self.0.bits, |now| (value > now).then_some(value));
    }

    /// Returns the sum.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.bits.load(Relaxed))
    }
}

/// Adds up whole things that come and go: open connections, items in a queue.
///
/// While other threads write, a reading may miss the latest steps of some of them, so that it is
/// for a moment below zero; it is exact as soon as they are quiet.
///
/// ```
/// # let registry = telemetry_core::metric::Registry::new();
/// let open = registry.up_down_counter("db.client.connection.count", ());
/// open.add(1);
/// open.add(-1);
/// assert_eq!(open.value(), 0);
/// ```
#[derive(Clone)]
pub struct UpDownCounter(pub(super) Arc<Sum>);

impl UpDownCounter {
    /// Adds `value`, which may be negative. Wraps at the ends of `i64`.
    #[inline]
    pub fn add(&self, value: i64) {
        let part = self.0.part();
        part.value.fetch_add(value.cast_unsigned(), Relaxed);
        part.touched.store(true, Relaxed);
    }

    /// Moves the count to `value`.
    pub fn set(&self, value: i64) {
        self.0.set(value.cast_unsigned());
        self.0.part().touched.store(true, Relaxed);
    }

    /// Returns the count.
    pub fn value(&self) -> i64 {
        self.0.read().cast_signed()
    }
}

/// Keeps the last value of something that is not added up: a temperature, a ratio.
///
/// A gauge that was never set has no value, and is not exported: missing is not 0.
#[derive(Clone)]
pub struct Gauge(pub(super) Arc<Last>);

impl Gauge {
    /// Replaces the value. A non-finite `value` is rejected and counted; the last one stays.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Adds `value` to the gauge, which counts as 0 if it was never set. A result that is not
    /// finite is rejected and counted.
    pub fn add(&self, value: f64) {
        self.0.add(value);
    }

    /// Returns the value, if one was ever set.
    pub fn value(&self) -> Option<f64> {
        self.0.value()
    }
}

impl Last {
    #[inline]
    pub(crate) fn set(&self, value: f64) {
        if !value.is_finite() {
            return self.rejected.add(1);
        }
        self.bits.store(value.to_bits(), Relaxed);
        self.touched.store(true, Relaxed);
    }

    pub(crate) fn add(&self, value: f64) {
        let next = |now: f64| {
            let sum = if now.is_nan() { value } else { now + value };
            sum.is_finite().then_some(sum)
        };
        if !update_f64(&self.bits, next) {
            return self.rejected.add(1);
        }
        self.touched.store(true, Relaxed);
        self.is_sum.store(true, Relaxed);
    }

    pub(super) fn value(&self) -> Option<f64> {
        let value = f64::from_bits(self.bits.load(Relaxed));
        (!value.is_nan()).then_some(value)
    }

    pub(super) fn is_touched(&self) -> bool {
        self.touched.load(Relaxed)
    }

    pub(super) fn forget_touch(&self) {
        forget(&self.touched);
    }

    /// Would a new cell go on from another value than this one?
    pub(super) fn is_open(&self) -> bool {
        self.is_sum.load(Relaxed) && self.value() != Some(0.0)
    }
}

impl Counter {
    pub(super) fn detached() -> Self {
        Self(Arc::new(Sum::new()))
    }

    pub(crate) fn into_shared(self) -> Arc<Sum> {
        self.0
    }

    #[inline]
    pub(crate) fn is_removed(&self) -> bool {
        self.0.removed.is_set()
    }
}

impl UpDownCounter {
    pub(super) fn detached() -> Self {
        Self(Arc::new(Sum::new()))
    }
}

impl CounterF64 {
    pub(super) fn detached(rejected: &Arc<Rejected>) -> Self {
        Self(Arc::new(Float { bits: AtomicU64::new(0), rejected: Arc::clone(rejected) }))
    }
}

impl Gauge {
    pub(crate) fn into_shared(self) -> Arc<Last> {
        self.0
    }

    #[inline]
    pub(crate) fn is_removed(&self) -> bool {
        self.0.removed.is_set()
    }

    pub(super) fn detached(rejected: &Arc<Rejected>) -> Self {
        Self(Arc::new(Last {
            bits: AtomicU64::new(f64::NAN.to_bits()),
            touched: AtomicBool::new(false),
            is_sum: AtomicBool::new(false),
            removed: Removed::default(),
            rejected: Arc::clone(rejected),
        }))
    }
}

macro_rules! debug_as_value {
    ($($handle:ident),*) => {$(
        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.value()).finish()
            }
        }
    )*};
}

debug_as_value!(Counter, CounterF64, UpDownCounter, Gauge);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_sum_exactly() {
        let counter = Counter::detached();
        let open = UpDownCounter::detached();
        std::thread::scope(|s| {
            for _ in 0..16 {
                s.spawn(|| {
                    for n in 0..10_000 {
                        counter.add(n);
                        open.add(if n % 2 == 0 { 3 } else { -2 });
                    }
                });
            }
        });
        assert_eq!(counter.value(), 16 * (0..10_000).sum::<u64>());
        assert_eq!(open.value(), 16 * 5_000);
    }

    /// Waits until both of two threads have called it with `phase`. Spins at first, so that they
    /// leave it within nanoseconds of each other: the race that is looked for is as short.
    fn meet(arrived: &AtomicU64, phase: u64) {
        arrived.fetch_add(1, Relaxed);
        for spin in 0_u32.. {
            if arrived.load(Relaxed) >= phase * 2 {
                return;
            }
            if spin > 500 {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn concurrent_absolutes_end_at_the_largest() {
        let (counter, arrived) = (Counter::detached(), AtomicU64::new(0));
        let raise = |thread: u64| {
            for round in 1..=20_000 {
                meet(&arrived, round * 2 - 1);
                counter.absolute(round * 10 + thread);
                meet(&arrived, round * 2);
                assert_eq!(counter.value(), round * 10 + 1);
            }
        };
        std::thread::scope(|s| {
            s.spawn(|| raise(0));
            s.spawn(|| raise(1));
        });
    }

    #[test]
    fn absolute_never_lowers_and_adds_go_on_from_it() {
        let counter = Counter::detached();
        counter.absolute(7);
        counter.absolute(3);
        counter.add(1);
        assert_eq!(counter.value(), 8);
    }

    #[test]
    fn set_moves_both_ways() {
        let open = UpDownCounter::detached();
        for value in [5, -7, i64::MIN, i64::MAX, 0] {
            open.set(value);
            assert_eq!(open.value(), value);
        }
    }

    #[test]
    fn float_counter_rejects_what_would_break_it() {
        let rejected = Arc::new(Rejected::default());
        let counter = CounterF64::detached(&rejected);
        counter.add(0.5);
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            counter.add(bad);
        }
        counter.absolute(f64::NAN);
        counter.absolute(0.25);
        assert_eq!((counter.value(), rejected.count()), (0.5, 4));
        counter.absolute(0.1 + 0.2 + 1.0);
        assert_eq!(counter.value(), 0.1 + 0.2 + 1.0);
    }

    #[test]
    fn gauge_has_no_value_until_set() {
        let rejected = Arc::new(Rejected::default());
        let gauge = Gauge::detached(&rejected);
        assert_eq!(gauge.value(), None);
        gauge.set(f64::NAN);
        assert_eq!((gauge.value(), rejected.count()), (None, 1));
        gauge.add(2.0);
        gauge.add(f64::NEG_INFINITY);
        assert_eq!((gauge.value(), rejected.count()), (Some(2.0), 2));
        gauge.set(f64::MAX);
        gauge.add(f64::MAX);
        assert_eq!((gauge.value(), rejected.count()), (Some(f64::MAX), 3));
    }
}
