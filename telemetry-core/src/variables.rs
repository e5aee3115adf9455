//! The process's environment variables, read so that none is silently ignored.
//!
//! # Invariants
//!
//! - A variable that is no UTF-8 is an error that names it, and counts as unset; its value is shown
//!   to nobody, because it may be a secret.

use crate::error::Error;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env::VarError;

/// Lets `read` look variables up, and returns an error for each that it asked for and that is no
/// UTF-8.
///
/// ```
/// use telemetry_core::variables;
///
/// let (home, errors) = variables::read(|variable| variable("HOME"));
/// assert!(home.is_some() || errors.len() <= 1);
/// ```
pub fn read<R>(read: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> R) -> (R, Vec<Error>) {
    let unreadable = RefCell::new(BTreeSet::new());
    let variable = |name: &str| match std::env::var(name) {
        Ok(value) => Some(value),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(_)) => {
            unreadable.borrow_mut().insert(name.to_owned());
            None
        }
    };
    let result = read(&variable);
    let error = |name: String| Error::setting(&name, "…", "UTF-8");
    (result, unreadable.into_inner().into_iter().map(error).collect())
}
