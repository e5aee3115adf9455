//! When the next tick is.
//!
//! # Invariants
//!
//! - Ticks lie on `start + n * period`: lateness is never carried over.
//! - The next tick is in the future: however long the thread was away, one tick follows, not many.

use std::time::{Duration, Instant};

/// Returns the tick after `previous` that is later than `now`, and how many lie between the two.
pub(crate) fn next_tick(previous: Instant, now: Instant, period: Duration) -> (Instant, u64) {
    let late = now.saturating_duration_since(previous);
    if late < period {
        return (previous + period, 0);
    }
    let into_period = late.as_nanos() % period.as_nanos();
    let missed = late.as_nanos() / period.as_nanos();
    // A remainder of a period, which is at most a day.
    let into_period = Duration::from_nanos(u64::try_from(into_period).unwrap_or(0));
    (now + (period - into_period), u64::try_from(missed).unwrap_or(u64::MAX))
}

/// Reads the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the only clock read of the poller")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(10);

    #[test]
    fn late_poll_does_not_move_the_next_tick() {
        let start = now();
        let late = start + Duration::from_millis(300);
        assert_eq!(next_tick(start, late, PERIOD), (start + PERIOD, 0));
    }

    #[test]
    fn suspend_is_followed_by_one_tick_on_the_grid() {
        let start = now();
        let away = start + PERIOD * 400 + Duration::from_secs(3);
        assert_eq!(next_tick(start, away, PERIOD), (start + PERIOD * 401, 400));
        assert_eq!(next_tick(start, start + PERIOD, PERIOD), (start + PERIOD * 2, 1));
    }

    proptest! {
        #[test]
        fn next_tick_is_the_first_of_the_grid_after_now(
            period_ms in 10..86_400_000_u64,
            late_ns in 0..10_000_000_000_000_u64,
        ) {
            let (start, period) = (now(), Duration::from_millis(period_ms));
            let at = start + Duration::from_nanos(late_ns);
            let (tick, missed) = next_tick(start, at, period);
            prop_assert!(tick > at && tick <= at + period);
            let periods = (tick - start).as_nanos() / period.as_nanos();
            prop_assert_eq!((tick - start).as_nanos() % period.as_nanos(), 0);
            prop_assert_eq!(periods, u128::from(missed) + 1);
        }
    }
}
