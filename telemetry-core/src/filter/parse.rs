//! From text to directives.
//!
//! # Invariants
//!
//! - One pass from left to right: the work is linear in the text, apart from the regular
//!   expressions, whose compiled size and number are bounded.
//! - Whatever is not understood is an error with its place; nothing is skipped but spaces and
//!   empty parts.

use super::directive::{
    Condition, Directive, is_field_character, is_span_character, is_target_character,
};
use super::error::{FilterError, FilterErrorKind as Kind};
use super::value::{Number, Operator, PATTERN_BYTES_MAX, PATTERN_DEPTH_MAX, Pattern, Test, Wanted};
use super::{CONDITIONS_MAX, DIRECTIVES_MAX, DYNAMIC_MAX, FILTER_BYTES_MAX, suggest};
use crate::level::Level;
use std::ops::Range;

type Result<T> = std::result::Result<T, FilterError>;

/// Reads all directives of a filter, in their order.
pub(super) fn parse(text: &str) -> Result<Vec<Directive>> {
    if text.len() > FILTER_BYTES_MAX {
        let what = format!("a filter of {} bytes: at most {FILTER_BYTES_MAX}", text.len());
        return Err(FilterError::new(Kind::Limit, text, 0..0, what, None));
    }
    let mut parser = Parser { text, at: 0 };
    let mut directives = Vec::new();
    let mut dynamic = 0;
    loop {
        parser.skip_separators();
        let start = parser.at;
        if parser.rest().is_empty() {
            return Ok(directives);
        }
        if directives.len() == DIRECTIVES_MAX {
            let what = format!("more than {DIRECTIVES_MAX} directives");
            return Err(parser.error(Kind::Limit, start..text.len(), what));
        }
        let directive = parser.directive()?;
        dynamic += usize::from(directive.is_dynamic());
        if dynamic > DYNAMIC_MAX {
            let what = format!("more than {DYNAMIC_MAX} directives with spans or fields");
            return Err(parser.error(Kind::Limit, start..parser.at, what));
        }
        directives.push(directive);
        parser.skip_spaces();
        if !parser.rest().is_empty() && !parser.rest().starts_with([',', ';']) {
            return Err(parser.unexpected("expected `,` between directives"));
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_skipped).len();
    }

    fn skip_spaces(&mut self) {
        self.skip(char::is_whitespace);
    }

    fn skip_separators(&mut self) {
        self.skip(|character| character.is_whitespace() || matches!(character, ',' | ';'));
    }

    /// What follows as long as `is_part` says so.
    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        self.skip(is_part);
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn error(&self, kind: Kind, span: Range<usize>, text: impl Into<String>) -> FilterError {
        FilterError::new(kind, self.text, span, text, None)
    }

    fn suggesting(
        &self,
        kind: Kind,
        span: Range<usize>,
        text: String,
        suggestion: String,
    ) -> FilterError {
        FilterError::new(kind, self.text, span, text, Some(suggestion))
    }

    /// The character that is next does not belong there.
    fn unexpected(&self, expected: &str) -> FilterError {
        let found = match self.peek() {
            Some(character) => format!("`{}` cannot stand here", character.escape_debug()),
            None => "the filter ends too early".to_owned(),
        };
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        let suggestion = Some(expected.to_owned());
        FilterError::new(Kind::Syntax, self.text, self.at..end, found, suggestion)
    }

    fn directive(&mut self) -> Result<Directive> {
        let start = self.at;
        let is_quoted = self.peek() == Some('"');
        let target =
            if is_quoted { self.quoted()? } else { self.take(is_target_character).to_owned() };
        let end = self.at;
        self.skip_spaces();
        let mut directive = Directive::of_level(Some(Level::Trace));
        if self.eat('[') {
            self.span_and_fields(&mut directive)?;
        } else if self.peek() == Some('{') {
            return Err(self.unexpected("fields stand in brackets: `[{field=value}]`"));
        }
        self.skip_spaces();
        let has_level = self.eat('=');
        if !has_level && !directive.is_dynamic() && !is_quoted {
            return self.level_or_target(target, start..end);
        }
        directive.target = normal(&target);
        if has_level {
            self.skip_spaces();
            directive.level = self.level()?;
        }
        Ok(directive)
    }

    /// A word alone: a level, else a target with everything in it.
    fn level_or_target(&self, word: String, span: Range<usize>) -> Result<Directive> {
        if word.is_empty() {
            return Err(self.unexpected("expected a level, a target or `[`"));
        }
        if let Some(level) = level_of(&word) {
            return Ok(Directive::of_level(level));
        }
        if let Some(level) = suggest::level(&word) {
            let text = format!("`{word}` is not a level");
            let suggestion = format!("did you mean `{level}`, or the target `{word}=trace`?");
            return Err(self.suggesting(Kind::Level, span, text, suggestion));
        }
        Ok(Directive { target: normal(&word), ..Directive::of_level(Some(Level::Trace)) })
    }

    /// A level behind `=`; nothing there is `trace`.
    fn level(&mut self) -> Result<Option<Level>> {
        let start = self.at;
        let word = self.take(|c| !c.is_whitespace() && !matches!(c, ',' | ';' | '['));
        if word.is_empty() {
            return Ok(Some(Level::Trace));
        }
        level_of(word).ok_or_else(|| {
            let text = format!("`{}` is not a level", word.escape_debug());
            let suggestion = match suggest::level(word) {
                Some(level) => format!("did you mean `{level}`?"),
                None => "use one of off, error, warn, info, debug, trace".to_owned(),
            };
            self.suggesting(Kind::Level, start..self.at, text, suggestion)
        })
    }

    /// Behind `[`: a span's name, fields in braces, or both.
    fn span_and_fields(&mut self, directive: &mut Directive) -> Result<()> {
        let start = self.at - 1;
        self.skip_spaces();
        let name = self.name(is_span_character)?;
        directive.span = (!name.is_empty()).then_some(name);
        self.skip_spaces();
        if self.eat('{') {
            self.fields(&mut directive.conditions)?;
            self.skip_spaces();
        }
        if !self.eat(']') {
            return Err(self.unexpected("expected `]` behind the span's name and fields"));
        }
        if !directive.is_dynamic() {
            let text = "there is nothing in the brackets".to_owned();
            let suggestion = "name a span or a field: `[span]`, `[{field}]`".to_owned();
            return Err(self.suggesting(Kind::Syntax, start..self.at, text, suggestion));
        }
        Ok(())
    }

    /// A name, in quotes or not.
    fn name(&mut self, is_part: fn(char) -> bool) -> Result<String> {
        if self.peek() == Some('"') { self.quoted() } else { Ok(self.take(is_part).to_owned()) }
    }

    /// Behind `{`, up to and with `}`.
    fn fields(&mut self, conditions: &mut Vec<Condition>) -> Result<()> {
        loop {
            self.skip_spaces();
            let start = self.at;
            let field = self.name(is_field_character)?;
            if field.is_empty() {
                return Err(self.unexpected("expected the name of a field"));
            }
            if conditions.len() == CONDITIONS_MAX {
                let what = format!("more than {CONDITIONS_MAX} conditions in one directive");
                return Err(self.error(Kind::Limit, start..self.at, what));
            }
            self.skip_spaces();
            let test = self.test()?;
            conditions.push(Condition { field, test });
            self.skip_spaces();
            if self.eat('}') {
                return Ok(());
            }
            if !self.eat(',') {
                return Err(self.unexpected("expected `,` or `}` behind a field"));
            }
        }
    }

    /// Operator and value, if there are any.
    fn test(&mut self) -> Result<Option<Test>> {
        let rest = self.rest();
        let Some((text, operator)) =
            Operator::ALL.into_iter().find(|(text, _)| rest.starts_with(text))
        else {
            return Ok(None);
        };
        self.at += text.len();
        self.skip_spaces();
        let start = self.at;
        let (word, is_quoted) = if self.peek() == Some('"') {
            (self.quoted()?, true)
        } else {
            (self.take(|c| !matches!(c, ',' | '}')).trim_end().to_owned(), false)
        };
        if word.is_empty() && !is_quoted {
            return Err(self.unexpected("expected a value: a number, a word or `\"text\"`"));
        }
        self.wanted(operator, word, is_quoted, start..self.at).map(Some)
    }

    fn wanted(
        &self,
        operator: Operator,
        word: String,
        is_quoted: bool,
        span: Range<usize>,
    ) -> Result<Test> {
        let wrong = |error: String| {
            if error.contains("limit") || error.contains("nesting") {
                let text = format!(
                    "the regular expression is over the limit: {PATTERN_BYTES_MAX} bytes compiled, \
                     groups {PATTERN_DEPTH_MAX} deep"
                );
                return self.error(Kind::Limit, span.clone(), text);
            }
            let text = format!("the regular expression cannot be used: {}", error.trim());
            self.error(Kind::Pattern, span.clone(), text)
        };
        let number = if is_quoted { None } else { Number::parse(&word) };
        let plain = |wanted| Ok(Test { operator, wanted });
        if operator.is_pattern() {
            return plain(Wanted::Pattern(Pattern::new(word).map_err(wrong)?));
        }
        if operator.is_order() {
            return plain(Wanted::Number(number.ok_or_else(|| {
                let text = format!("`{}` is not a number", word.escape_debug());
                let suggestion = "`<`, `<=`, `>` and `>=` compare numbers".to_owned();
                self.suggesting(Kind::Value, span.clone(), text, suggestion)
            })?));
        }
        if let Some(number) = number {
            return plain(Wanted::Number(number));
        }
        match word.as_str() {
            "true" if !is_quoted => plain(Wanted::Bool(true)),
            "false" if !is_quoted => plain(Wanted::Bool(false)),
            _ if !is_quoted && word.contains(PATTERN_CHARACTERS) => {
                let wanted = Wanted::Pattern(Pattern::whole(&word).map_err(wrong)?);
                let is_equal = operator == Operator::Equal;
                let operator = if is_equal { Operator::Matches } else { Operator::MatchesNot };
                Ok(Test { operator, wanted })
            }
            _ => plain(Wanted::Text(word)),
        }
    }

    /// A text in quotes: `\"` is a quote, `\\` a backslash, any other backslash is itself.
    fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => {
                    let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                    text.push(escaped.map_or('\\', |(_, next)| next));
                }
                _ => text.push(character),
            }
        }
        let what = "the quote is not closed".to_owned();
        let suggestion = "expected `\"` behind the text".to_owned();
        Err(self.suggesting(Kind::Syntax, start..start + 1, what, suggestion))
    }
}

/// What makes a value without quotes a pattern for the whole value, as `EnvFilter` takes it.
const PATTERN_CHARACTERS: [char; 11] = ['*', '+', '?', '|', '^', '$', '(', ')', '[', ']', '\\'];

fn normal(target: &str) -> String {
    target.replace('-', "_")
}

/// The level that a word names; `Some(None)` = off.
fn level_of(word: &str) -> Option<Option<Level>> {
    match word {
        "0" => return Some(None),
        "1" => return Some(Some(Level::Error)),
        "2" => return Some(Some(Level::Warn)),
        "3" => return Some(Some(Level::Info)),
        "4" => return Some(Some(Level::Debug)),
        "5" => return Some(Some(Level::Trace)),
        _ if word.eq_ignore_ascii_case("off") => return Some(None),
        _ => {}
    }
    Level::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word)).map(Some)
}
