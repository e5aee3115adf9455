//! Settings that know where they come from.
//!
//! # Invariants
//!
//! - A value and its origin change together: there is no way to set one without the other.

use std::fmt;
use std::ops::Deref;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The program, through [`Builder`](crate::Builder).
    Program,
    /// A variable of the environment.
    Variable(&'static str),
}

impl fmt::Display for Origin {
    /// `default`, `program`, or the variable's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Program => "program",
            Self::Variable(name) => name,
        })
    }
}

/// A value, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    value: T,
    origin: Origin,
}

impl<T> Setting<T> {
    /// A value that nobody has set.
    pub(crate) const fn new(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    pub(crate) const fn from(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// The program says so.
    pub(crate) fn set(&mut self, value: T) {
        *self = Self::from(value, Origin::Program);
    }

    /// A variable of the environment says so, if it says anything.
    pub(crate) fn read(&mut self, said: Option<T>, variable: &'static str) {
        if let Some(value) = said {
            *self = Self::from(value, Origin::Variable(variable));
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
