//! How many events a call site may emit, so that a storm from one does not drown the others.
//!
//! A call site's meter is one number (GCRA, "generic cell rate algorithm", ITU-T I.371): the moment
//! at which its next event would be due if they came evenly at the rate. An event that comes so far
//! ahead of it that the burst is used up is suppressed: it is counted where it is, and the worker
//! tells of it.
//!
//! # Invariants
//!
//! - An event that is admitted costs one read-modify-write of its call site's own; one that is
//!   suppressed moves nothing that events which are admitted wait for.
//! - In a time t a call site emits at most `burst + rate * t` events.
//! - Every event that is suppressed is in exactly one harvest of its meter.

use crate::clock::Anchor;
use crate::error::Error;
use crate::level::Level;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const RATE_MAX: u32 = 1_000_000;
const BURST_MAX: u32 = 100_000_000;
const EXCEPTIONS_MAX: usize = 64;
/// A pace that differs by less than one part in so many is kept.
const PACE_STEP: u64 = 1_000;

/// How many events a call site may emit: so many a second in the long run, and so many at once.
///
/// An event beyond that is suppressed. It is counted in the ledger, by the cause `rate_limited`,
/// for each exporter that wanted it, and a record of target `telemetry` tells how many events of
/// which call site were suppressed in what time. Spans are not limited: a sampler is for them.
///
/// ```
/// use telemetry_core::pipeline::RateLimit;
///
/// let limit = RateLimit::per_second(500).burst(20_000).except("audit");
/// assert_eq!(limit.to_string(), "500:20000,audit=off");
/// assert_eq!("500:20000,audit=off".parse::<RateLimit>()?, limit);
/// # Ok::<(), telemetry_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    rate: u32,
    burst: u32,
    errors: bool,
    exceptions: Vec<String>,
}

impl RateLimit {
    /// So many events a second, from 1 to 1,000,000, and ten times as many at once.
    pub fn per_second(rate: u32) -> Self {
        Self { rate, burst: rate.saturating_mul(10), errors: false, exceptions: Vec::new() }
    }

    /// How many events may come at once, after a silence; from 1 to 100,000,000.
    #[must_use]
    pub fn burst(mut self, events: u32) -> Self {
        self.burst = events;
        self
    }

    /// Limits events of level `error`, too: without this they are never suppressed.
    #[must_use]
    pub fn with_errors(mut self) -> Self {
        self.errors = true;
        self
    }

    /// Leaves a target alone, and what is below it; at most 64 of them.
    #[must_use]
    pub fn except(mut self, target: impl Into<String>) -> Self {
        self.exceptions.push(target.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_within = |value: u32, most: u32| (1..=most).contains(&value);
        if !is_within(self.rate, RATE_MAX) {
            return Err(Error::setting("rate_limit", self.rate, "from 1 to 1000000 a second"));
        }
        if !is_within(self.burst, BURST_MAX) {
            return Err(Error::setting("rate_limit", self.burst, "from 1 to 100000000 at once"));
        }
        if self.exceptions.len() > EXCEPTIONS_MAX {
            let value = format!("{} exceptions", self.exceptions.len());
            return Err(Error::setting("rate_limit", value, "at most 64 of them"));
        }
        Ok(())
    }

    /// Does it hold for events of this target and level?
    pub(crate) fn holds_for(&self, target: &str, level: Level) -> bool {
        let is_below = |exception: &String| {
            let rest = target.strip_prefix(exception.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        (self.errors || level != Level::Error) && !self.exceptions.iter().any(is_below)
    }

    /// Lets meters run at this rate, as far as the anchor knows how fast ticks go.
    pub(crate) fn set_pace(&self, anchor: &Anchor) {
        let interval = (anchor.ticks_in(Duration::from_secs(1)) / u64::from(self.rate)).max(1);
        let before = INTERVAL.load(Ordering::Relaxed);
        // What is measured a little better now would make a burst a little longer or shorter.
        if before.abs_diff(interval) * PACE_STEP <= interval {
            return;
        }
        let tolerance = interval.saturating_mul(u64::from(self.burst) - 1);
        TOLERANCE.store(tolerance, Ordering::Relaxed);
        // Release: whoever sees the interval sees the tolerance. An interval without one would
        // suppress what comes second.
        INTERVAL.store(interval, Ordering::Release);
    }

    /// Lets meters admit everything, until the pace is set.
    pub(crate) fn unset_pace() {
        // The tolerance stays: a meter may have read the interval already.
        INTERVAL.store(0, Ordering::Relaxed);
    }

    /// What a summary says of it.
    pub(crate) fn rule(&self) -> String {
        format!("a call site may emit {} events a second, {} at once", self.rate, self.burst)
    }
}

impl Default for RateLimit {
    /// 1,000 a second and 10,000 at once.
    fn default() -> Self {
        Self::per_second(1_000)
    }
}

impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.rate, self.burst)?;
        for exception in &self.exceptions {
            write!(f, ",{exception}=off")?;
        }
        f.write_str(if self.errors { ",errors=on" } else { "" })
    }
}

impl std::str::FromStr for RateLimit {
    type Err = Error;

    /// Reads `RATE`, `RATE:BURST`, and behind them `TARGET=off` and `errors=on`, separated by
    /// commas.
    ///
    /// # Errors
    ///
    /// It is something else, or beyond a limit.
    fn from_str(text: &str) -> Result<Self, Error> {
        let right = "`RATE` or `RATE:BURST`, events a second and at once, with `TARGET=off` and \
                     `errors=on` behind it";
        let wrong = || Error::setting("rate_limit", text, right);
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let mut parts = text.split(',').map(str::trim);
        let (rate, burst) = match parts.next().unwrap_or_default().split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text.split(',').next().unwrap_or_default(), None),
        };
        let mut limit = Self::per_second(number(rate)?);
        if let Some(burst) = burst {
            limit = limit.burst(number(burst)?);
        }
        for part in parts.filter(|part| !part.is_empty()) {
            limit = match part.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("errors", "on")) => limit.with_errors(),
                Some(("errors", "off")) => limit,
                Some((target, "off")) if !target.is_empty() => limit.except(target),
                _ => return Err(wrong()),
            };
        }
        limit.check().map(|()| limit)
    }
}

/// The ticks from one event to the next at the rate; 0 = no limit is set.
static INTERVAL: AtomicU64 = AtomicU64::new(0);
/// How many ticks ahead of its time the last event of a burst may come.
static TOLERANCE: AtomicU64 = AtomicU64::new(0);

/// What a call site has emitted lately, and what was suppressed.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Meter {
    /// The tick at which the next event is due.
    due: AtomicU64,
    suppressed: AtomicU64,
    /// The tick of the first one of those.
    since: AtomicU64,
    /// Epoch << 32 | the sinks that wanted them.
    takers: AtomicU64,
}

/// What was suppressed since the last harvest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Harvest {
    pub(crate) count: u64,
    pub(crate) since: u64,
    pub(crate) epoch: u8,
    pub(crate) sinks: u32,
}

impl Meter {
    /// May an event be emitted now?
    #[inline]
    pub(crate) fn admits(&self, ticks: u64) -> bool {
        // Acquire: the tolerance is the interval's.
        let interval = INTERVAL.load(Ordering::Acquire);
        self.admits_at(ticks, interval, TOLERANCE.load(Ordering::Relaxed))
    }

    #[inline]
    fn admits_at(&self, ticks: u64, interval: u64, tolerance: u64) -> bool {
        if interval == 0 {
            // Without a limit it keeps no time: ticks of two threads come in any order.
            return true;
        }
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            if due > ticks.saturating_add(tolerance) {
                return false;
            }
            let next = due.max(ticks).saturating_add(interval);
            // Relaxed: the number is the whole message.
            match self.due.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => due = seen,
            }
        }
    }

    /// Notes an event that was suppressed; `true` when it is the first one since the last harvest.
    pub(crate) fn suppress(&self, ticks: u64, epoch: u8, sinks: u32) -> bool {
        let wanted = u64::from(epoch) << 32 | u64::from(sinks);
        let with_wanted = |takers: u64| {
            let is_ours = takers >> 32 == wanted >> 32;
            let both = if is_ours { takers | wanted } else { wanted };
            (both != takers).then_some(both)
        };
        // Mostly it is among them. An error of the update says just that.
        if with_wanted(self.takers.load(Ordering::Relaxed)).is_some() {
            let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.takers.fetch_update(set, fetch, with_wanted);
        }
        // Release: whoever harvests it finds the takers.
        let is_first = self.suppressed.fetch_add(1, Ordering::Release) == 0;
        if is_first {
            self.since.store(ticks, Ordering::Relaxed);
        }
        is_first
    }

    /// Takes what was suppressed.
    pub(crate) fn harvest(&self) -> Harvest {
        let since = self.since.load(Ordering::Relaxed);
        let count = self.suppressed.swap(0, Ordering::Acquire);
        // They are not taken: an event that is being noted may have found itself among them.
        let takers = self.takers.load(Ordering::Relaxed);
        Harvest { count, since, epoch: (takers >> 32) as u8, sinks: takers as u32 }
    }

    /// Gives it the whole burst again.
    pub(crate) fn renew(&self) {
        self.due.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn burst_passes_at_once_and_the_rate_in_the_long_run() {
        let meter = Meter::default();
        let (interval, burst) = (10, 5);
        let admitted = |at: u64, events: u64| {
            (0..events).filter(|_| meter.admits_at(at, interval, interval * (burst - 1))).count()
        };
        assert_eq!(admitted(1_000, 20), 5);
        assert_eq!(admitted(1_009, 20), 0, "an interval is not over");
        assert_eq!(admitted(1_010, 20), 1);
        assert_eq!(admitted(1_045, 20), 3);
        assert_eq!(admitted(9_000, 20), 5, "no more than a burst, however long the silence");
    }

    #[test]
    fn meter_without_a_limit_admits_events_in_any_order() {
        let meter = Meter::default();
        for ticks in [2_000, 1_000, 3_000, 1] {
            assert!(meter.admits_at(ticks, 0, 0), "{ticks}");
        }
    }

    proptest! {
        /// The oracle is a bucket of tokens, in fractions of an interval.
        #[test]
        fn meter_admits_what_a_token_bucket_does(
            interval in 1_u64..50,
            burst in 1_u64..20,
            steps in proptest::collection::vec(0_u64..60, 1..200),
        ) {
            let meter = Meter::default();
            let (mut now, mut tokens) = (1_000_u64, burst * interval);
            for step in steps {
                now += step;
                tokens = (tokens + step).min(burst * interval);
                let expected = tokens >= interval;
                if expected {
                    tokens -= interval;
                }
                prop_assert_eq!(
                    meter.admits_at(now, interval, interval * (burst - 1)), expected, "at {}", now
                );
            }
        }
    }

    #[test]
    fn threads_together_are_admitted_as_one() {
        let meter = Meter::default();
        let (admitted, suppressed) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for tick in 1..=10_000_u64 {
                        let counter = match meter.admits_at(tick, 10, 10 * 99) {
                            true => &admitted,
                            false => {
                                meter.suppress(tick, 3, 1 << (tick % 2));
                                &suppressed
                            }
                        };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let admitted = admitted.into_inner();
        assert!((100..=1_100).contains(&admitted), "{admitted}");
        let harvest = meter.harvest();
        assert_eq!(harvest.count, suppressed.into_inner());
        assert_eq!((harvest.epoch, harvest.sinks), (3, 0b11));
        assert_eq!(meter.harvest().count, 0);
        assert!(meter.suppress(20_000, 4, 1), "the first one after a harvest");
        assert_eq!(meter.harvest(), Harvest { count: 1, since: 20_000, epoch: 4, sinks: 1 });
    }

    #[test]
    fn errors_and_exceptions_are_left_alone() {
        let limit: RateLimit = "5, audit=off".parse().unwrap();
        assert_eq!(limit, RateLimit::per_second(5).except("audit"));
        for (target, level, expected) in [
            ("app", Level::Info, true),
            ("app", Level::Error, false),
            ("audit", Level::Info, false),
            ("audit::db", Level::Info, false),
            ("auditor", Level::Info, true),
        ] {
            assert_eq!(limit.holds_for(target, level), expected, "{target} {level}");
        }
        assert!(limit.with_errors().holds_for("app", Level::Error));
    }

    #[test]
    fn what_is_no_limit_is_refused_with_its_text() {
        for text in ["", "x", "0", "5:0", "2000000", "5:x", "5,audit", "5,=off", "5,a=on"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
        assert_eq!("5,errors=off,".parse::<RateLimit>().unwrap(), RateLimit::per_second(5));
        let error = "fast".parse::<RateLimit>().unwrap_err().to_string();
        assert!(error.contains("`fast`") && error.contains("RATE:BURST"), "{error}");
    }
}
