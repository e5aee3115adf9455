//! The attributes of a series: sorted, deduplicated, typed, cheap to clone.
//!
//! # Invariants
//!
//! - Keys are in ascending order and occur once; of equal keys the last given wins.
//! - Two sets with the same pairs are equal whatever the order they were given in.
//! - Values keep their type: `true` and `"true"` are different series.
//! - The value of a key that names a secret is `[redacted]` from the start, and no text holds the
//!   user information of a URL ([`crate::redaction`]).

use crate::redaction::{self, REDACTED, Secret};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Holds one attribute value.
///
/// Floats are compared and ordered by [`f64::total_cmp`], so that a set that holds `NaN` still
/// finds its own series.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// Text.
    Str(Cow<'static, str>),
    /// A signed integer.
    I64(i64),
    /// A float.
    F64(f64),
    /// A boolean.
    Bool(bool),
}

impl Value {
    fn rank(&self) -> u8 {
        match self {
            Self::Str(_) => 0,
            Self::I64(_) => 1,
            Self::F64(_) => 2,
            Self::Bool(_) => 3,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::I64(a), Self::I64(b)) => a.cmp(b),
            (Self::F64(a), Self::F64(b)) => a.total_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(v) => f.write_str(v),
            Self::I64(v) => v.fmt(f),
            Self::F64(v) => v.fmt(f),
            Self::Bool(v) => v.fmt(f),
        }
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Str(Cow::Borrowed(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(Cow::Owned(value))
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(value: Cow<'static, str>) -> Self {
        Self::Str(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::I64(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::I64(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T> From<Secret<T>> for Value {
    fn from(_: Secret<T>) -> Self {
        Self::Str(Cow::Borrowed(REDACTED))
    }
}

type Pair = (Cow<'static, str>, Value);

/// The pair without its secrets.
fn pair(key: Cow<'static, str>, value: Value) -> Pair {
    if redaction::is_secret(&key) {
        return (key, Value::Str(Cow::Borrowed(REDACTED)));
    }
    let clean = match &value {
        Value::Str(text) => redaction::without_user_information(text),
        _ => None,
    };
    (key, clean.map_or(value, Value::from))
}

/// Names one series of a metric: a set of attributes.
///
/// Cloning copies a pointer. Metric attributes are exempt from attribute limits; the number of
/// *sets* is what the registry bounds (OpenTelemetry metrics SDK, cardinality limits). Values of
/// keys that name secrets are `[redacted]`: see [`redaction`].
///
/// ```
/// use telemetry_core::metric::Labels;
///
/// let a = Labels::from([("route", "/users"), ("method", "GET")]);
/// let b = Labels::new().with("method", "GET").with("route", "/users");
/// assert_eq!(a, b, "the order of the pairs does not make another series");
/// assert_ne!(Labels::new().with("ok", true), Labels::new().with("ok", "true"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Option<Arc<[Pair]>>);

impl Labels {
    /// Makes the empty set; does not allocate.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Returns the set with `key` set to `value`, replacing an earlier value of `key`.
    #[must_use]
    pub fn with(self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        let pair = pair(key.into(), value.into());
        Self::of(self.pairs().iter().cloned().chain([pair]).collect())
    }

    /// The set by the names that hold now; `None` = it is the same.
    pub(crate) fn redacted_again(&self) -> Option<Self> {
        let is_new = |(key, value): &Pair| {
            let is_redacted = matches!(value, Value::Str(text) if text == REDACTED);
            !is_redacted && redaction::is_secret(key)
        };
        self.pairs().iter().any(is_new).then(|| self.pairs().iter().cloned().collect())
    }

    fn of(mut pairs: Vec<Pair>) -> Self {
        // Reversed first, so that the stable sort leaves the last given of equal keys in front,
        // where `dedup` keeps it.
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|a, b| a.0 == b.0);
        if pairs.is_empty() { Self::new() } else { Self(Some(pairs.into())) }
    }

    /// Returns the number of attributes.
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    /// Returns whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let pairs = self.pairs();
        pairs.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|at| &pairs[at].1)
    }

    /// Iterates over the pairs in ascending order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.pairs().iter().map(|(key, value)| (&**key, value))
    }

    /// Returns these labels and `others`, which win where both have a key.
    pub(crate) fn overridden_by(&self, others: &Self) -> Self {
        Self::of(self.pairs().iter().chain(others.pairs()).cloned().collect())
    }

    /// Returns the pairs that `keep` accepts.
    pub(crate) fn retained(&self, keep: impl Fn(&str, &Value) -> bool) -> Self {
        Self::of(self.pairs().iter().filter(|(key, value)| keep(key, value)).cloned().collect())
    }

    pub(super) fn pairs(&self) -> &[Pair] {
        self.0.as_deref().unwrap_or(&[])
    }
}

impl fmt::Debug for Labels {
    /// By the names that hold now.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = self.redacted_again();
        f.debug_map().entries(clean.as_ref().unwrap_or(self).iter()).finish()
    }
}

impl<K: Into<Cow<'static, str>>, V: Into<Value>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::of(pairs.into_iter().map(|(key, value)| pair(key.into(), value.into())).collect())
    }
}

impl<K: Into<Cow<'static, str>>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Labels {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl From<()> for Labels {
    fn from((): ()) -> Self {
        Self::new()
    }
}

impl From<&Labels> for Labels {
    fn from(labels: &Labels) -> Self {
        labels.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_of_equal_keys_wins() {
        let labels = Labels::from([("b", 1), ("a", 2), ("b", 3)].map(|(k, v): (_, i64)| (k, v)));
        assert_eq!(labels.len(), 2);
        assert_eq!(labels.get("b"), Some(&Value::I64(3)));
        assert_eq!(labels.iter().map(|(k, _)| k).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn type_of_a_value_makes_another_set() {
        let of = |value: Value| Labels::new().with("k", value);
        assert_ne!(of(true.into()), of("true".into()));
        assert_ne!(of(1.into()), of(1.0.into()));
        assert_eq!(of(f64::NAN.into()), of(f64::NAN.into()));
    }

    #[test]
    fn secrets_are_redacted_from_the_start() {
        let text = |labels: Labels, key: &str| labels.get(key).map(ToString::to_string);
        let labels = Labels::from([("api_key", "k"), ("url", "http://u:p@host"), ("n", "k")]);
        assert_eq!(text(labels.clone(), "api_key").as_deref(), Some("[redacted]"));
        assert_eq!(text(labels.clone(), "url").as_deref(), Some("http://[redacted]@host"));
        assert_eq!(text(labels, "n").as_deref(), Some("k"));
        let labels = Labels::new().with("token", 7).with("n", Secret::new(7));
        assert_eq!(
            format!("{labels:?}"),
            r#"{"n": Str("[redacted]"), "token": Str("[redacted]")}"#
        );
    }

    #[test]
    fn empty_sets_are_equal_however_made() {
        assert_eq!(Labels::from(()), Vec::<(&str, i64)>::new().into_iter().collect());
        assert!(Labels::new().is_empty());
        assert_eq!(Labels::new().get("k"), None);
    }
}
