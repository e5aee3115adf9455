//! Captured records as lines: `WARN request{route=/}:query: app::db: slow rows=0`.
//!
//! # Invariants
//!
//! - A line has no line break in it.

use super::memory::{CapturedRecord, OwnedValue};
use crate::record::Kind;
use std::fmt;
use std::time::Duration;

impl fmt::Display for OwnedValue {
    /// The value; a text in quotes where it would not be seen where it ends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I64(value) => write!(f, "{value}"),
            Self::U64(value) => write!(f, "{value}"),
            Self::I128(value) => write!(f, "{value}"),
            Self::U128(value) => write!(f, "{value}"),
            Self::F64(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) if is_plain(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "{bytes:02x?}"),
            Self::Error(chain) => write!(f, "{:?}", chain.join(": ")),
        }
    }
}

fn is_plain(text: &str) -> bool {
    let is_plain = |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '"' | '='));
    !text.is_empty() && text.chars().all(is_plain)
}

impl fmt::Display for CapturedRecord {
    /// The record as one line, without its time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} ", self.level.as_str())?;
        for (n, span) in self.spans.iter().rev().enumerate() {
            let separator = if n == 0 { "" } else { ":" };
            write!(f, "{separator}{}", span.name)?;
            if !span.fields.is_empty() {
                f.write_str("{")?;
                put_fields(f, &span.fields, "")?;
                f.write_str("}")?;
            }
        }
        let after_spans = if self.spans.is_empty() { "" } else { ": " };
        write!(f, "{after_spans}{}:", self.target)?;
        if self.kind == Kind::SpanClose {
            return write!(f, " close duration={:.2?}", Duration::from_nanos(self.duration_ns));
        }
        match (self.field("message"), self.chosen_name()) {
            (Some(OwnedValue::Text(message)), _) => {
                write!(f, " {}", message.escape_debug())?;
            }
            (Some(message), _) => write!(f, " {message}")?,
            (None, Some(name)) => write!(f, " {name}")?,
            (None, None) => {}
        }
        put_fields(f, &self.fields, " ")
    }
}

/// Writes `a=1 b=2`, with something before it if there is any.
fn put_fields(
    f: &mut fmt::Formatter<'_>,
    fields: &[(String, OwnedValue)],
    before: &str,
) -> fmt::Result {
    let mut separator = before;
    for (key, value) in fields.iter().filter(|(key, _)| key != "message") {
        write!(f, "{separator}{key}={value}")?;
        separator = " ";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_show_where_they_end() {
        let shown = |text: &str| OwnedValue::Text(text.to_owned()).to_string();
        assert_eq!(shown("/users"), "/users");
        assert_eq!(shown("two words"), r#""two words""#);
        assert_eq!(shown(""), r#""""#);
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(OwnedValue::F64(1.0).to_string(), "1.0");
    }
}
