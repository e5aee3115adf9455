//! Ticks at the call site, wall time off it.
//!
//! A call site reads the cheapest monotonic counter there is; the worker turns its ticks into wall
//! time with an anchor that is taken anew at least every second.
//!
//! # Invariants
//!
//! - Ticks come from the invariant TSC (x86-64), the generic timer (aarch64), else from
//!   `CLOCK_MONOTONIC` in nanoseconds; a manual clock replaces them in tests.
//! - A wall time is never computed from ticks further than one anchor away, so the drift between
//!   the counter and `CLOCK_REALTIME` does not add up.
//! - Durations come from ticks alone: a wall-clock jump never changes them.
//! - This is the only module that reads a clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const UNSET: u8 = 0;
const COUNTER: u8 = 1;
const MONOTONIC: u8 = 2;
const MANUAL: u8 = 3;

static SOURCE: AtomicU8 = AtomicU8::new(UNSET);
static MANUAL_NS: AtomicU64 = AtomicU64::new(0);

/// The current tick of the process's counter; the unit is known to [`Anchor`] only.
#[inline(always)]
pub fn ticks() -> u64 {
    // Relaxed: the source is a plain value without data behind it.
    if SOURCE.load(Ordering::Relaxed) == COUNTER { counter() } else { ticks_slow() }
}

#[cold]
#[inline(never)]
fn ticks_slow() -> u64 {
    match SOURCE.load(Ordering::Relaxed) {
        UNSET => {
            let source = if counter_is_invariant() { COUNTER } else { MONOTONIC };
            // A manual clock that was set meanwhile stays.
            let _ = SOURCE.compare_exchange(UNSET, source, Ordering::Relaxed, Ordering::Relaxed);
            ticks()
        }
        MANUAL => MANUAL_NS.load(Ordering::Relaxed),
        _ => monotonic_ns(),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn counter() -> u64 {
    // SAFETY: RDTSC is part of every x86-64 CPU and reads no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "x86_64")]
fn counter_is_invariant() -> bool {
    // CPUID leaf 0x8000_0007, EDX bit 8: the TSC runs at a constant rate in all power states.
    let max = core::arch::x86_64::__cpuid(0x8000_0000).eax;
    max >= 0x8000_0007 && core::arch::x86_64::__cpuid(0x8000_0007).edx & (1 << 8) != 0
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: CNTVCT_EL0 is readable from user space on every supported system; no memory is read.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

#[cfg(target_arch = "aarch64")]
fn counter_is_invariant() -> bool {
    true // the architecture defines the generic timer as one constant-rate, synchronised counter
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn counter() -> u64 {
    monotonic_ns()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn counter_is_invariant() -> bool {
    false
}

/// Nanoseconds of the monotonic clock since the first call in this process.
pub fn monotonic_ns() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(now);
    saturating_ns(now().saturating_duration_since(origin))
}

/// The monotonic clock, for deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the one module that reads clocks")]
pub fn now() -> Instant {
    Instant::now()
}

/// Measures how long somebody has waited, in several short waits.
///
/// A process that stands still (a CPU quota, SIGSTOP) makes one wait as long as it likes, in which
/// nobody else got anything done either: a wait counts as `most` at the most.
#[derive(Debug)]
pub(crate) struct Patience {
    most: Duration,
    began: Instant,
    waited: Duration,
}

impl Patience {
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, began: now(), waited: Duration::ZERO }
    }

    /// A wait is over without what was waited for; returns how long all of them were.
    pub(crate) fn waited(&mut self) -> Duration {
        let now = now();
        self.waited += now.saturating_duration_since(self.began).min(self.most);
        self.began = now;
        self.waited
    }

    /// Something has moved: the patience begins anew.
    pub(crate) fn renew(&mut self) {
        *self = Self::new(self.most);
    }
}

/// Nanoseconds since the Unix epoch: 0 before it, saturated after the year 2554.
#[expect(clippy::disallowed_methods, reason = "this is the one module that reads clocks")]
pub fn unix_ns() -> u64 {
    if SOURCE.load(Ordering::Relaxed) == MANUAL {
        return MANUAL_UNIX_NS.load(Ordering::Relaxed);
    }
    saturating_ns(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn saturating_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

static MANUAL_UNIX_NS: AtomicU64 = AtomicU64::new(0);

/// A clock that stands still until a test moves it. Affects the whole process.
#[derive(Debug)]
#[non_exhaustive]
pub struct ManualClock {}

impl ManualClock {
    /// Replaces the process's clock by one that stands at `unix_ns`.
    pub fn install(unix_ns: u64) -> Self {
        MANUAL_NS.store(1, Ordering::Relaxed);
        MANUAL_UNIX_NS.store(unix_ns, Ordering::Relaxed);
        SOURCE.store(MANUAL, Ordering::Relaxed);
        Self {}
    }

    /// Moves ticks and wall time on.
    pub fn advance(&self, by: Duration) {
        MANUAL_NS.fetch_add(saturating_ns(by), Ordering::Relaxed);
        MANUAL_UNIX_NS.fetch_add(saturating_ns(by), Ordering::Relaxed);
    }

    /// Sets the wall clock alone, as an operator or NTP does.
    pub fn jump_to(&self, unix_ns: u64) {
        MANUAL_UNIX_NS.store(unix_ns, Ordering::Relaxed);
    }
}

/// One reading of counter and wall clock together, and the rate between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    ticks: u64,
    unix_ns: u64,
    ns_per_tick: f64,
}

impl Anchor {
    /// The wall time of a tick, in nanoseconds since the Unix epoch; saturates at 0.
    pub fn unix_ns(&self, ticks: u64) -> u64 {
        if ticks >= self.ticks {
            self.unix_ns.saturating_add(self.duration_ns(self.ticks, ticks))
        } else {
            self.unix_ns.saturating_sub(self.duration_ns(ticks, self.ticks))
        }
    }

    /// Nanoseconds between two ticks; 0 where the later one is not later.
    pub fn duration_ns(&self, from: u64, to: u64) -> u64 {
        (to.saturating_sub(from) as f64 * self.ns_per_tick) as u64
    }

    /// How many ticks a time takes.
    pub(crate) fn ticks_in(&self, duration: Duration) -> u64 {
        (duration.as_nanos() as f64 / self.ns_per_tick) as u64
    }

    /// An anchor whose ticks are nanoseconds since the epoch: for tests and examples.
    pub fn nanoseconds() -> Self {
        Self { ticks: 0, unix_ns: 0, ns_per_tick: 1.0 }
    }
}

/// The first reading of this process: what the counter's rate is measured from where no anchor is
/// at hand.
static FIRST: OnceLock<(u64, u64)> = OnceLock::new();

/// The tick of a wall time, near enough: for what somebody else measured. For a time before the
/// counter began it is the nearest that there is.
///
/// Good to some millionths of the time between then and now, once a pipeline has run for a second.
pub(crate) fn ticks_at(at_unix_ns: u64) -> u64 {
    let Reading { ticks: now_ticks, monotonic_ns, unix_ns: now_unix_ns, .. } = Reading::once();
    let (first_ticks, first_ns) = *FIRST.get_or_init(|| (now_ticks, monotonic_ns));
    let elapsed = (now_ticks.saturating_sub(first_ticks), monotonic_ns.saturating_sub(first_ns));
    if elapsed.0 == 0 || elapsed.1 == 0 {
        return now_ticks;
    }
    let ticks_per_ns = elapsed.0 as f64 / elapsed.1 as f64;
    let apart = (at_unix_ns.abs_diff(now_unix_ns) as f64 * ticks_per_ns) as u64;
    match at_unix_ns < now_unix_ns {
        true => now_ticks.saturating_sub(apart),
        false => now_ticks.saturating_add(apart),
    }
}

/// Takes anchors; owned by the worker.
#[derive(Debug)]
pub(crate) struct Anchors {
    first_ticks: u64,
    first_monotonic_ns: u64,
    latest: Anchor,
    latest_monotonic_ns: u64,
}

impl Anchors {
    /// The longest time between two anchors.
    const PERIOD_NS: u64 = 1_000_000_000;
    /// Below this baseline the rate is measured anew at every anchor.
    const BASELINE_NS: u64 = 20_000_000;

    pub(crate) fn new() -> Self {
        let Reading { ticks, monotonic_ns, unix_ns, .. } = Reading::take();
        FIRST.get_or_init(|| (ticks, monotonic_ns));
        let latest = Anchor { ticks, unix_ns, ns_per_tick: Self::nominal_rate() };
        Self {
            first_ticks: ticks,
            first_monotonic_ns: monotonic_ns,
            latest,
            latest_monotonic_ns: monotonic_ns,
        }
    }

    fn nominal_rate() -> f64 {
        if SOURCE.load(Ordering::Relaxed) == COUNTER { 0.4 } else { 1.0 }
    }

    /// The anchor for what is drained now, taken anew when the last one is old or still rough.
    pub(crate) fn current(&mut self) -> Anchor {
        let Reading { ticks, monotonic_ns, unix_ns, .. } = Reading::take();
        let baseline_ns = monotonic_ns.saturating_sub(self.first_monotonic_ns);
        let age_ns = monotonic_ns.saturating_sub(self.latest_monotonic_ns);
        let manual = SOURCE.load(Ordering::Relaxed) == MANUAL;
        if manual || age_ns >= Self::PERIOD_NS / 2 || baseline_ns < Self::BASELINE_NS {
            let elapsed_ticks = ticks.saturating_sub(self.first_ticks);
            let ns_per_tick = if baseline_ns > 1_000 && elapsed_ticks > 0 {
                baseline_ns as f64 / elapsed_ticks as f64
            } else {
                self.latest.ns_per_tick
            };
            self.latest = Anchor { ticks, unix_ns, ns_per_tick };
            self.latest_monotonic_ns = monotonic_ns;
        }
        self.latest
    }
}

/// One moment on all clocks.
struct Reading {
    ticks: u64,
    monotonic_ns: u64,
    unix_ns: u64,
    /// How many ticks it took to read them.
    width: u64,
}

impl Reading {
    /// The narrowest of three: a thread that loses its core between two clocks would tie them
    /// together wrongly, by as long as it was away, until the next anchor.
    fn take() -> Self {
        let mut readings: [Self; 3] = std::array::from_fn(|_| Self::once());
        readings.sort_by_key(|reading| reading.width);
        let [narrowest, ..] = readings;
        narrowest
    }

    fn once() -> Self {
        let begin = ticks();
        let manual = SOURCE.load(Ordering::Relaxed) == MANUAL;
        let monotonic_ns = if manual { begin } else { monotonic_ns() };
        let unix_ns = unix_ns();
        Self { ticks: begin, monotonic_ns, unix_ns, width: ticks().saturating_sub(begin) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_that_took_far_too_long_counts_as_one() {
        let mut patience = Patience::new(Duration::from_micros(1));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(patience.waited(), Duration::from_micros(1));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(patience.waited(), Duration::from_micros(2));
        patience.renew();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(patience.waited(), Duration::from_micros(1));
    }

    #[test]
    fn anchor_converts_both_ways_around_itself() {
        let anchor = Anchor { ticks: 1_000, unix_ns: 50_000, ns_per_tick: 0.5 };
        assert_eq!(anchor.unix_ns(1_000), 50_000);
        assert_eq!(anchor.unix_ns(3_000), 51_000);
        assert_eq!(anchor.unix_ns(0), 49_500);
        assert_eq!(anchor.duration_ns(5, 1), 0, "a later start is no negative duration");
    }

    #[test]
    fn ticks_never_run_backwards_on_a_thread() {
        let mut last = ticks();
        for _ in 0..10_000 {
            let next = ticks();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn anchored_ticks_agree_with_the_wall_clock() {
        let mut anchors = Anchors::new();
        std::thread::sleep(Duration::from_millis(25));
        let anchor = anchors.current();
        // The least of several: the thread may lose its core between the two readings.
        let difference =
            (0..20).map(|_| anchor.unix_ns(ticks()).abs_diff(unix_ns())).min().unwrap();
        assert!(difference < 5_000_000, "{difference} ns apart");
    }
}
