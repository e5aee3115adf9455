//! A filter's text for people, without the secrets that somebody has written into it.
//!
//! # Invariants
//!
//! - Bytes are replaced one by one, so that places in the text stay where they are.
//! - It works on what cannot be parsed, too: that is what errors show.

use super::FILTER_BYTES_MAX;
use super::directive::is_field_character;
use crate::redaction;
use std::borrow::Cow;

/// The filter with stars for the values of fields that are redacted: `[{token="**"}]`.
///
/// Of a text that is longer than a filter may be, only so much is looked at and returned.
pub(super) fn masked(filter: &str) -> Cow<'_, str> {
    let longest = filter.len().min(FILTER_BYTES_MAX);
    let end = (0..=longest).rev().find(|end| filter.is_char_boundary(*end));
    let filter = &filter[..end.unwrap_or(0)];
    let mut text = Cow::Borrowed(filter);
    let (mut at, mut is_inside) = (0, false);
    while let Some(next) = filter[at..].chars().next() {
        let word = word(&filter[at..]);
        if word.is_empty() {
            // Outside of brackets stand targets and levels.
            is_inside = next != ']' && (is_inside || matches!(next, '[' | '{'));
            at += next.len_utf8();
            continue;
        }
        at += word.len();
        if !is_inside || !redaction::is_secret(word) {
            continue;
        }
        let is_operator = |c: char| matches!(c, '=' | '!' | '<' | '>' | '~' | '"') || c == ' ';
        let rest = filter[at..].trim_start_matches(is_operator);
        let start = filter.len() - rest.len();
        if filter[at..start].contains(['=', '!', '<', '>', '~']) {
            let is_quoted = filter[..start].ends_with('"');
            at = start + value_length(rest, is_quoted);
            text.to_mut().replace_range(start..at, &stars(&filter[start..at]));
        }
    }
    text
}

/// As many stars as the value has bytes.
fn stars(value: &str) -> String {
    value.chars().flat_map(|c| std::iter::repeat_n('*', c.len_utf8())).collect()
}

fn word(text: &str) -> &str {
    let end = text.find(|c| !is_field_character(c)).unwrap_or(text.len());
    &text[..end]
}

fn value_length(rest: &str, is_quoted: bool) -> usize {
    if !is_quoted {
        return rest.find([',', '}']).unwrap_or(rest.len());
    }
    let mut is_escaped = false;
    let end = rest.find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_fields_are_masked_and_nothing_else() {
        let table = [
            ("info,[{token=\"hunter2\"}]=debug", "info,[{token=\"*******\"}]=debug"),
            ("[s{a=1,password ~ \"h.*\\\"2\",b=2}]", "[s{a=1,password ~ \"******\",b=2}]"),
            ("[{password=hunter2,b=3", "[{password=*******,b=3"),
            ("[{password=hunter2", "[{password=*******"),
            ("[{x-api-key!=\"öh", "[{x-api-key!=\"***"),
            ("[token=hunter2]", "[token=********"),
            ("[{\"token\"=hunter2}]", "[{\"token\"=*******}]"),
        ];
        for (filter, expected) in table {
            assert_eq!(masked(filter), expected, "{filter}");
        }
        let same = [
            "",
            "app::token=debug",
            "[{token}]=off",
            "[{token_count=3}]",
            "[{user=\"ann\"}]",
            "]token=x",
        ];
        for filter in same {
            assert!(matches!(masked(filter), Cow::Borrowed(_)), "{filter}");
        }
    }
}
