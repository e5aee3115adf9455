//! What is wrong with a filter, where, and what was probably meant.

use super::mask::masked;
use std::fmt;
use std::ops::Range;

/// A filter that cannot be understood.
///
/// `Display` is one line; [`render`](Self::render) shows the spot as well.
///
/// ```
/// use telemetry_core::filter::Filter;
///
/// let error = Filter::parse("info,app=debgu").unwrap_err();
/// assert_eq!(
///     error.render(),
///     "error: `debgu` is not a level
///  |
///  | info,app=debgu
///  |          ^^^^^ did you mean `debug`?
/// ",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    pub(super) kind: FilterErrorKind,
    pub(super) text: String,
    pub(super) suggestion: Option<String>,
    pub(super) span: Range<usize>,
    /// The part of the filter that [`render`](Self::render) shows, and where it begins.
    pub(super) shown: (String, usize),
}

/// What sort of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// A word where a level belongs that is none, or one that was meant to be one.
    Level,
    /// Brackets, quotes or separators are missing or in the wrong place.
    Syntax,
    /// A value that the operator before it cannot be used with.
    Value,
    /// A regular expression that is wrong.
    Pattern,
    /// A limit: bytes, directives, conditions, size of a regular expression.
    Limit,
}

/// How much of a long filter is shown on either side of the spot, in bytes.
const SHOWN_BYTES: usize = 40;

impl FilterError {
    pub(super) fn new(
        kind: FilterErrorKind,
        filter: &str,
        span: Range<usize>,
        text: impl Into<String>,
        suggestion: Option<String>,
    ) -> Self {
        let masked = masked(filter);
        let shown = shown(&masked, &span);
        let clean = |text: String| match (filter.get(span.clone()), masked.get(span.clone())) {
            (Some(said), Some(masked)) if said != masked => text.replace(said, masked),
            _ => text,
        };
        Self {
            kind,
            text: clean(text.into()),
            suggestion: suggestion.map(clean),
            span: span.clone(),
            shown,
        }
    }

    /// What sort of mistake it is.
    pub fn kind(&self) -> FilterErrorKind {
        self.kind
    }

    /// Where it is: bytes of the filter.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What was probably meant, as half a sentence.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// Several lines: what is wrong, the filter, carets under the spot, the suggestion.
    pub fn render(&self) -> String {
        format!("error: {}\n{}", self.text, self.excerpt())
    }

    /// As [`render`](Self::render), without its first line.
    pub(crate) fn excerpt(&self) -> String {
        let (shown, base) = &self.shown;
        let column = |at: usize| {
            let bytes = at.saturating_sub(*base).min(shown.len());
            shown.get(..bytes).map_or(0, |text| text.chars().count())
        };
        let (from, to) = (column(self.span.start), column(self.span.end));
        let visible: String =
            shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let carets = "^".repeat(to.saturating_sub(from).max(1));
        let hint = self.suggestion.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
        let indent = " ".repeat(from);
        format!(" |\n | {visible}\n | {indent}{carets}{hint}\n")
    }
}

/// The surroundings of a spot.
fn shown(filter: &str, span: &Range<usize>) -> (String, usize) {
    let mut from = span.start.saturating_sub(SHOWN_BYTES).min(filter.len());
    while !filter.is_char_boundary(from) {
        from -= 1;
    }
    let mut to = span.end.saturating_add(SHOWN_BYTES).min(filter.len()).min(from + 4 * SHOWN_BYTES);
    while !filter.is_char_boundary(to) {
        to -= 1;
    }
    (filter.get(from..to).unwrap_or_default().to_owned(), from)
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {} of the filter)", self.text, self.span.start + 1)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ": {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FilterError {}
