//! What can be wrong with a request to a registry.

use std::fmt;

/// Says why a registry refused a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    name: String,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    Buckets,
    InUse,
    Full,
    Pattern,
    Timeout,
    Forked,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, name: &str, text: impl Into<String>) -> Self {
        Self { kind, name: name.to_owned(), text: text.into() }
    }

    /// Returns the name of the metric, or of what else was set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the bounds themselves are wrong: none, too many, not ascending, not finite.
    pub fn is_invalid_buckets(&self) -> bool {
        self.kind == ErrorKind::Buckets
    }

    /// Returns whether the metric already has series, or is not a histogram.
    pub fn is_in_use(&self) -> bool {
        self.kind == ErrorKind::InUse
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.text)
    }
}

impl std::error::Error for Error {}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        Self::wrong_setting(error.to_string())
    }
}
