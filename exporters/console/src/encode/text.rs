//! Values as people read them.
//!
//! # Invariants
//!
//! - No unprintable character of a text is written as it is
//!   ([`is_unprintable`](telemetry_core::output::is_unprintable)).

use std::io::Write;
use telemetry_core::output::is_unprintable;
use telemetry_core::record::{ErrorChain, Value};

/// How many bytes of a bytes value are shown.
const BYTES_SHOWN: usize = 32;

/// Writes a value.
pub(crate) fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Str(text) => put_word(out, text),
        Value::Formatted("") => out.extend_from_slice(b"\"\""),
        Value::Formatted(text) => put_text(out, text),
        Value::I64(number) => put_integer(out, number),
        Value::U64(number) => put_integer(out, number),
        Value::I128(number) => put_integer(out, number),
        Value::U128(number) => put_integer(out, number),
        Value::F64(number) => put_f64(out, number),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Bytes(bytes) => put_bytes(out, bytes),
        Value::Error(chain) => put_error(out, chain),
        _ => out.push(b'?'),
    }
}

/// Writes what stands as it is, like a message: only unprintable characters are escaped.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text, is_unprintable);
}

/// Writes a text so that it is seen where it ends: in quotes if need be.
pub(crate) fn put_word(out: &mut Vec<u8>, text: &str) {
    let is_plain = |c: char| !(c.is_whitespace() || c == '"' || c == '=' || is_unprintable(c));
    if !text.is_empty() && text.chars().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        put_quoted(out, text);
        out.push(b'"');
    }
}

fn put_quoted(out: &mut Vec<u8>, text: &str) {
    put(out, text, |c| c == '"' || c == '\\' || is_unprintable(c));
}

fn put(out: &mut Vec<u8>, text: &str, is_escaped: impl Fn(char) -> bool) {
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match c {
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            // Writing to a vector cannot fail.
            c if c.is_ascii() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
        }
        rest = &rest[at + c.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

pub(crate) fn put_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a float; `NaN`, `inf` and `-inf` too.
pub(crate) fn put_f64(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(zmij::Buffer::new().format(number).as_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"0x");
    for byte in bytes.iter().take(BYTES_SHOWN) {
        let _ = write!(out, "{byte:02x}");
    }
    if bytes.len() > BYTES_SHOWN {
        let _ = write!(out, "…({} bytes)", bytes.len());
    }
}

fn put_error(out: &mut Vec<u8>, chain: ErrorChain<'_>) {
    out.push(b'"');
    for (n, text) in chain.enumerate() {
        if n > 0 {
            out.extend_from_slice(b": ");
        }
        put_quoted(out, text);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value<'_>) -> String {
        let mut out = Vec::new();
        put_value(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_quoted_if_need_be() {
        assert_eq!(of(Value::Str("GET")), "GET");
        assert_eq!(of(Value::Str("")), r#""""#);
        assert_eq!(of(Value::Str("a b")), r#""a b""#);
        assert_eq!(of(Value::Str("a=b")), r#""a=b""#);
        assert_eq!(of(Value::Str(r#"a"\"#)), r#""a\"\\""#);
        assert_eq!(of(Value::Str(r"C:\x")), r"C:\x");
        assert_eq!(of(Value::Str("\u{1b}\n\t\u{9b}\u{202e}")), r#""\x1b\n\t\u{9b}\u{202e}""#);
    }

    #[test]
    fn formatted_values_stand_as_they_are() {
        assert_eq!(of(Value::Formatted(r#"Some("a b")"#)), r#"Some("a b")"#);
        assert_eq!(of(Value::Formatted("a\nb")), r"a\nb");
        assert_eq!(of(Value::Formatted("")), r#""""#);
    }

    #[test]
    fn every_unprintable_character_is_escaped() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = c.to_string();
            for written in [of(Value::Str(&text)), of(Value::Formatted(&text))] {
                assert!(!written.chars().any(is_unprintable), "{c:?}");
            }
        }
    }

    #[test]
    fn bytes_are_hexadecimal_and_bounded() {
        assert_eq!(of(Value::Bytes(b"\0\xff")), "0x00ff");
        assert!(of(Value::Bytes(&[1; 1000])).ends_with("01…(1000 bytes)"));
    }
}
