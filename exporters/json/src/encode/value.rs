//! JSON values: escaped texts, numbers, bytes, errors.
//!
//! # Invariants
//!
//! - What is written is valid JSON in UTF-8 without a line break, whatever the value is.
//! - A text without control, quote, backslash and non-ASCII bytes costs one copy.
//! - Nothing is rounded: an integer beyond 64 bits and a float that is not finite are strings.

use telemetry_core::output::is_unprintable;
use telemetry_core::record::{ErrorChain, Value};

/// Writes a value; texts and bytes at most `text_max` bytes of each. Returns whether it was cut.
#[inline]
pub(crate) fn put_value(out: &mut Vec<u8>, value: Value<'_>, text_max: usize) -> bool {
    match value {
        Value::Str(text) | Value::Formatted(text) => return put_text(out, text, text_max),
        Value::U64(number) => put_integer(out, number),
        Value::I64(number) => put_integer(out, number),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::F64(number) => put_f64(out, number),
        Value::I128(number) => match i64::try_from(number) {
            Ok(number) => put_integer(out, number),
            Err(_) => put_quoted_integer(out, number),
        },
        Value::U128(number) => match u64::try_from(number) {
            Ok(number) => put_integer(out, number),
            Err(_) => put_quoted_integer(out, number),
        },
        Value::Bytes(bytes) => return put_base64(out, bytes, text_max),
        Value::Error(chain) => return put_error(out, chain, text_max),
        // A kind that this version does not know is absent, which JSON calls null.
        _ => out.extend_from_slice(b"null"),
    }
    false
}

#[inline]
pub(crate) fn put_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_quoted_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.push(b'"');
    put_integer(out, number);
    out.push(b'"');
}

/// Writes a float: the shortest digits that read back as the same number.
#[inline]
pub(crate) fn put_f64(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number > 0.0 {
        out.extend_from_slice(b"\"Infinity\"");
    } else {
        out.extend_from_slice(b"\"-Infinity\"");
    }
}

/// Writes a text in quotes, at most `text_max` bytes of it. Returns whether it was cut.
#[inline]
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str, text_max: usize) -> bool {
    let kept = if text.len() <= text_max { text } else { cut_text(text, text_max) };
    out.push(b'"');
    let plain = plain_prefix(kept.as_bytes());
    out.extend_from_slice(&kept.as_bytes()[..plain]);
    if plain < kept.len() {
        put_escaped(out, &kept[plain..]);
    }
    out.push(b'"');
    kept.len() < text.len()
}

/// The longest prefix of at most `bytes_max` bytes that ends between two characters.
#[cold]
fn cut_text(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// How many bytes at the beginning need no look at each of them: all, or a multiple of 8.
#[inline]
fn plain_prefix(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<8>();
    let Some(last) = bytes.last_chunk::<8>() else { return plain_short(bytes) };
    for (n, chunk) in chunks.iter().enumerate() {
        if has_special(u64::from_le_bytes(*chunk)) {
            return n * 8;
        }
    }
    // The last eight bytes overlap those before: cheaper than a loop over the rest.
    if has_special(u64::from_le_bytes(*last)) { chunks.len() * 8 } else { bytes.len() }
}

/// The same for less than eight bytes: all of them, or none.
#[inline]
fn plain_short(bytes: &[u8]) -> usize {
    let word = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => {
            let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(b' '));
            0x2020_2020_2000_0000 | byte(0) | byte(1) << 8 | byte(2) << 16
        }
    };
    if has_special(word) { 0 } else { bytes.len() }
}

/// Is any of eight bytes a control character, a quote, a backslash, DEL, or not ASCII?
///
/// Subtracting from all bytes at once, the borrow of one byte may reach the next: but then that
/// first byte is special itself, so the answer is exact.
#[inline]
const fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    let delete = (word ^ (ONES * 0x7f)).wrapping_sub(ONES);
    (control | quote | backslash | delete | word) & HIGH != 0
}

/// Two digits escape, or 1 for `\u00XX`, 2 for the first byte of a character that may be
/// unprintable, 0 for none.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = 1;
        byte += 1;
    }
    escapes[0x7f] = 1;
    escapes[b'\n' as usize] = b'n';
    escapes[b'\r' as usize] = b'r';
    escapes[b'\t' as usize] = b't';
    escapes[0x08] = b'b';
    escapes[0x0c] = b'f';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    // C1 and soft hyphen; Arabic letter mark; Mongolian separator; general punctuation; byte order
    // mark and interlinear marks; tags.
    let leads = [0xc2, 0xd8, 0xe1, 0xe2, 0xef, 0xf3];
    let mut n = 0;
    while n < leads.len() {
        escapes[leads[n]] = 2;
        n += 1;
    }
    escapes
};

fn put_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let (mut begin, mut at) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        let escape = ESCAPES[usize::from(byte)];
        let length = match escape {
            0 => {
                at += 1;
                continue;
            }
            2 => {
                let c = text[at..].chars().next().unwrap_or('\0');
                if !is_unprintable(c) {
                    at += c.len_utf8();
                    continue;
                }
                c.len_utf8()
            }
            _ => 1,
        };
        out.extend_from_slice(&bytes[begin..at]);
        match escape {
            1 => put_unit(out, u16::from(byte)),
            2 => {
                let c = text[at..].chars().next().unwrap_or('\0');
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| put_unit(out, *unit));
            }
            short => out.extend_from_slice(&[b'\\', short]),
        }
        at += length;
        begin = at;
    }
    out.extend_from_slice(&bytes[begin..]);
}

fn put_unit(out: &mut Vec<u8>, unit: u16) {
    out.extend_from_slice(b"\\u");
    put_hex(out, &unit.to_be_bytes());
}

/// Writes bytes as lowercase hexadecimal digits.
pub(crate) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        let pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        out.extend_from_slice(&pair);
    }
}

/// Writes bytes as base64 with padding (RFC 4648 §4), at most about `text_max` characters.
fn put_base64(out: &mut Vec<u8>, bytes: &[u8], text_max: usize) -> bool {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let kept = &bytes[..bytes.len().min(text_max / 4 * 3)];
    out.push(b'"');
    for chunk in kept.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        let mut digits = [18, 12, 6, 0].map(|shift| DIGITS[(group >> shift & 63) as usize]);
        digits[chunk.len() + 1..].fill(b'=');
        out.extend_from_slice(&digits);
    }
    out.push(b'"');
    kept.len() < bytes.len()
}

/// Writes an error as an object: its own text, and those of its sources, outermost first.
fn put_error(out: &mut Vec<u8>, mut chain: ErrorChain<'_>, text_max: usize) -> bool {
    out.extend_from_slice(b"{\"message\":");
    let mut cut = put_text(out, chain.next().unwrap_or_default(), text_max);
    out.extend_from_slice(b",\"chain\":[");
    for (n, source) in chain.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        cut |= put_text(out, source, text_max);
    }
    out.extend_from_slice(b"]}");
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        let mut out = Vec::new();
        put_text(&mut out, text, usize::MAX);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_unprintable_character_is_escaped_and_no_other() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let written = text(&format!("before{c}"));
            let escaped = is_unprintable(c) || c == '"' || c == '\\';
            assert_eq!(written.contains('\\'), escaped, "{c:?}");
            assert!(!written.chars().any(is_unprintable), "{c:?}");
            let read: String = serde_json::from_str(&written).unwrap();
            assert_eq!(read, format!("before{c}"));
        }
    }

    #[test]
    fn special_bytes_are_found_at_every_place_of_a_word() {
        for at in 0..8 {
            for byte in 0..=u8::MAX {
                let mut word = [b'a'; 8];
                word[at] = byte;
                let special = !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\';
                assert_eq!(has_special(u64::from_le_bytes(word)), special, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let mut out = Vec::new();
        assert!(put_text(&mut out, "aé", 2));
        assert_eq!(out, b"\"a\"");
    }

    #[test]
    fn base64_follows_the_test_vectors_of_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, expected) in cases {
            let mut out = Vec::new();
            assert!(!put_base64(&mut out, bytes.as_bytes(), usize::MAX));
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""));
        }
    }

    #[test]
    fn floats_that_are_not_finite_are_named() {
        let mut out = Vec::new();
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300, 0.1] {
            put_f64(&mut out, number);
        }
        assert_eq!(out, b"\"NaN\"\"Infinity\"\"-Infinity\"-0.01e+3000.1");
    }

    #[test]
    fn integers_beyond_64_bits_are_strings() {
        let of = |value| {
            let mut out = Vec::new();
            put_value(&mut out, value, usize::MAX);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(Value::I128(-5)), "-5");
        assert_eq!(of(Value::U128(u128::from(u64::MAX))), "18446744073709551615");
        assert_eq!(of(Value::U128(1 << 64)), "\"18446744073709551616\"");
        assert_eq!(of(Value::I128(i128::MIN)), format!("\"{}\"", i128::MIN));
    }
}
