//! Wall time as text: `2026-11-22T09:00:00.123456Z`.
//!
//! # Invariants
//!
//! - RFC 3339 in UTC with exactly six digits of a second, as `tracing` prints it: texts of equal
//!   length sort by time. Nanoseconds are cut, not rounded, so a second never shows 60.
//! - Every `u64` of nanoseconds since the Unix epoch has a text (the last is in 2554).
//! - The calendar is computed once a second, not once a record.

/// The length of every text, in bytes.
pub const TIME_TEXT_BYTES: usize = 27;

/// Prints times, and remembers the second that it printed last.
///
/// ```
/// use telemetry_core::time_text::TimeText;
///
/// let mut time = TimeText::new();
/// let mut line = Vec::new();
/// time.put(1_795_338_000_123_456_789, &mut line);
/// assert_eq!(line, b"2026-11-22T09:00:00.123456Z");
/// ```
#[derive(Debug, Clone)]
pub struct TimeText {
    second: u64,
    /// All but the fraction of the second.
    text: [u8; 20],
}

impl Default for TimeText {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeText {
    /// A printer that has printed nothing yet.
    pub const fn new() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00." }
    }

    /// Appends the text of a time in nanoseconds since the Unix epoch.
    #[inline]
    pub fn put(&mut self, unix_ns: u64, out: &mut Vec<u8>) {
        let second = unix_ns / 1_000_000_000;
        if second != self.second {
            self.turn_to(second);
        }
        out.extend_from_slice(&self.text);
        // In one word and from there in one store: copying bytes that were just stored one by one
        // makes the processor wait until they are in its cache.
        let micros = unix_ns % 1_000_000_000 / 1_000;
        let fraction = two_digits(micros / 10_000)
            | two_digits(micros / 100 % 100) << 16
            | two_digits(micros % 100) << 32
            | u64::from(b'Z') << 48;
        out.extend_from_slice(&fraction.to_le_bytes()[..TIME_TEXT_BYTES - self.text.len()]);
    }

    #[cold]
    fn turn_to(&mut self, second: u64) {
        let (days, rest) = ((second / 86_400) as u32, second % 86_400);
        let (year, month, day) = civil_date(days);
        let numbers = [
            (0, u64::from(year / 100)),
            (2, u64::from(year % 100)),
            (5, u64::from(month)),
            (8, u64::from(day)),
            (11, rest / 3_600),
            (14, rest / 60 % 60),
            (17, rest % 60),
        ];
        for (at, number) in numbers {
            self.text[at..at + 2].copy_from_slice(&two_digits(number).to_le_bytes()[..2]);
        }
        self.second = second;
    }
}

/// The digits of a number below 100, the first one lowest.
#[inline(always)]
fn two_digits(number: u64) -> u64 {
    number / 10 + ((number % 10) << 8) + 0x3030
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01.
///
/// Counts in years that begin in March, so that the leap day is a year's last day, and months are
/// 153 days per five of them: then every step is one division.
fn civil_date(days: u32) -> (u32, u32, u32) {
    const DAYS_TO_1970: u32 = 719_468; // from 0000-03-01
    const DAYS_IN_400_YEARS: u32 = 146_097;
    let day = days + DAYS_TO_1970;
    let (era, day_of_era) = (day / DAYS_IN_400_YEARS, day % DAYS_IN_400_YEARS);
    // Leave out the leap days: one in 4 years, none in 100, one in 400.
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524
        - day_of_era / (DAYS_IN_400_YEARS - 1))
        / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days_in(year: u32, month: u32) -> u32 {
        match month {
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    #[test]
    fn every_day_that_a_u64_reaches_is_the_day_after_the_one_before() {
        let last = (u64::MAX / 1_000_000_000 / 86_400) as u32;
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=last {
            assert_eq!(civil_date(days), (year, month, day), "day {days}");
            day += 1;
            if day > days_in(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn limits_and_known_times_have_their_text() {
        let mut time = TimeText::new();
        let mut text = |ns| {
            let mut text = Vec::new();
            time.put(ns, &mut text);
            assert_eq!(text.len(), TIME_TEXT_BYTES);
            String::from_utf8_lossy(&text).into_owned()
        };
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_400_000_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(1_795_338_000_123_456_789), "2026-11-22T09:00:00.123456Z");
        assert_eq!(text(1_795_338_000_999_999_999), "2026-11-22T09:00:00.999999Z");
        assert_eq!(text(u64::MAX), "2554-07-21T23:34:33.709551Z");
        assert_eq!(text(999), "1970-01-01T00:00:00.000000Z", "back to the first second");
    }

    proptest::proptest! {
        #[test]
        fn clock_part_is_the_rest_of_the_day(unix_ns: u64) {
            let micros = unix_ns / 1_000;
            let expected = format!(
                "T{:02}:{:02}:{:02}.{:06}Z",
                micros / 3_600_000_000 % 24,
                micros / 60_000_000 % 60,
                micros / 1_000_000 % 60,
                micros % 1_000_000,
            );
            let mut text = Vec::new();
            TimeText::new().put(unix_ns, &mut text);
            proptest::prop_assert_eq!(&text[10..], expected.as_bytes());
        }
    }
}
