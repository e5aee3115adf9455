//! Carriers: where the headers of a request, or an environment, are read and written.
//!
//! # Invariants
//!
//! - Names are compared without regard to case, as in HTTP; all values of a repeated name are read.
//! - Writing a name replaces its values.

use std::collections::HashMap;
use std::fmt;
use std::process::Command;

/// What headers are read from.
pub trait Extract {
    /// All values under a name, in order; a value that is no text shows as one that no grammar
    /// allows (such as U+FFFD), so that a repeated header is not taken for a single one.
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str>;
}

/// What headers are written to.
pub trait Inject {
    /// Sets a name's value.
    fn set(&mut self, name: &'static str, value: String);
}

impl<S> Extract for HashMap<String, String, S> {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        pairs(self.iter(), name)
    }
}

impl<S: std::hash::BuildHasher> Inject for HashMap<String, String, S> {
    fn set(&mut self, name: &'static str, value: String) {
        self.retain(|other, _| !other.eq_ignore_ascii_case(name));
        self.insert(name.to_owned(), value);
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for [(K, V)] {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        pairs(self.iter().map(|(key, value)| (key, value)), name)
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> Extract for [(K, V); N] {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.as_slice().get_all(name)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for Vec<(K, V)> {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.as_slice().get_all(name)
    }
}

impl Inject for Vec<(String, String)> {
    fn set(&mut self, name: &'static str, value: String) {
        self.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.push((name.to_owned(), value));
    }
}

fn pairs<'a, K: AsRef<str> + 'a, V: AsRef<str> + 'a>(
    pairs: impl Iterator<Item = (&'a K, &'a V)>,
    name: &str,
) -> impl Iterator<Item = &'a str> {
    pairs
        .filter(move |(key, _)| key.as_ref().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_ref())
}

/// The environment that this process was started with, as far as propagation is concerned:
/// `TRACEPARENT`, `TRACESTATE`, `BAGGAGE` (OpenTelemetry, "Environment Variables as Context
/// Propagation Carriers"). An empty variable is an unset one.
#[derive(Clone, Default)]
pub struct Environment(Vec<(&'static str, String)>);

impl fmt::Debug for Environment {
    /// Names only: baggage is what a caller says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")?;
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Environment {
    /// Reads the process's variables.
    pub fn of_process() -> Self {
        let read = |name: &'static str| {
            let value = std::env::var_os(variable_name(name))?.to_string_lossy().into_owned();
            (!value.trim().is_empty()).then_some((name, value))
        };
        Self(super::propagate::FIELDS.into_iter().filter_map(read).collect())
    }
}

impl Extract for Environment {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.get_all(name)
    }
}

/// Sets variables of a process that is to be started.
impl Inject for Command {
    fn set(&mut self, name: &'static str, value: String) {
        self.env(variable_name(name), value);
    }
}

/// A header's name as a variable's: `^[A-Z_][A-Z0-9_]*$`.
pub fn variable_name(name: &str) -> String {
    let mut variable = String::with_capacity(name.len() + 1);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        variable.push('_');
    }
    let known = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    variable.extend(name.chars().map(|letter| known(letter).to_ascii_uppercase()));
    variable
}
