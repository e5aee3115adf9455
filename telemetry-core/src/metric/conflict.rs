//! Requests that contradict an earlier one: never an error for the caller, never silent.
//!
//! # Invariants
//!
//! - Bounded: at most [`CONFLICTS_MAX`] different ones are kept; the total counts all.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Most different conflicts that are kept.
pub const CONFLICTS_MAX: usize = 64;

/// Names the kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A [`Counter`](super::Counter).
    Counter,
    /// A [`CounterF64`](super::CounterF64).
    CounterF64,
    /// An [`UpDownCounter`](super::UpDownCounter).
    UpDownCounter,
    /// A [`Gauge`](super::Gauge).
    Gauge,
    /// A [`Histogram`](super::Histogram).
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::CounterF64 => "float counter",
            Self::UpDownCounter => "up-down counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// Says what about a request contradicted an earlier one, or the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The metric has another kind: what the new handle measures is not exported.
    Kind {
        /// The kind the metric has.
        registered: Kind,
        /// The kind that was asked for.
        asked: Kind,
    },
    /// The name is not valid, and was made so: measurements are exported under `used`.
    Name {
        /// The name that stands for the one given.
        used: Arc<str>,
    },
    /// The name differs from an earlier one only in case: `used` stands for both.
    Case {
        /// The spelling given first.
        used: Arc<str>,
    },
    /// The unit is not valid (at most 63 ASCII characters), and was left out.
    Unit {
        /// The unit that was given.
        unit: Arc<str>,
    },
    /// The metric was described differently before; the first description stands.
    Description,
    /// The histogram had series before its buckets were set: it keeps those it has.
    Buckets,
    /// The series had begun before the labels of all series were set, and another series is
    /// exported under what would be its labels: it keeps its own.
    Label,
    /// The metric has as many series as it may: further ones are, together, in one that is labelled
    /// `otel.metric.overflow`.
    Overflow {
        /// How many series the metric may have.
        limit: usize,
    },
    /// The registry holds as many metrics as it may; what the handle measures is not exported.
    TooManyMetrics,
}

/// Reports a request that contradicted an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The name as it was given.
    pub name: Arc<str>,
    /// What was wrong, and what became of it.
    pub reason: Reason,
    /// How often.
    pub count: u64,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.reason {
            Reason::Kind { registered, asked } => {
                write!(f, "metric `{name}` is a {registered}, but was asked for as a {asked}")
            }
            Reason::Name { used } => {
                write!(f, "metric name `{}` is not valid: `{used}` is used", name.escape_debug())
            }
            Reason::Case { used } => {
                write!(f, "metric `{name}` differs only in case from `{used}`, which is used")
            }
            Reason::Unit { unit } => {
                let unit = unit.escape_debug();
                write!(f, "unit `{unit}` of metric `{name}` is not at most 63 ASCII characters")
            }
            Reason::Description => {
                write!(f, "metric `{name}` is described twice: the first description stands")
            }
            Reason::Buckets => {
                write!(
                    f,
                    "metric `{name}` was in use before its buckets were set: it keeps its own"
                )
            }
            Reason::Label => write!(
                f,
                "a series of metric `{name}` began before the labels of all series were set, and \
                 another one has what would be its labels: it keeps its own"
            ),
            Reason::Overflow { limit } => write!(
                f,
                "metric `{name}` has {limit} series: further ones are, together, in one that is \
                 labelled `otel.metric.overflow`"
            ),
            Reason::TooManyMetrics => {
                write!(f, "metric `{name}` is not exported: the registry is full")
            }
        }
    }
}

/// Collects conflicts.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    different: Vec<Conflict>,
    total: u64,
}

impl Conflicts {
    #[cold]
    pub(super) fn note(&self, name: &str, reason: Reason) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.total += 1;
        let name = cut(name);
        let same = |c: &&mut Conflict| *c.name == *name && c.reason == reason;
        if let Some(conflict) = kept.different.iter_mut().find(same) {
            conflict.count += 1;
        } else if kept.different.len() < CONFLICTS_MAX {
            kept.different.push(Conflict { name: name.into(), reason, count: 1 });
        }
    }

    pub(super) fn list(&self) -> Vec<Conflict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).different.clone()
    }

    pub(super) fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

/// Cuts text that no name or unit could have: what is kept stays small whatever is passed.
pub(super) fn cut(name: &str) -> &str {
    let end = name.char_indices().map(|(at, _)| at).nth(255);
    &name[..end.unwrap_or(name.len())]
}
