//! What an event has to be, and what to say when there is none.
//!
//! # Invariants
//!
//! - A failing assertion tells what was expected, what came nearest and why it is not it, what was
//!   captured, and what may be missing.

use super::capture::Capture;
use super::matcher::Matcher;
use super::memory::{CapturedRecord, OwnedValue};
use crate::level::Level;
use crate::record::Kind;
use std::fmt::{self, Write as _};

/// How many events a failing assertion lists.
const LISTED_MAX: usize = 100;
const NEAREST_MAX: usize = 3;

/// What an event has to be; everything that is not said is left open. What
/// [`assert_event!`](crate::assert_event!) is made of.
#[derive(Debug, Default)]
#[must_use = "it is for an assertion"]
pub struct EventPattern {
    level: Option<Level>,
    texts: Vec<(Part, Matcher)>,
    fields: Vec<(String, Matcher)>,
    count: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Target,
    Name,
    Message,
    Span,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Name => "name",
            Self::Message => "message",
            Self::Span => "span",
        }
    }
}

impl EventPattern {
    /// Any event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this level.
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Of a target.
    pub fn target(self, target: impl Into<Matcher>) -> Self {
        self.text(Part::Target, target)
    }

    /// Of a name: of an [`event!`](crate::event!), or what `tracing`'s `name:` gave it.
    pub fn name(self, name: impl Into<Matcher>) -> Self {
        self.text(Part::Name, name)
    }

    /// With a message.
    pub fn message(self, message: impl Into<Matcher>) -> Self {
        self.text(Part::Message, message)
    }

    /// Inside a span of this name, however deep; may be said several times.
    pub fn span(self, name: impl Into<Matcher>) -> Self {
        self.text(Part::Span, name)
    }

    fn text(mut self, part: Part, matcher: impl Into<Matcher>) -> Self {
        self.texts.push((part, matcher.into()));
        self
    }

    /// With a field of its own, or of a scope around it.
    pub fn field(mut self, key: impl Into<String>, value: impl Into<Matcher>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// So many such events, not more and not less.
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// Is an event as it has to be? [`count`](Self::count) aside.
    pub fn matches(&self, event: &CapturedRecord) -> bool {
        event.kind == Kind::Event && self.differences(event).is_empty()
    }

    /// What an event would have to be otherwise.
    fn differences(&self, event: &CapturedRecord) -> Vec<String> {
        let mut differences = Vec::new();
        if let Some(level) = self.level.filter(|level| *level != event.level) {
            differences.push(format!("level is {}, not {level}", event.level));
        }
        for (part, matcher) in &self.texts {
            let found = match part {
                Part::Target => Some(format!("{:?}", event.target))
                    .filter(|_| !matcher.matches_text(&event.target)),
                Part::Name => {
                    Some(format!("{:?}", event.name)).filter(|_| !matcher.matches_text(&event.name))
                }
                Part::Message => difference(event.field("message"), matcher),
                Part::Span => {
                    let mut names = event.spans.iter().map(|span| span.name.as_str());
                    let names: Vec<_> = names.by_ref().rev().collect();
                    let is_inside = names.iter().any(|name| matcher.matches_text(name));
                    (!is_inside).then(|| format!("{:?}", names.join(" > ")))
                }
            };
            differences
                .extend(found.map(|found| format!("{} is {found}, not {matcher}", part.as_str())));
        }
        for (key, matcher) in &self.fields {
            let found = difference(event.field(key), matcher);
            differences.extend(found.map(|found| format!("{key} is {found}, not {matcher}")));
        }
        differences
    }
}

fn difference(value: Option<&OwnedValue>, matcher: &Matcher) -> Option<String> {
    match value {
        Some(value) if matcher.matches(value) => None,
        Some(OwnedValue::Text(text)) => Some(format!("{text:?}")),
        Some(value) => Some(value.to_string()),
        None => Some("not there".to_owned()),
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.level.map(|level| format!("level: {level}")));
        let texts = self.texts.iter();
        parts.extend(texts.map(|(part, matcher)| format!("{}: {matcher}", part.as_str())));
        parts.extend(self.fields.iter().map(|(key, matcher)| format!("{key} = {matcher}")));
        match parts.is_empty() {
            true => f.write_str("(any event)"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

impl Capture {
    /// Asserts that there is such an event, and returns the first one; what
    /// [`assert_event!`](crate::assert_event!) calls.
    ///
    /// # Panics
    ///
    /// There is none, or another [`count`](EventPattern::count) of them.
    #[track_caller]
    pub fn assert_event(&self, pattern: &EventPattern) -> CapturedRecord {
        let events = self.events();
        let mut found = events.iter().filter(|event| pattern.matches(event));
        let count = found.clone().count();
        match found.next() {
            Some(event) if pattern.count.is_none_or(|wanted| wanted == count) => event.clone(),
            _ => panic!("{}", self.failure(pattern, &events, count)),
        }
    }

    /// Asserts that there is no such event; what
    /// [`assert_no_event!`](crate::assert_no_event!) calls.
    ///
    /// # Panics
    ///
    /// There is one.
    #[track_caller]
    pub fn assert_no_event(&self, pattern: EventPattern) {
        let events = self.events();
        let count = events.iter().filter(|event| pattern.matches(event)).count();
        if count > 0 || self.lost() > 0 {
            panic!("{}", self.failure(&EventPattern { count: Some(0), ..pattern }, &events, count));
        }
    }

    fn failure(&self, pattern: &EventPattern, events: &[CapturedRecord], count: usize) -> String {
        let mut text = match (count, pattern.count) {
            (0, Some(0)) => {
                "an event that is not to be there may be among those not kept".to_owned()
            }
            (0, _) => "no captured event is as expected".to_owned(),
            (_, Some(0)) => format!("{count} captured events are as none is to be"),
            (_, wanted) => {
                let wanted = wanted.unwrap_or_default();
                format!("{count} captured events are as expected, not {wanted}")
            }
        };
        let _ = write!(text, "\n  expected: {pattern}");
        if count == 0 && pattern.count != Some(0) {
            put_nearest(&mut text, pattern, events);
        }
        put_list(&mut text, events);
        put_notes(&mut text, self);
        text
    }
}

fn put_nearest(text: &mut String, pattern: &EventPattern, events: &[CapturedRecord]) {
    let conditions =
        usize::from(pattern.level.is_some()) + pattern.texts.len() + pattern.fields.len();
    let mut nearest: Vec<_> =
        events.iter().map(|event| (pattern.differences(event), event)).collect();
    nearest.retain(|(differences, _)| differences.len() < conditions);
    nearest.sort_by_key(|(differences, _)| differences.len());
    for (n, (differences, event)) in nearest.iter().take(NEAREST_MAX).enumerate() {
        if n == 0 {
            text.push_str("\n  nearest:");
        }
        let _ = write!(text, "\n    {event}");
        for difference in differences {
            let _ = write!(text, "\n          {difference}");
        }
    }
}

fn put_list(text: &mut String, events: &[CapturedRecord]) {
    if events.is_empty() {
        text.push_str(
            "\n  captured: nothing. What other threads and tasks emit is captured if they are \
             started in the capture\n    with `context::spawn_thread`, `task::spawn`, \
             `Carried::capture` or `in_capture`",
        );
        return;
    }
    let _ = write!(text, "\n  captured ({} events):", events.len());
    let left_out = events.len().saturating_sub(LISTED_MAX);
    if left_out > 0 {
        let _ = write!(text, "\n    … {left_out} before these …");
    }
    for event in &events[left_out..] {
        let _ = write!(text, "\n    {event}");
    }
}

pub(super) fn put_notes(text: &mut String, capture: &Capture) {
    for note in capture.notes() {
        let _ = write!(text, "\n  note: {note}");
    }
}

/// Asserts that an event was captured, and returns it: the first one that is as expected.
///
/// `level:`, `target:`, `name:`, `message:` and `span:` (one that the event is inside of, at any
/// depth) say what it is, `key = value` which fields it has; a value is one to be equal to, or a
/// [`Matcher`](crate::testing::Matcher). `count:` says how many there are. The rest is left open.
///
/// ```
/// use telemetry_core::{assert_event, event, testing};
///
/// let captured = testing::capture();
/// for attempt in 1..=2 {
///     tracing::warn!(http.route = "/users", attempt, "retry");
/// }
/// event!(Info, "http.request.stop", { bytes = 512_u64 });
///
/// assert_event!(captured, level: Warn, message: "retry", http.route = "/users", attempt = 2);
/// assert_event!(captured, count: 2, message: testing::contains("ret"));
/// let stop = assert_event!(captured, name: "http.request.stop");
/// assert_eq!(stop.field("bytes").and_then(|bytes| bytes.as_i128()), Some(512));
/// ```
#[macro_export]
macro_rules! assert_event {
    ($captured:expr $(, $($pattern:tt)*)?) => {
        $captured.assert_event(&$crate::__event_pattern!(
            $crate::testing::EventPattern::new(), $($($pattern)*)?
        ))
    };
}

/// Asserts that no such event was captured, and that none was lost; see
/// [`assert_event!`](crate::assert_event!).
///
/// ```
/// let captured = telemetry_core::testing::capture();
/// tracing::info!("fine");
/// telemetry_core::assert_no_event!(captured, level: Error);
/// ```
#[macro_export]
macro_rules! assert_no_event {
    ($captured:expr $(, $($pattern:tt)*)?) => {
        $captured.assert_no_event($crate::__event_pattern!(
            $crate::testing::EventPattern::new(), $($($pattern)*)?
        ))
    };
}

/// Takes the conditions of `assert_event!` apart.
#[doc(hidden)]
#[macro_export]
macro_rules! __event_pattern {
    ($pattern:expr $(,)?) => { $pattern };
    ($pattern:expr, level: $level:ident $(, $($rest:tt)*)?) => {
        $crate::__event_pattern!($pattern.level($crate::Level::$level), $($($rest)*)?)
    };
    ($pattern:expr, count: $count:expr $(, $($rest:tt)*)?) => {
        $crate::__event_pattern!($pattern.count($count), $($($rest)*)?)
    };
    ($pattern:expr, $part:ident: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_pattern!($pattern.$part($value), $($($rest)*)?)
    };
    ($pattern:expr, $($key:ident).+ = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_pattern!(
            $pattern.field(::core::stringify!($($key).+), $value),
            $($($rest)*)?
        )
    };
    ($pattern:expr, $key:literal = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_pattern!($pattern.field($key, $value), $($($rest)*)?)
    };
}
