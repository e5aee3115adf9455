//! Which records an exporter wants: the directive language, a superset of `RUST_LOG`.
//!
//! `info`, `app::db=debug`, `app[request{tenant=42}]=trace`, `[{status>=500}]`, `hyper=off`,
//! separated by commas. The grammar and its rules stand in `docs/filtering.md`.
//!
//! # Invariants
//!
//! - The most specific directive that applies decides, the later one among equals: conditions on
//!   values weigh most, then names of fields, then a span's name, then the length of the target.
//! - `-` and `_` are the same in a target: crate names are written with either.
//! - A value of a field that is redacted is compared with nothing and printed nowhere.
//! - Empty parts and spaces are tolerated; what cannot be understood is an error, never a silence.
//! - Directives of targets and levels are decided once per callsite. Those of spans and fields
//!   (`crate::rules`) cost the callsites they can touch, and nothing else.

mod directive;
mod error;
mod explain;
mod file;
mod mask;
mod parse;
mod suggest;
#[cfg(test)]
mod tests;
mod value;

pub use directive::Directive;
pub use error::{FilterError, FilterErrorKind};
pub use explain::{Explanation, Record, SpanRecord};
pub use value::{FieldValue, PATTERN_BYTES_MAX, TEXT_BYTES_MAX};
pub(crate) use value::{Test, TextBuffer};

use crate::error::Error;
use crate::level::Level;
use std::fmt;
use std::str::FromStr;

/// The longest filter text, in bytes.
pub const FILTER_BYTES_MAX: usize = 8 * 1024;
/// The most directives of a filter.
pub const DIRECTIVES_MAX: usize = 1024;
/// The most directives with spans or fields of a filter, and of a pipeline's filters together.
pub const DYNAMIC_MAX: usize = 64;
/// The most conditions on fields of a directive.
pub const CONDITIONS_MAX: usize = 8;

/// A set of directives.
///
/// ```
/// use telemetry_core::{Level, filter::Filter};
///
/// let filter: Filter = "info, my-app::db=debug, hyper=off".parse()?;
/// assert!(filter.enabled("my_app::db::pool", Level::Debug));
/// assert!(!filter.enabled("my_app", Level::Debug));
/// assert!(!filter.enabled("hyper::client", Level::Error));
/// # Ok::<(), telemetry_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filter {
    /// Highest rank first, the later one first among equals: the first that applies decides.
    directives: Vec<Directive>,
    /// What later directives replaced.
    replaced: Vec<Directive>,
}

impl Filter {
    /// Everything from `level` on, whatever the target.
    pub fn level(level: Level) -> Self {
        Self::of(vec![Directive::of_level(Some(level))])
    }

    /// Nothing.
    pub fn off() -> Self {
        Self::of(vec![Directive::of_level(None)])
    }

    /// Reads a filter; an empty one is [`Filter::off`].
    ///
    /// # Errors
    ///
    /// A directive that cannot be understood, or a limit: [`FILTER_BYTES_MAX`],
    /// [`DIRECTIVES_MAX`], [`DYNAMIC_MAX`], [`CONDITIONS_MAX`], [`PATTERN_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let directives = parse::parse(text)?;
        Ok(if directives.is_empty() { Self::off() } else { Self::of(directives) })
    }

    /// Is there no directive in a text? [`parse`](Self::parse) takes that for `off`, which nobody
    /// means who forgets the filter.
    #[doc(hidden)]
    pub fn is_blank(text: &str) -> bool {
        parse::parse(text).is_ok_and(|directives| directives.is_empty())
    }

    fn of(directives: Vec<Directive>) -> Self {
        // Sorted by what they are about, later ones first, so that repetitions stand together.
        let mut ordered: Vec<_> = directives.into_iter().rev().collect();
        ordered.sort_by_key(|directive| std::cmp::Reverse(directive.rank()));
        let mut filter = Self { directives: Vec::new(), replaced: Vec::new() };
        let mut rank_start = 0;
        for directive in ordered {
            let is_new_rank =
                filter.directives.last().is_some_and(|last| last.rank() != directive.rank());
            if is_new_rank {
                rank_start = filter.directives.len();
            }
            let mut of_rank = filter.directives[rank_start..].iter();
            if of_rank.any(|later| later.is_about_the_same(&directive)) {
                filter.replaced.push(directive);
            } else {
                filter.directives.push(directive);
            }
        }
        filter
    }

    /// This filter with the directives of another one behind its own: of equals, those decide.
    ///
    /// ```
    /// use telemetry_core::filter::Filter;
    ///
    /// let filter = Filter::parse("info,app=warn")?;
    /// let more = filter.with(&Filter::parse("debug,[{tenant=42}]=trace")?);
    /// assert_eq!(more, Filter::parse("debug,app=warn,[{tenant=42}]=trace")?);
    /// # Ok::<(), telemetry_core::filter::FilterError>(())
    /// ```
    #[must_use]
    pub fn with(&self, later: &Self) -> Self {
        let in_order = self.directives.iter().rev().chain(later.directives.iter().rev());
        Self::of(in_order.cloned().collect())
    }

    /// Its text without the values of fields that are redacted.
    pub fn masked(&self) -> String {
        mask::masked(&self.to_string()).into_owned()
    }

    /// The directives, in the order in which they are asked.
    pub fn directives(&self) -> &[Directive] {
        &self.directives
    }

    /// Does any directive depend on spans or fields?
    pub fn is_dynamic(&self) -> bool {
        self.directives.iter().any(Directive::is_dynamic)
    }

    /// Is an event or span of this target and level wanted, where no directive of spans or fields
    /// applies?
    pub fn enabled(&self, target: &str, level: Level) -> bool {
        self.directives
            .iter()
            .filter(|directive| !directive.is_dynamic())
            .find(|directive| directive.covers(target))
            .is_some_and(|directive| directive.lets_through(level))
    }

    /// The least severe level that any directive lets through; `None` = nothing passes.
    ///
    /// A span may carry a directive whatever its level, so [`Level::Trace`] where there are
    /// directives of spans or fields.
    pub fn max_level(&self) -> Option<Level> {
        if self.is_dynamic() {
            return Some(Level::Trace);
        }
        self.directives.iter().filter_map(|directive| directive.level).min()
    }

    /// The targets that none of `known` belongs to, each with those of `known` that were probably
    /// meant.
    pub fn unknown_targets<'a>(
        &self,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Vec<(&str, Vec<&'a str>)> {
        self.directives
            .iter()
            .filter(|directive| !directive.target.is_empty())
            .filter(|directive| !known.clone().any(|target| directive.covers(target)))
            .map(|directive| {
                (directive.target.as_str(), suggest::near(&directive.target, known.clone()))
            })
            .collect()
    }
}

impl PartialEq for Filter {
    /// Equal filters decide the same: what was replaced does not count.
    fn eq(&self, other: &Self) -> bool {
        self.directives == other.directives
    }
}

impl Eq for Filter {}

impl FromStr for Filter {
    type Err = Error;

    /// # Errors
    ///
    /// As [`Filter::parse`], whose error knows the place as well.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).map_err(|error| {
            let excerpt = error.excerpt();
            Error::unreadable("filter", &mask::masked(text), error).with_excerpt(excerpt)
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, directive) in self.directives.iter().rev().enumerate() {
            let separator = if n == 0 { "" } else { "," };
            write!(f, "{separator}{directive}")?;
        }
        Ok(())
    }
}
