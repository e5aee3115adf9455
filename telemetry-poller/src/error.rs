//! What can go wrong between a user and the poller.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::poller::{PERIOD_MAX, PERIOD_MIN};

/// Says why the poller could not start, answer or stop.
#[derive(Debug)]
pub struct Error(pub(crate) ErrorKind);

#[derive(Debug)]
pub(crate) enum ErrorKind {
    Period(Duration),
    Name(String),
    Thread(io::Error),
    OwnThread,
    Timeout(Duration),
    Stopped,
}

impl Error {
    /// Returns whether a setting of the builder is wrong.
    pub fn is_setting(&self) -> bool {
        matches!(self.0, ErrorKind::Period(_) | ErrorKind::Name(_))
    }

    /// Returns whether the poller did not answer in time: a measurement runs too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, ErrorKind::Timeout(_))
    }

    /// Returns whether the call came from a measurement or callback of the poller itself, which
    /// cannot wait for its own thread.
    pub fn is_own_thread(&self) -> bool {
        matches!(self.0, ErrorKind::OwnThread)
    }

    /// Returns whether the poller's thread has ended.
    pub fn is_stopped(&self) -> bool {
        matches!(self.0, ErrorKind::Stopped)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ErrorKind::Period(period) if *period > PERIOD_MAX => {
                write!(f, "`poller.period` is {period:?}, but must be at most {PERIOD_MAX:?}")
            }
            ErrorKind::Period(period) => {
                write!(f, "`poller.period` is {period:?}, but must be at least {PERIOD_MIN:?}")
            }
            ErrorKind::Name(name) if name.is_empty() => {
                f.write_str("`poller.measure` has an empty name, but must name the measurement")
            }
            ErrorKind::Name(name) => {
                write!(
                    f,
                    "`poller.measure` has two measurements named `{name}`, but each needs its own"
                )
            }
            ErrorKind::Thread(_) => f.write_str("cannot start the thread `telemetry-poller`"),
            ErrorKind::OwnThread => {
                f.write_str("the poller cannot wait for its own thread, which made this call")
            }
            ErrorKind::Timeout(limit) => {
                write!(f, "the poller did not answer within {limit:?}: a measurement runs too long")
            }
            ErrorKind::Stopped => f.write_str("the poller has stopped"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            ErrorKind::Thread(source) => Some(source),
            _ => None,
        }
    }
}
