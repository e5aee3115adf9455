//! A value that nothing prints.
//!
//! # Invariants
//!
//! - The value is reached through [`Secret::expose`] and [`Secret::into_inner`] only.

use super::REDACTED;
use std::borrow::Cow;
use std::fmt;

/// Holds a secret: whatever prints or records it gets `[redacted]`.
///
/// It stands as a field's value in every macro (`%secret`, `?secret`; as it is in
/// [`event!`](crate::event!) and as a `log` key-value), as a metric's label and a scope's value,
/// and where this library takes secrets as settings. Its memory is not wiped.
///
/// ```
/// use telemetry_core::redaction::Secret;
///
/// let key = Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{key} {key:?}"), "[redacted] [redacted]");
/// assert_eq!(key.expose(), "hunter2");
/// tracing::info!(%key, "connecting");
/// ```
#[derive(Clone, Copy, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, no longer hidden.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl From<Cow<'_, str>> for Secret<String> {
    fn from(value: Cow<'_, str>) -> Self {
        Self(value.into_owned())
    }
}
