//! Which directive decides about a record, and which never can.

use super::Filter;
use super::directive::Directive;
use super::value::{FieldValue, Operator, Wanted};
use crate::level::Level;
use crate::redaction::{self, REDACTED};
use std::fmt;

/// A record, as far as a filter looks at it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The target.
    pub target: &'a str,
    /// The level.
    pub level: Level,
    /// Names and values.
    pub fields: &'a [(&'a str, FieldValue<'a>)],
    /// The spans around it, outermost first.
    pub spans: &'a [SpanRecord<'a>],
}

impl fmt::Debug for Record<'_> {
    /// Without the values that are redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("target", &self.target)
            .field("level", &self.level)
            .field("fields", &Shown(self.fields))
            .field("spans", &self.spans)
            .finish()
    }
}

/// A span around a record.
#[derive(Clone, Copy)]
pub struct SpanRecord<'a> {
    /// The name.
    pub name: &'a str,
    /// The target; `None` = as the record's.
    pub target: Option<&'a str>,
    /// Names and values.
    pub fields: &'a [(&'a str, FieldValue<'a>)],
}

impl fmt::Debug for SpanRecord<'_> {
    /// Without the values that are redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanRecord")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("fields", &Shown(self.fields))
            .finish()
    }
}

/// Fields as `Debug` shows them.
struct Shown<'a>(&'a [(&'a str, FieldValue<'a>)]);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.0.iter().map(|(name, value)| match redaction::is_secret(name) {
            true => (name, FieldValue::Text(REDACTED)),
            false => (name, *value),
        });
        f.debug_map().entries(fields).finish()
    }
}

/// What a filter does with a record, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'f> {
    /// Is the record wanted?
    pub enabled: bool,
    /// The directive that decided; `None` = none applies, so the record is not wanted.
    pub directive: Option<&'f Directive>,
    /// The name of the span that carries the directive; `None` = the record itself.
    pub span: Option<String>,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.enabled { "enabled" } else { "disabled" };
        match (self.directive, &self.span) {
            (None, _) => write!(f, "{word}: no directive applies"),
            (Some(directive), None) => write!(f, "{word} by `{directive}`"),
            (Some(directive), Some(span)) => write!(f, "{word} by `{directive}`, in span `{span}`"),
        }
    }
}

impl Filter {
    /// Says what becomes of an event, and which directive decides.
    ///
    /// ```
    /// use telemetry_core::Level;
    /// use telemetry_core::filter::{FieldValue, Filter, Record, SpanRecord};
    ///
    /// let filter = Filter::parse("info,[request{tenant=42}]=trace")?;
    /// let fields = [("tenant", FieldValue::Integer(42))];
    /// let spans = [SpanRecord { name: "request", target: None, fields: &fields }];
    /// let record = Record { target: "app", level: Level::Debug, fields: &[], spans: &spans };
    /// let explanation = filter.explain(&record);
    /// assert!(explanation.enabled);
    /// assert_eq!(
    ///     explanation.to_string(),
    ///     "enabled by `[request{tenant=42}]=trace`, in span `request`",
    /// );
    /// # Ok::<(), telemetry_core::filter::FilterError>(())
    /// ```
    pub fn explain(&self, record: &Record<'_>) -> Explanation<'_> {
        for directive in &self.directives {
            if let Some(span) = applies(directive, record) {
                let enabled = directive.lets_through(record.level);
                return Explanation { enabled, directive: Some(directive), span };
            }
        }
        Explanation { enabled: false, directive: None, span: None }
    }

    /// The directives that can never decide, each with the reason.
    pub fn never(&self) -> Vec<(&Directive, String)> {
        let replaced = self.replaced.iter().map(|directive| {
            let same = |later: &&Directive| later.is_about_the_same(directive);
            let later = self.directives.iter().find(same);
            let later = later.map(ToString::to_string).unwrap_or_default();
            (directive, format!("the later `{later}` replaces it"))
        });
        let contradictory = self.directives.iter().filter_map(|directive| {
            let field = contradiction(directive)?;
            Some((directive, format!("no value of `{field}` meets all its conditions")))
        });
        let redacted = self.directives.iter().filter_map(|directive| {
            let condition = directive.conditions.iter().find(|one| one.is_redacted())?;
            let field = &condition.field;
            Some((directive, format!("the value of `{field}` is redacted, and not compared")))
        });
        replaced.chain(contradictory).chain(redacted).collect()
    }
}

/// Does a directive apply to an event? `Some(Some(name))`: a span around it carries it.
fn applies(directive: &Directive, record: &Record<'_>) -> Option<Option<String>> {
    let names = |fields: &'_ [(&'_ str, FieldValue<'_>)]| {
        fields.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
    };
    let fits = |target: &str, name: Option<&str>, fields: &[(&str, FieldValue<'_>)]| {
        let names = names(fields);
        directive.fits(target, name, names.iter().map(String::as_str))
            && directive.is_met_by(fields)
    };
    if !directive.is_dynamic() {
        return directive.covers(record.target).then_some(None);
    }
    if directive.span.is_none() && fits(record.target, None, record.fields) {
        return Some(None);
    }
    let carrier = record
        .spans
        .iter()
        .rev()
        .find(|span| fits(span.target.unwrap_or(record.target), Some(span.name), span.fields));
    carrier.map(|span| Some(span.name.to_owned()))
}

/// A field whose conditions exclude each other.
fn contradiction(directive: &Directive) -> Option<&str> {
    directive.conditions.iter().find_map(|condition| {
        let (low, high) = bounds(directive, &condition.field);
        let field = condition.field.as_str();
        if low > high { Some(field) } else { exact_contradiction(directive, field) }
    })
}

/// Two texts or truths that one field would have to be at once.
fn exact_contradiction<'d>(directive: &'d Directive, field: &'d str) -> Option<&'d str> {
    let mut wanted =
        directive.conditions.iter().filter(|other| other.field == field).filter_map(|other| {
            match &other.test {
                Some(test) if test.operator == Operator::Equal => Some(&test.wanted),
                _ => None,
            }
        });
    let first = wanted.next()?;
    wanted.any(|other| other != first).then_some(field)
}

/// The numbers that all conditions on a field leave over.
fn bounds(directive: &Directive, field: &str) -> (f64, f64) {
    let mut bounds = (f64::NEG_INFINITY, f64::INFINITY);
    for condition in directive.conditions.iter().filter(|other| other.field == field) {
        let Some(test) = &condition.test else { continue };
        let Wanted::Number(number) = test.wanted else { continue };
        let number = number.as_f64();
        let (low, high) = match test.operator {
            Operator::Equal => (number, number),
            Operator::Less => (f64::NEG_INFINITY, number.next_down()),
            Operator::LessOrEqual => (f64::NEG_INFINITY, number),
            Operator::Greater => (number.next_up(), f64::INFINITY),
            Operator::GreaterOrEqual => (number, f64::INFINITY),
            _ => continue,
        };
        bounds = (bounds.0.max(low), bounds.1.min(high));
    }
    bounds
}
