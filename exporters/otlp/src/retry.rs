//! What is tried again, and when.
//!
//! # Invariants
//!
//! - Exactly 429, 502, 503 and 504 are tried again, beside connections that failed and answers
//!   that did not come (OTLP specification, "Retryable Response Codes"); over gRPC, the statuses
//!   of its table.
//! - Every wait has a random part, so that clients that failed together do not come back together.
//! - A wait that the server asks for is at most [`RETRY_AFTER_MAX`]; one in the past, zero or
//!   unreadable is as good as none.

use std::time::Duration;

/// The longest wait that a server may ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// May a request with this answer be sent again?
pub(crate) fn is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// May a call that ended with this gRPC status be made again (OTLP specification, "Failures")?
/// `RESOURCE_EXHAUSTED` may only if the server says that it will recover.
#[cfg(feature = "otlp-grpc")]
pub(crate) fn is_retryable_status(code: u32, has_retry_info: bool) -> bool {
    const CANCELLED: u32 = 1;
    const DEADLINE_EXCEEDED: u32 = 4;
    const RESOURCE_EXHAUSTED: u32 = 8;
    const ABORTED: u32 = 10;
    const OUT_OF_RANGE: u32 = 11;
    const UNAVAILABLE: u32 = 14;
    const DATA_LOSS: u32 = 15;
    match code {
        CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => true,
        RESOURCE_EXHAUSTED => has_retry_info,
        _ => false,
    }
}

/// A source of random numbers that needs no dependency.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A source with a seed of its own.
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        // The keys of a `RandomState` come from the operating system.
        Self(std::collections::hash_map::RandomState::new().build_hasher().finish() | 1)
    }

    /// A number from 0 up to 1 (xorshift64*, Vigna 2016).
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The wait after so many failures in a row: doubled each time, up to `max`, ± 50 %.
pub(crate) fn backoff(
    failures: u32,
    initial: Duration,
    max: Duration,
    random: &mut Random,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let nominal = initial.saturating_mul(1 << doublings).min(max);
    nominal.mul_f64(0.5 + random.fraction())
}

/// The part of a request's time that is kept for its last attempt.
pub(crate) fn last_attempt(retry_timeout: Duration) -> Duration {
    (retry_timeout / 10).max(Duration::from_millis(1))
}

/// The wait that a server asked for, and up to a tenth more.
pub(crate) fn throttled(wait: Duration, random: &mut Random) -> Duration {
    wait.mul_f64(1.0 + random.fraction() / 10.0)
}

/// Reads a `Retry-After` header: seconds, or an HTTP date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &[u8], now_unix_s: u64) -> Option<Duration> {
    let text = std::str::from_utf8(value.get(..value.len().min(64))?).ok()?.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<u64>().unwrap_or(u64::MAX)
    } else {
        http_date(text)?.checked_sub(now_unix_s)?
    };
    let wait = Duration::from_secs(seconds).min(RETRY_AFTER_MAX);
    (!wait.is_zero()).then_some(wait)
}

/// Seconds since the Unix epoch of `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may
/// send today.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = text.split_once(", ")?;
    let mut words = date.split(' ');
    let day: u64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar; the year is 1970 or later.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    // The year begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    #[test]
    fn only_four_codes_are_retried() {
        let retried: Vec<u16> = (100..600).filter(|status| is_retryable(*status)).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
    }

    #[cfg(feature = "otlp-grpc")]
    #[test]
    fn statuses_are_retried_by_the_table() {
        let retried = |info| (0..=20).filter(|code| is_retryable_status(*code, info)).collect();
        let (without, with): (Vec<u32>, Vec<u32>) = (retried(false), retried(true));
        assert_eq!(without, [1, 4, 10, 11, 14, 15]);
        assert_eq!(with, [1, 4, 8, 10, 11, 14, 15]);
    }

    #[test]
    fn retry_after_reads_seconds_and_dates_and_nothing_else() {
        let seconds = |text: &str| retry_after(text.as_bytes(), NOW).map(|wait| wait.as_secs());
        for (text, expected) in [
            ("3", Some(3)),
            (" 3 ", Some(3)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("1000000000", Some(300)),
            ("99999999999999999999999999", Some(300)),
            ("Sun, 06 Nov 2094 08:49:36 GMT", Some(300)),
            ("Sun, 06 Nov 1994 24:49:36 GMT", None),
            ("Sun, 06 Abc 1994 08:49:36 GMT", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert_eq!(retry_after(&[b'x'; 10_240], NOW), None);
        assert_eq!(retry_after(&[0xff, 0xfe], NOW), None);
    }

    #[test]
    fn dates_count_leap_days() {
        for (text, unix) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Fri, 01 Mar 2024 12:00:00 GMT", 1_709_294_400),
        ] {
            assert_eq!(http_date(text), Some(unix), "{text}");
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_spread_by_half() {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(30));
        let mut random = Random::new();
        for (failures, nominal) in [(1, 1.0), (2, 2.0), (3, 4.0), (5, 16.0), (6, 30.0), (99, 30.0)]
        {
            let waits: Vec<f64> = (0..500)
                .map(|_| backoff(failures, initial, max, &mut random).as_secs_f64() / nominal)
                .collect();
            assert!(waits.iter().all(|wait| (0.5..1.5).contains(wait)), "{waits:?}");
            let least = waits.iter().copied().fold(f64::MAX, f64::min);
            let most = waits.iter().copied().fold(0.0, f64::max);
            assert!(least < 0.6 && most > 1.4, "{least} to {most}");
        }
    }
}
