//! Which names and units a metric may have, and what becomes of the others.
//!
//! # Invariants
//!
//! - A valid name or unit is passed on unchanged, and without allocating.
//! - An invalid name becomes a valid one, so that its measurements are not lost.
//!
//! Source: OpenTelemetry metrics API, instrument name syntax and instrument unit.

use std::borrow::Cow;

/// Longest name, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// Longest unit, in bytes.
const UNIT_BYTES_MAX: usize = 63;

/// Returns whether `name` is a letter, then up to 254 letters, digits, `_`, `.`, `-` or `/`.
pub(super) fn is_valid_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(is_name_byte)
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/')
}

/// Makes `name` valid: what is not allowed becomes `_`, a start that is not a letter gets `m_`
/// in front, what is too long is cut.
pub(super) fn valid_name(name: &str) -> Cow<'_, str> {
    if is_valid_name(name) {
        return Cow::Borrowed(name);
    }
    let mut valid = String::with_capacity(NAME_BYTES_MAX);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        valid.push_str("m_");
    }
    let allowed = |c: char| if c.is_ascii() && is_name_byte(c as u8) { c } else { '_' };
    let room = NAME_BYTES_MAX - valid.len();
    valid.extend(name.chars().take(room).map(allowed));
    Cow::Owned(valid)
}

/// Returns whether `unit` is at most 63 ASCII characters.
pub(super) fn is_valid_unit(unit: &str) -> bool {
    unit.len() <= UNIT_BYTES_MAX && unit.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_syntax() {
        for name in ["a", "process.cpu.time", "A_b-c/d.1", &"x".repeat(255)] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", "1a", ".a", "a b", "a:b", "größe", &"x".repeat(256)] {
            assert!(!is_valid_name(name), "{name}");
        }
    }

    #[test]
    fn invalid_names_stay_recognisable() {
        assert_eq!(valid_name("http:requests total"), "http_requests_total");
        assert_eq!(valid_name("5xx"), "m_5xx");
        assert_eq!(valid_name(""), "m_");
        assert_eq!(valid_name("größe"), "gr__e");
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_valid_name(name in any::<String>(), long in 0..3_usize) {
            prop_assert!(is_valid_name(&valid_name(&name)));
            prop_assert!(is_valid_name(&valid_name(&name.repeat(long * 100))));
        }
    }

    #[test]
    fn units_are_short_ascii() {
        assert!(is_valid_unit("") && is_valid_unit("{request}/s"));
        assert!(!is_valid_unit("µs") && !is_valid_unit(&"x".repeat(64)));
    }
}
