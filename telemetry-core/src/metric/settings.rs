//! What holds for all metrics of a registry: buckets by name, labels, and when idle series go.
//!
//! # Invariants
//!
//! - Of the rules for buckets that match a name, the last one given counts.
//! - A label of a series' own stands above one of the same key for all series.

use std::borrow::Cow;
use std::time::Duration;

use super::error::{Error, ErrorKind};
use super::histogram::Buckets;
use super::labels::{Labels, Value};
use super::name::{NAME_BYTES_MAX, is_name_byte};

/// The shortest time after which a series may count as idle: they are looked at once a second.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Says what holds for all metrics of a [`Registry`](super::Registry).
///
/// ```
/// use std::time::Duration;
/// use telemetry_core::metric::{Buckets, Registry, Settings};
///
/// let registry = Registry::new();
/// let settings = Settings::new()
///     .histogram("http.*", Buckets::exponential())
///     .histogram("db.*.duration", [0.001, 0.01, 0.1])
///     .label("region", "eu")
///     .idle_timeout(Duration::from_secs(600));
/// registry.configure(settings)?;
/// # Ok::<(), telemetry_core::metric::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    rules: Vec<(String, Buckets)>,
    default_buckets: Option<Buckets>,
    pub(super) labels: Labels,
    pub(super) idle_timeout: Option<Duration>,
}

impl Settings {
    /// Leaves everything as it is by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the buckets of all histograms whose name `pattern` matches: `*` stands for any number
    /// of characters, `?` for one. If several match, the last one given counts.
    ///
    /// They hold for metrics that have no series yet: buckets cannot be redistributed.
    #[must_use]
    pub fn histogram(mut self, pattern: impl Into<String>, buckets: impl Into<Buckets>) -> Self {
        self.rules.push((pattern.into(), buckets.into()));
        self
    }

    /// Sets the buckets of all histograms that no pattern matches, in the place of those that suit
    /// their unit ([`DEFAULT_BUCKETS`](super::DEFAULT_BUCKETS)).
    #[must_use]
    pub fn default_buckets(mut self, buckets: impl Into<Buckets>) -> Self {
        self.default_buckets = Some(buckets.into());
        self
    }

    /// Adds a label to every series; a series that has one of the same key keeps its own.
    ///
    /// What belongs to the whole process is better told by its resource, which collectors attach
    /// once to everything.
    #[must_use]
    pub fn label(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.labels = self.labels.with(key, value);
        self
    }

    /// Leaves out a series that nobody has measured for so long, and forgets it if nobody has its
    /// handle: never by default, at least 1 s.
    ///
    /// See [`Registry::expire`](super::Registry::expire) for what happens to its value.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Checks patterns, bounds and times.
    ///
    /// # Errors
    ///
    /// What [`Registry::configure`](super::Registry::configure) would say.
    pub fn check(&self) -> Result<(), Error> {
        for (pattern, buckets) in &self.rules {
            let is_possible = |byte| is_name_byte(byte) || matches!(byte, b'*' | b'?');
            let is_long = pattern.len() > NAME_BYTES_MAX;
            if pattern.is_empty() || is_long || !pattern.bytes().all(is_possible) {
                let text = "matches no metric: it must have 1 to 255 of the letters, digits, `_`, \
                            `.`, `-` and `/` of a name, `*` and `?`";
                return Err(Error::new(
                    ErrorKind::Pattern,
                    &pattern.escape_debug().to_string(),
                    text,
                ));
            }
            buckets.check(pattern)?;
        }
        self.default_buckets.iter().try_for_each(|buckets| buckets.check("default_buckets"))?;
        match self.idle_timeout {
            Some(timeout) if timeout < IDLE_TIMEOUT_MIN => {
                let text = format!("is {timeout:?}, but must be at least {IDLE_TIMEOUT_MIN:?}");
                Err(Error::new(ErrorKind::Timeout, "idle_timeout", text))
            }
            _ => Ok(()),
        }
    }

    /// Redacts labels that were made under other names.
    pub(super) fn redact_again(&mut self) {
        if let Some(clean) = self.labels.redacted_again() {
            self.labels = clean;
        }
    }

    /// Returns the buckets that are set for `name`.
    pub(super) fn buckets(&self, name: &str) -> Option<&Buckets> {
        let rule = self.rules.iter().rev().find(|(pattern, _)| matches(pattern, name));
        rule.map(|(_, buckets)| buckets).or(self.default_buckets.as_ref())
    }

    /// Returns `labels` with those of all series.
    pub(super) fn exported(&self, labels: &Labels) -> Labels {
        if self.labels.is_empty() {
            return labels.clone();
        }
        self.labels.overridden_by(labels)
    }

    /// Returns `labels` without those that all series have anyway: two sets that are exported alike
    /// are one series.
    pub(super) fn own(&self, labels: &Labels) -> Labels {
        let is_own = |(key, value): &(&str, &Value)| self.labels.get(key) != Some(value);
        match labels.iter().all(|pair| is_own(&pair)) {
            true => labels.clone(),
            false => labels.retained(|key, value| is_own(&(key, value))),
        }
    }
}

/// Does `pattern` match the whole of `name`, whatever the case of the letters?
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut of_name) = (0, 0);
    // Where to go on if the rest does not match: behind the last `*`, one character later.
    let mut retry: Option<(usize, usize)> = None;
    while of_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, of_name));
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&name[of_name]) => {
                (at, of_name) = (at + 1, of_name + 1);
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                (at, of_name) = (after_star, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition.
    fn matches_by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                (0..=name.len()).any(|taken| matches_by_definition(rest, &name[taken..]))
            }
            (Some((byte, rest)), Some((of_name, others))) => {
                let fits = *byte == b'?' || byte.eq_ignore_ascii_case(of_name);
                fits && matches_by_definition(rest, others)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn pattern_matches_by_its_definition(pattern in "[ab.*?]{0,8}", name in "[abA.]{0,8}") {
            let expected = matches_by_definition(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(&pattern, &name), expected);
        }
    }

    #[test]
    fn last_rule_that_matches_counts() {
        let settings = Settings::new()
            .histogram("http.*", [1.0])
            .histogram("http.client.*", [2.0])
            .default_buckets(Buckets::exponential());
        let of = |name| settings.buckets(name).cloned();
        assert_eq!(of("db.time"), Some(Buckets::exponential()));
        assert_eq!(of("HTTP.server.time"), Some([1.0].into()));
        assert_eq!(of("http.client.time"), Some([2.0].into()));
        assert_eq!(Settings::new().buckets("db.time"), None);
    }

    #[test]
    fn pathological_pattern_ends_soon() {
        let pattern = "*a".repeat(120);
        assert!(!matches(&pattern, &"a".repeat(119)));
        assert!(matches(&pattern, &"a".repeat(255)));
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let text = |settings: Settings| settings.check().expect_err("bad").to_string();
        let pattern = text(Settings::new().histogram("http requests", [1.0]));
        assert!(pattern.starts_with("`http requests` matches no metric"), "{pattern}");
        assert!(Settings::new().histogram("", [1.0]).check().is_err());
        let bounds = text(Settings::new().histogram("a.*", [2.0, 1.0]));
        assert_eq!(bounds, "`a.*` has bound 1 at 1, but it must be above 2");
        let timeout = text(Settings::new().idle_timeout(Duration::from_millis(5)));
        assert_eq!(timeout, "`idle_timeout` is 5ms, but must be at least 1s");
    }

    #[test]
    fn own_label_stands_above_that_of_all_series() {
        let settings = Settings::new().label("env", "prod").label("region", "eu");
        let labels = Labels::from([("env", "test"), ("a", "b")]);
        let all = Labels::from([("a", "b"), ("env", "test"), ("region", "eu")]);
        assert_eq!(settings.exported(&labels), all);
        assert_eq!(settings.own(&all), labels);
        assert_eq!(settings.own(&Labels::from([("env", "prod")])), Labels::new());
    }
}
