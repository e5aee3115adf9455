//! Values: what a condition wants, and what a field holds.
//!
//! # Invariants
//!
//! - Comparing never panics and takes time linear in the field's text, of which at most
//!   [`TEXT_BYTES_MAX`] bytes are looked at.
//! - Integers are compared exactly; with a float on either side both are taken as floats.

use regex_lite::Regex;
use std::cmp::Ordering;
use std::fmt::{self, Write};

/// How much of a text a condition looks at, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The largest compiled pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// How deep the groups of a pattern may be nested.
pub(super) const PATTERN_DEPTH_MAX: u32 = 32;

/// What a field holds, as conditions see it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FieldValue<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A text, or what a value's `Debug` or `Display` printed.
    Text(&'a str),
}

impl<'a> FieldValue<'a> {
    /// Reads a value as a person writes it: `true`, `42`, `1.5`, else a text.
    pub fn from_text(text: &'a str) -> Self {
        match text {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => match Number::parse(text) {
                Some(Number::Integer(value)) => Self::Integer(value),
                Some(Number::Float(value)) => Self::Float(value),
                None => Self::Text(text),
            },
        }
    }
}

impl From<u128> for FieldValue<'_> {
    fn from(value: u128) -> Self {
        i128::try_from(value).map_or(Self::Float(value as f64), Self::Integer)
    }
}

/// A number in a condition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_number = text.bytes().any(|byte| byte.is_ascii_digit())
            || matches!(text.trim_start_matches(['-', '+']), "NaN" | "inf");
        if !is_number {
            return None;
        }
        match text.parse() {
            Ok(value) => Some(Self::Integer(value)),
            Err(_) => text.parse().ok().map(Self::Float),
        }
    }

    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// `None` when one of them is not a number and the other is.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (a, b) if a.as_f64().is_nan() && b.as_f64().is_nan() => Some(Ordering::Equal),
            (a, b) => a.as_f64().partial_cmp(&b.as_f64()),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            _ => false,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            // With its point, so that it is read as a float again.
            Self::Float(value) => write!(f, "{value:?}"),
        }
    }
}

/// How a field's value has to stand to the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    MatchesNot,
}

impl Operator {
    /// Longest first, so that the first one that fits is the right one.
    pub(super) const ALL: [(&'static str, Self); 9] = [
        ("!=", Self::NotEqual),
        ("!~", Self::MatchesNot),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("=~", Self::Matches),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
        ("~", Self::Matches),
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Matches => "~",
            _ => Self::ALL
                .iter()
                .find(|(_, operator)| *operator == self)
                .map_or("", |(text, _)| text),
        }
    }

    pub(super) fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }

    pub(super) fn is_pattern(self) -> bool {
        matches!(self, Self::Matches | Self::MatchesNot)
    }

    fn accepts(self, ordering: Option<Ordering>) -> bool {
        match self {
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::NotEqual => ordering != Some(Ordering::Equal),
            Self::Less => ordering == Some(Ordering::Less),
            Self::LessOrEqual => ordering.is_some_and(Ordering::is_le),
            Self::Greater => ordering == Some(Ordering::Greater),
            Self::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
            Self::Matches | Self::MatchesNot => false,
        }
    }
}

/// A regular expression: linear in the text, bounded in size (`regex-lite`).
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// # Errors
    ///
    /// What the engine says about a pattern that is wrong or too large.
    pub(super) fn new(text: String) -> Result<Self, String> {
        let regex = regex_lite::RegexBuilder::new(&text)
            .size_limit(PATTERN_BYTES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { text, regex })
    }

    /// A pattern that the whole text has to match.
    pub(super) fn whole(text: &str) -> Result<Self, String> {
        Self::new(format!("^(?:{text})$"))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Bool(bool),
    Number(Number),
    Text(String),
    Pattern(Pattern),
}

/// A comparison with a field's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(super) operator: Operator,
    pub(super) wanted: Wanted,
}

impl Test {
    /// Does a value pass?
    pub(crate) fn accepts(&self, value: FieldValue<'_>) -> bool {
        match &self.wanted {
            Wanted::Bool(wanted) => {
                let ordering = as_bool(value).map(|value| value.cmp(wanted));
                self.operator.accepts(ordering)
            }
            Wanted::Number(wanted) => {
                let ordering = as_number(value).and_then(|value| value.compare(*wanted));
                self.operator.accepts(ordering)
            }
            Wanted::Text(wanted) => {
                let is_same = with_text(value, |text| text == cut(wanted));
                is_same == (self.operator == Operator::Equal)
            }
            Wanted::Pattern(wanted) => {
                let is_match = with_text(value, |text| wanted.regex.is_match(text));
                is_match == (self.operator == Operator::Matches)
            }
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operator.text())?;
        match &self.wanted {
            Wanted::Bool(value) => value.fmt(f),
            Wanted::Number(value) => value.fmt(f),
            Wanted::Text(text) => quote(f, text),
            Wanted::Pattern(pattern) => quote(f, &pattern.text),
        }
    }
}

/// Writes a text in quotes, so that the parser reads the same.
pub(super) fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    f.write_char('"')
}

fn as_bool(value: FieldValue<'_>) -> Option<bool> {
    match value {
        FieldValue::Bool(value) => Some(value),
        FieldValue::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn as_number(value: FieldValue<'_>) -> Option<Number> {
    match value {
        FieldValue::Integer(value) => Some(Number::Integer(value)),
        FieldValue::Float(value) => Some(Number::Float(value)),
        FieldValue::Text(text) => Number::parse(text),
        FieldValue::Bool(_) => None,
    }
}

fn with_text(value: FieldValue<'_>, f: impl FnOnce(&str) -> bool) -> bool {
    let mut printed = TextBuffer::new();
    // Printing a number stops where the buffer ends, which is far behind its last digit.
    let _ = match value {
        FieldValue::Text(text) => return f(cut(text)),
        FieldValue::Bool(value) => write!(printed, "{value}"),
        FieldValue::Integer(value) => write!(printed, "{value}"),
        FieldValue::Float(value) => write!(printed, "{value}"),
    };
    f(printed.as_str())
}

/// The part of a text that conditions look at.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Takes what a value prints, without allocating; stops the formatter where it is full.
pub(crate) struct TextBuffer {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl TextBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], length: 0 }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for TextBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut taken = text.len().min(TEXT_BYTES_MAX - self.length);
        while !text.is_char_boundary(taken) {
            taken -= 1;
        }
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        if taken == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
