//! How a record's time is told.

/// How a record's time is told; never in [`Style::Journald`](crate::Style), which has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Time {
    /// As date and time in UTC, in the pretty style as the time of the day.
    #[default]
    Utc,
    /// As seconds since the exporter was built: `+12.345s`. In `logfmt` as [`Time::Utc`], because
    /// a program that reads lines of several processes needs it.
    SinceStart,
    /// Not at all.
    Off,
}
