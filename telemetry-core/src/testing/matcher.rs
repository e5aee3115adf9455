//! What a value has to be, for assertions.
//!
//! # Invariants
//!
//! - Numbers are compared by value, whatever their types; a text also matches what was formatted
//!   (`%`, `?`), and an error by its own text or by that of its whole chain.

use super::memory::OwnedValue;
use std::fmt;

type Test = Box<dyn Fn(&OwnedValue) -> bool + Send + Sync>;

/// What a value has to be: a value that it equals, or a condition.
///
/// ```
/// use telemetry_core::{assert_event, testing};
///
/// let captured = testing::capture();
/// tracing::info!(path = "/users/7", bytes = 512, "sent");
/// assert_event!(captured, path = testing::contains("/users"), bytes = testing::any());
/// let large = testing::matching("more than 100", |value| value.as_i128() > Some(100));
/// assert_event!(captured, message: "sent", bytes = large);
/// ```
pub struct Matcher {
    description: String,
    test: Test,
}

impl Matcher {
    /// Is the value as it has to be?
    pub fn matches(&self, value: &OwnedValue) -> bool {
        (self.test)(value)
    }

    pub(super) fn matches_text(&self, text: &str) -> bool {
        self.matches(&OwnedValue::Text(text.to_owned()))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

/// Matches what satisfies a condition; `description` is what a failing assertion says of it.
pub fn matching(
    description: impl Into<String>,
    test: impl Fn(&OwnedValue) -> bool + Send + Sync + 'static,
) -> Matcher {
    Matcher { description: description.into(), test: Box::new(test) }
}

/// Matches everything: the field has to be there.
pub fn any() -> Matcher {
    matching("(anything)", |_| true)
}

/// Matches texts with `part` in them.
pub fn contains(part: impl Into<String>) -> Matcher {
    let part = part.into();
    matching(format!("(a text with {part:?} in it)"), move |value| {
        texts_of(value).iter().any(|text| text.contains(&part))
    })
}

/// The texts that a value may be meant by.
fn texts_of(value: &OwnedValue) -> Vec<String> {
    match value {
        OwnedValue::Text(text) => vec![text.clone()],
        OwnedValue::Error(chain) => {
            chain.first().cloned().into_iter().chain([chain.join(": ")]).collect()
        }
        _ => Vec::new(),
    }
}

impl From<String> for Matcher {
    fn from(expected: String) -> Self {
        matching(format!("{expected:?}"), move |value| texts_of(value).contains(&expected))
    }
}

impl From<&String> for Matcher {
    fn from(expected: &String) -> Self {
        expected.clone().into()
    }
}

impl From<&str> for Matcher {
    fn from(expected: &str) -> Self {
        expected.to_owned().into()
    }
}

impl From<bool> for Matcher {
    fn from(expected: bool) -> Self {
        matching(expected.to_string(), move |value| *value == OwnedValue::Bool(expected))
    }
}

impl From<f64> for Matcher {
    fn from(expected: f64) -> Self {
        matching(format!("{expected:?}"), move |value| *value == OwnedValue::F64(expected))
    }
}

impl From<f32> for Matcher {
    fn from(expected: f32) -> Self {
        f64::from(expected).into()
    }
}

impl From<u128> for Matcher {
    fn from(expected: u128) -> Self {
        match i128::try_from(expected) {
            Ok(expected) => expected.into(),
            Err(_) => {
                let test = move |value: &OwnedValue| *value == OwnedValue::U128(expected);
                matching(expected.to_string(), test)
            }
        }
    }
}

impl From<i128> for Matcher {
    fn from(expected: i128) -> Self {
        matching(expected.to_string(), move |value| value.as_i128() == Some(expected))
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Matcher {
            fn from(expected: $integer) -> Self {
                // Lossless: `usize` has at most 64 bits.
                (expected as i128).into()
            }
        }
    )*};
}

from_integers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);
