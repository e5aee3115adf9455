//! The spans of a capture as trees, and patterns of them.
//!
//! # Invariants
//!
//! - Every span that was opened in the capture is in it once, under its parent if that one was
//!   opened in the capture too.
//! - Nothing here recurses as deep as spans are nested; patterns are, up to [`DEPTH_MAX`].

use super::capture::Capture;
use super::pattern::put_notes;
use super::printing::anchor;
use crate::callsite;
use crate::record::{Kind, RawRecord};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// How deep a pattern may be nested.
const DEPTH_MAX: usize = 64;

/// A span in a [`SpanTree`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanNode {
    /// The name.
    pub name: String,
    /// How long it was open; `None` while it is.
    pub duration: Option<Duration>,
    /// The spans inside it, by their place in [`SpanTree::spans`], in the order of their begins.
    pub children: Vec<usize>,
}

/// The spans of a capture.
///
/// Its `Display` draws it:
///
/// ```
/// let captured = telemetry_core::testing::capture();
/// let request = tracing::info_span!("request");
/// request.in_scope(|| drop(tracing::info_span!("query")));
/// assert_eq!(captured.span_tree().to_string(), "request (open)\n  query\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanTree {
    spans: Vec<SpanNode>,
    roots: Vec<usize>,
}

impl SpanTree {
    /// The spans that records tell of, of those that `sink` wants.
    pub(super) fn of(mut bytes: &[u8], sink: u32) -> Self {
        let anchor = anchor();
        let mut tree = Self::default();
        let mut places: HashMap<u64, (usize, u64)> = HashMap::new();
        while let Some(record) = RawRecord::first(bytes) {
            bytes = bytes.get(record.bytes().len()..).unwrap_or_default();
            if record.sinks() & sink == 0 {
                continue;
            }
            match record.kind() {
                Some(Kind::SpanStart) => {
                    let parent = places.get(&record.parent_id()).map(|(parent, _)| *parent);
                    places.insert(record.span_id(), (tree.spans.len(), record.ticks()));
                    tree.push(record, parent);
                }
                Some(Kind::SpanClose) => {
                    if let Some((place, begin)) = places.get(&record.span_id()) {
                        let duration = anchor.duration_ns(*begin, record.ticks());
                        tree.spans[*place].duration = Some(Duration::from_nanos(duration));
                    }
                }
                _ => {}
            }
        }
        tree
    }

    fn push(&mut self, record: RawRecord<'_>, parent: Option<usize>) {
        let name = callsite::by_id(record.callsite()).map_or("", |callsite| callsite.name());
        let place = self.spans.len();
        self.spans.push(SpanNode { name: name.to_owned(), duration: None, children: Vec::new() });
        match parent {
            Some(parent) => self.spans[parent].children.push(place),
            None => self.roots.push(place),
        }
    }

    /// All spans, in the order of their begins.
    pub fn spans(&self) -> &[SpanNode] {
        &self.spans
    }

    /// The places of the spans that are inside no other one of the capture.
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// Is the whole tree as a pattern says? See [`assert_span_tree!`](crate::assert_span_tree!).
    ///
    /// # Errors
    ///
    /// The pattern cannot be read; the text says where.
    pub fn matches(&self, pattern: &str) -> Result<bool, String> {
        Ok(self.match_all(&Pattern::read(pattern)?, &self.roots))
    }

    /// Do these spans stand to the patterns one to one? A matching in a bipartite graph, by
    /// augmenting paths (Kuhn).
    fn match_all(&self, pattern: &Pattern, spans: &[usize]) -> bool {
        if spans.len() < pattern.items.len()
            || (spans.len() > pattern.items.len() && !pattern.is_open)
        {
            return false;
        }
        let fits: Vec<Vec<bool>> = pattern
            .items
            .iter()
            .map(|item| spans.iter().map(|span| self.match_one(item, *span)).collect())
            .collect();
        let mut taken_by = vec![None; spans.len()];
        (0..fits.len())
            .all(|item| augment(item, &fits, &mut taken_by, &mut vec![false; spans.len()]))
    }

    fn match_one(&self, item: &Item, span: usize) -> bool {
        let span = &self.spans[span];
        span.name == item.name && self.match_all(&item.inside, &span.children)
    }
}

/// Finds a span for an item, and other ones for those that have it.
fn augment(
    item: usize,
    fits: &[Vec<bool>],
    taken_by: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for span in 0..taken_by.len() {
        if !fits[item][span] || std::mem::replace(&mut tried[span], true) {
            continue;
        }
        if taken_by[span].is_none_or(|other| augment(other, fits, taken_by, tried)) {
            taken_by[span] = Some(item);
            return true;
        }
    }
    false
}

impl fmt::Display for SpanTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left: Vec<(usize, usize)> =
            self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((place, depth)) = left.pop() {
            let span = &self.spans[place];
            let open = if span.duration.is_none() { " (open)" } else { "" };
            writeln!(f, "{:width$}{}{open}", "", span.name, width = 2 * depth)?;
            left.extend(span.children.iter().rev().map(|child| (*child, depth + 1)));
        }
        Ok(())
    }
}

/// The spans that stand beside each other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pattern {
    items: Vec<Item>,
    /// There may be others: `..`.
    is_open: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Item {
    name: String,
    inside: Pattern,
}

impl Pattern {
    fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let pattern = reader.list(0)?;
        match reader.next() {
            None => Ok(pattern),
            Some(character) => Err(reader.error(&format!("`{character}` cannot stand here"))),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next character that is no space; it stays.
    fn next(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, character: char) -> bool {
        let is_next = self.next() == Some(character);
        if is_next {
            self.at += character.len_utf8();
        }
        is_next
    }

    fn error(&self, why: &str) -> String {
        format!("the span tree `{}` cannot be read: {why}, at byte {}", self.text, self.at)
    }

    /// `item, item, …`
    fn list(&mut self, depth: usize) -> Result<Pattern, String> {
        if depth > DEPTH_MAX {
            return Err(self.error(&format!("it is nested deeper than {DEPTH_MAX}")));
        }
        let mut pattern = Pattern::default();
        if depth == 0 && self.next().is_none() {
            return Ok(pattern);
        }
        loop {
            self.item(&mut pattern, depth)?;
            if !self.take(',') {
                return Ok(pattern);
            }
        }
    }

    /// `name`, `name > list`, `(list)` or `..`
    fn item(&mut self, pattern: &mut Pattern, depth: usize) -> Result<(), String> {
        if self.take('(') {
            let inner = self.list(depth + 1)?;
            pattern.items.extend(inner.items);
            pattern.is_open |= inner.is_open;
            return match self.take(')') {
                true => Ok(()),
                false => Err(self.error("`)` is missing")),
            };
        }
        let name = self.name();
        if name == ".." {
            pattern.is_open = true;
            return Ok(());
        }
        if name.is_empty() {
            return Err(self.error("a span's name is missing"));
        }
        let inside = if self.take('>') { self.list(depth + 1)? } else { Pattern::default() };
        pattern.items.push(Item { name, inside });
        Ok(())
    }

    fn name(&mut self) -> String {
        let _ = self.next();
        let rest = &self.text[self.at..];
        let end = rest.find([',', '>', '(', ')']).unwrap_or(rest.len());
        self.at += end;
        rest[..end].trim().to_owned()
    }
}

impl Capture {
    /// Asserts that the spans are as a pattern says; what
    /// [`assert_span_tree!`](crate::assert_span_tree!) calls.
    ///
    /// # Panics
    ///
    /// They are not, or the pattern cannot be read.
    #[track_caller]
    pub fn assert_span_tree(&self, pattern: &str) {
        let tree = self.span_tree();
        let why = match tree.matches(pattern) {
            Ok(true) => return,
            Ok(false) => "the captured spans are not as expected".to_owned(),
            Err(error) => error,
        };
        let mut text =
            format!("{why}\n  expected: {pattern}\n  captured ({} spans):", tree.spans.len());
        for line in tree.to_string().lines() {
            let _ = write!(text, "\n    {line}");
        }
        put_notes(&mut text, self);
        panic!("{text}");
    }
}

/// Asserts which spans were opened in a capture, and which inside which.
///
/// `a > b, c` is a span `a` with `b` and `c` inside; parentheses make a group of it, so that
/// `a > (b > c), d` is an `a` with `b` and `d` inside, and a `c` inside `b`. `..` stands for any
/// others. The order of spans beside each other does not matter.
///
/// ```
/// use telemetry_core::{assert_span_tree, testing};
/// use tracing::info_span;
///
/// let captured = testing::capture();
/// info_span!("request").in_scope(|| {
///     info_span!("query").in_scope(|| drop(info_span!("connect")));
///     drop(info_span!("render"));
/// });
/// assert_span_tree!(captured, "request > (query > connect), render");
/// assert_span_tree!(captured, "request > render, ..");
/// ```
#[macro_export]
macro_rules! assert_span_tree {
    ($captured:expr, $pattern:expr $(,)?) => {
        $captured.assert_span_tree($pattern)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree from depths and names.
    fn tree(spans: &[(usize, &str)]) -> SpanTree {
        let mut tree = SpanTree::default();
        let mut around: Vec<usize> = Vec::new();
        for (place, (depth, name)) in spans.iter().enumerate() {
            around.truncate(*depth);
            let node = SpanNode { name: (*name).to_owned(), duration: None, children: Vec::new() };
            tree.spans.push(node);
            match around.last() {
                Some(parent) => tree.spans[*parent].children.push(place),
                None => tree.roots.push(place),
            }
            around.push(place);
        }
        tree
    }

    #[test]
    fn patterns_match_whole_trees() {
        let request = tree(&[(0, "request"), (1, "query"), (2, "GET /a"), (1, "render")]);
        for (pattern, expected) in [
            ("request > (query > GET /a), render", true),
            ("request > render, (query > GET /a)", true),
            (" request>render,(query>..)", true),
            ("request > ..", true),
            ("..", true),
            ("request > render, ..", true),
            ("request", false),
            ("request > query, render", false),
            ("request > query > GET /a, render", false),
            ("(request > ..), ..", true),
            ("(request > ..), other", false),
            ("", false),
        ] {
            assert_eq!(request.matches(pattern), Ok(expected), "{pattern}");
        }
        assert_eq!(SpanTree::default().matches(""), Ok(true));
    }

    #[test]
    fn equal_names_find_their_places() {
        // The first `a` fits both patterns, the second only one.
        let spans = tree(&[(0, "a"), (1, "x"), (0, "a")]);
        assert_eq!(spans.matches("(a > ..), (a > x)"), Ok(true));
        assert_eq!(spans.matches("a, (a > x)"), Ok(true));
        assert_eq!(spans.matches("(a > x), (a > x)"), Ok(false));
    }

    #[test]
    fn pattern_that_cannot_be_read_says_where() {
        let error = |pattern: &str| SpanTree::default().matches(pattern).unwrap_err();
        assert!(error("a > (b").contains("`)` is missing, at byte 6"), "{}", error("a > (b"));
        assert!(error("a,,b").contains("a span's name is missing, at byte 2"));
        assert!(error("a)").contains("`)` cannot stand here, at byte 1"));
        assert!(error(&"(".repeat(1000)).contains("nested deeper"));
    }
}
