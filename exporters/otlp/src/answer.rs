//! What a collector's answer means.
//!
//! # Invariants
//!
//! - The body changes nothing but the number of rejected records: a status of an error is for
//!   people, and text for people is cut and cleaned before it is shown.
//! - A success whose body cannot be read is a success (the specification is silent), with a
//!   diagnostic.
//!
//! Source: opentelemetry/proto/collector/*/v1; OTLP specification, "Partial Success", "Failures".

use crate::encode::wire::{Field, Malformed, Reader};
use std::time::Duration;

/// How many characters of a peer's text are shown.
pub(crate) const TEXT_MAX: usize = 1024;

/// How a request ended at the peer, or did not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was taken.
    Delivered,
    /// It was taken but for so many records. Never sent again.
    Partial(u64),
    /// It was refused for good.
    Refused,
    /// It may be sent again, at the earliest after the wait that the peer asked for.
    Retry(Option<Duration>),
    /// None came in time. It may be sent again, over another connection.
    Missing,
}

/// What the body of a success says: how many records were rejected, and a text.
pub(crate) fn partial_success(body: &[u8]) -> Result<(u64, String), Malformed> {
    let (mut rejected, mut text) = (0, String::new());
    let mut response = Reader::new(body);
    while let Some(field) = response.next()? {
        let (1, Field::Bytes(partial)) = field else { continue };
        let mut partial = Reader::new(partial);
        while let Some(field) = partial.next()? {
            match field {
                // A negative count is as good as none.
                (1, Field::Varint(count)) => rejected = (count as i64).max(0) as u64,
                (2, Field::Bytes(bytes)) => text = shown(bytes),
                _ => {}
            }
        }
    }
    Ok((rejected, text))
}

/// The message of a `google.rpc.Status`, or the start of a body that is none.
pub(crate) fn error_text(body: &[u8]) -> String {
    let mut status = Reader::new(body);
    let mut message: &[u8] = &[];
    loop {
        match status.next() {
            Ok(Some((2, Field::Bytes(bytes)))) => message = bytes,
            Ok(Some(_)) => {}
            Ok(None) => return shown(message),
            Err(Malformed) => return shown(body),
        }
    }
}

/// The wait that the details of a status ask for, zero if they name none; `None` without a
/// `RetryInfo` among them.
#[cfg(feature = "otlp-grpc")]
pub(crate) fn retry_delay(details: &[u8]) -> Option<Duration> {
    let mut status = Reader::new(details);
    while let Ok(Some(field)) = status.next() {
        let (3, Field::Bytes(any)) = field else { continue };
        let name = bytes_of(any, 1).unwrap_or_default();
        if !name.ends_with(b"/google.rpc.RetryInfo") {
            continue;
        }
        let info = bytes_of(any, 2).unwrap_or_default();
        let delay = bytes_of(info, 1).unwrap_or_default();
        let (seconds, nanos) = (varint_of(delay, 1), varint_of(delay, 2));
        // What is negative is as good as none.
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        return Some(Duration::new(seconds, nanos.unwrap_or(0)));
    }
    None
}

/// The bytes of a field of a message.
#[cfg(feature = "otlp-grpc")]
fn bytes_of(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut reader = Reader::new(message);
    while let Ok(Some(field)) = reader.next() {
        if let (found, Field::Bytes(bytes)) = field
            && found == number
        {
            return Some(bytes);
        }
    }
    None
}

/// A number of a message, 0 if it is not there.
#[cfg(feature = "otlp-grpc")]
fn varint_of(message: &[u8], number: u64) -> i64 {
    let mut reader = Reader::new(message);
    while let Ok(Some(field)) = reader.next() {
        if let (found, Field::Varint(value)) = field
            && found == number
        {
            return value as i64;
        }
    }
    0
}

/// Text of a peer for people: at most [`TEXT_MAX`] characters, without control characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX * 4)];
    let clean = |c: char| if c.is_control() || is_bidirectional(c) { '\u{fffd}' } else { c };
    String::from_utf8_lossy(bytes).chars().take(TEXT_MAX).map(clean).collect()
}

/// Characters that make a terminal show text in another order than it has.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::wire;

    fn response(rejected: i64, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let start = wire::begin(&mut out, wire::bytes_key(1));
        out.push(wire::varint_key(1));
        wire::varint(&mut out, rejected as u64);
        wire::text(&mut out, wire::bytes_key(2), text);
        wire::end(&mut out, start);
        out
    }

    #[test]
    fn partial_success_is_read_and_clamped() {
        assert_eq!(partial_success(&[]), Ok((0, String::new())));
        assert_eq!(partial_success(&response(3, "bad")), Ok((3, "bad".to_owned())));
        assert_eq!(partial_success(&response(-3, "")), Ok((0, String::new())));
        assert_eq!(partial_success(b"<html>"), Err(Malformed));
    }

    #[test]
    fn peer_text_is_cut_and_cleaned() {
        let (_, text) = partial_success(&response(0, &"x".repeat(1 << 20))).unwrap();
        assert_eq!(text.len(), TEXT_MAX);
        let (_, text) = partial_success(&response(0, "a\x1b[31m\nb\u{202e}c")).unwrap();
        assert_eq!(text, "a\u{fffd}[31m\u{fffd}b\u{fffd}c");
        assert_eq!(error_text(b"<html>no</html>"), "<html>no</html>");
    }
}
