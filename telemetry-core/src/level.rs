//! Severity of an event or span.

use std::fmt;
use std::str::FromStr;

/// How severe an event is, or how detailed a span.
///
/// Ordered by severity: `Level::Trace < Level::Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Very fine detail.
    Trace = 1,
    /// Detail for whoever looks for a fault.
    Debug = 2,
    /// What an operator wants to see in normal running.
    Info = 3,
    /// Something that may become a fault.
    Warn = 4,
    /// A fault.
    Error = 5,
}

impl Level {
    /// All levels, least severe first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The OpenTelemetry severity number: 1, 5, 9, 13, 17 (logs data model, SeverityNumber).
    pub const fn severity_number(self) -> u8 {
        (self as u8 - 1) * 4 + 1
    }

    /// The name in upper case, as `tracing` and OpenTelemetry print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text)).ok_or_else(
            || crate::Error::setting("level", text, "one of trace, debug, info, warn, error"),
        )
    }
}

impl From<tracing_core::Level> for Level {
    fn from(level: tracing_core::Level) -> Self {
        match level {
            tracing_core::Level::TRACE => Self::Trace,
            tracing_core::Level::DEBUG => Self::Debug,
            tracing_core::Level::INFO => Self::Info,
            tracing_core::Level::WARN => Self::Warn,
            tracing_core::Level::ERROR => Self::Error,
        }
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Trace => Self::Trace,
            log::Level::Debug => Self::Debug,
            log::Level::Info => Self::Info,
            log::Level::Warn => Self::Warn,
            log::Level::Error => Self::Error,
        }
    }
}
