//! One directive: where it applies, and the least severe level it lets through there.
//!
//! # Invariants
//!
//! - What `Display` prints is read as an equal directive, but for the values of fields that are
//!   redacted: they are not printed.
//! - [`Rank`] does not depend on the record: of two directives that apply, the higher rank decides,
//!   and the later one among equals.

use super::value::{FieldValue, Test, quote};
use crate::level::Level;
use crate::redaction::{self, REDACTED};
use std::fmt;

/// A condition on a field: that it is there, or what it holds.
#[derive(Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) field: String,
    /// `None`: the field has to be among the callsite's, whatever it holds.
    pub(super) test: Option<Test>,
}

impl Condition {
    /// Is it about the value of a field that is redacted? No value meets it then.
    pub(super) fn is_redacted(&self) -> bool {
        self.test.is_some() && redaction::is_secret(&self.field)
    }
}

/// One part of a filter.
#[derive(Clone, PartialEq)]
pub struct Directive {
    /// Empty: any target.
    pub(super) target: String,
    pub(super) span: Option<String>,
    pub(super) conditions: Vec<Condition>,
    /// `None` = off.
    pub(super) level: Option<Level>,
}

/// How specific a directive is: first by its conditions on values, then on fields, then by the
/// name of a span, then by the length of its target.
pub(super) type Rank = (usize, usize, bool, usize);

impl Directive {
    /// The level of everything.
    pub(super) fn of_level(level: Option<Level>) -> Self {
        Self { target: String::new(), span: None, conditions: Vec::new(), level }
    }

    /// The least severe level it lets through; `None` = it lets nothing through.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// The target it is about, dashes as underscores; empty = any.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Does it depend on spans or fields (else on target and level only)?
    pub fn is_dynamic(&self) -> bool {
        self.span.is_some() || !self.conditions.is_empty()
    }

    /// The conditions on values: field and test.
    pub(crate) fn field_tests(&self) -> impl Iterator<Item = (&str, &Test)> {
        self.conditions
            .iter()
            .filter_map(|condition| Some((condition.field.as_str(), condition.test.as_ref()?)))
    }

    /// How many conditions on values it has.
    pub(crate) fn tests(&self) -> usize {
        self.field_tests().count()
    }

    pub(super) fn rank(&self) -> Rank {
        (self.tests(), self.conditions.len(), self.span.is_some(), self.target.len())
    }

    /// Is it about the same as another one, so that the later of the two replaces the other?
    pub(crate) fn is_about_the_same(&self, other: &Self) -> bool {
        self.target == other.target
            && self.span == other.span
            && self.conditions == other.conditions
    }

    pub(crate) fn lets_through(&self, level: Level) -> bool {
        self.level.is_some_and(|least| level >= least)
    }

    /// Is a target the directive's, or below it?
    pub(super) fn covers(&self, target: &str) -> bool {
        let Some((head, rest)) = target.as_bytes().split_at_checked(self.target.len()) else {
            return false;
        };
        let is_same =
            |(byte, wanted): (&u8, u8)| *byte == wanted || (*byte == b'-' && wanted == b'_');
        head.iter().zip(self.target.bytes()).all(is_same)
            && (head.is_empty()
                || rest.is_empty()
                || rest.starts_with(b"::")
                || head.ends_with(b"::"))
    }

    /// Can a callsite carry it: do target, name and field names fit?
    ///
    /// An event carries a directive of field conditions without a span's name.
    pub(crate) fn fits<'a>(
        &self,
        target: &str,
        span: Option<&str>,
        fields: impl Iterator<Item = &'a str> + Clone,
    ) -> bool {
        let is_name_right = match (&self.span, span) {
            (Some(wanted), Some(name)) => wanted == name,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let has = |wanted: &Condition| fields.clone().any(|field| field == wanted.field);
        is_name_right && self.covers(target) && self.conditions.iter().all(has)
    }

    /// Do these fields meet every condition?
    pub(super) fn is_met_by(&self, fields: &[(&str, FieldValue<'_>)]) -> bool {
        self.conditions.iter().all(|condition| {
            // The last value of a field counts, as with `Span::record`.
            let held = fields.iter().rev().find(|(name, _)| *name == condition.field);
            held.is_some_and(|(_, value)| {
                let is_met = condition.test.as_ref().is_none_or(|test| test.accepts(*value));
                is_met && !condition.is_redacted()
            })
        })
    }
}

impl fmt::Debug for Directive {
    /// As it is written, without the values that are redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Directive").field(&format_args!("{self}")).finish()
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(f, &self.target, is_target_character)?;
        if self.is_dynamic() {
            f.write_str("[")?;
            if let Some(span) = &self.span {
                name(f, span, is_span_character)?;
            }
            for (n, condition) in self.conditions.iter().enumerate() {
                f.write_str(if n == 0 { "{" } else { "," })?;
                name(f, &condition.field, is_field_character)?;
                match &condition.test {
                    Some(_) if condition.is_redacted() => write!(f, "=\"{REDACTED}\"")?,
                    Some(test) => test.fmt(f)?,
                    None => {}
                }
            }
            f.write_str(if self.conditions.is_empty() { "]" } else { "}]" })?;
        }
        if self.is_dynamic() || !self.target.is_empty() {
            f.write_str("=")?;
        }
        match self.level {
            None => f.write_str("off"),
            Some(Level::Error) => f.write_str("error"),
            Some(Level::Warn) => f.write_str("warn"),
            Some(Level::Info) => f.write_str("info"),
            Some(Level::Debug) => f.write_str("debug"),
            Some(Level::Trace) => f.write_str("trace"),
        }
    }
}

/// Writes a name, in quotes where the parser would not read it without.
fn name(f: &mut fmt::Formatter<'_>, text: &str, is_plain: fn(char) -> bool) -> fmt::Result {
    if text.chars().all(is_plain) { f.write_str(text) } else { quote(f, text) }
}

/// May a character stand in a target without quotes?
pub(super) fn is_target_character(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(character, '_' | '-' | ':' | '.' | '/' | '@' | '#' | '$')
}

/// May a character stand in a span's name without quotes?
pub(super) fn is_span_character(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !matches!(character, '[' | ']' | '{' | '}' | '"' | ',' | '=')
}

/// May a character stand in a field's name without quotes?
pub(super) fn is_field_character(character: char) -> bool {
    is_span_character(character) && !matches!(character, '!' | '<' | '>' | '~')
}
