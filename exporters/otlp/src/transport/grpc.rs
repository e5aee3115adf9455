//! Over gRPC: one unary call, whose message is encoded already.
//!
//! Only the connection is tonic's. Its codec would compress a request again for every attempt,
//! call an answer that is too large by the name of a status that may be tried again, and panic
//! over details that are no base64; a message here is five bytes more than a body over HTTP.
//!
//! # Invariants
//!
//! - A status that the peer sent is told from a connection that broke: the table of statuses holds
//!   for the first, and the second is always tried again.
//! - Answers are not compressed: nothing says that they may be.
//!
//! Source: gRPC, "gRPC over HTTP2"; OTLP specification, "OTLP/gRPC".

use super::{Unread, http, read, taken, too_large, unreachable};
use crate::answer::{self, Answer};
use crate::config::{Compression, LaneConfig};
use crate::diagnostics::diagnose;
use crate::retry;
use crate::secrets;
use ::http::{HeaderMap, Method, StatusCode, Version};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::Full;
use std::future::poll_fn;
use std::time::Duration;
use telemetry_core::Level;
use tonic::body::Body;
use tonic::client::GrpcService;
pub(super) use tonic::transport::Channel;
use tonic::transport::Endpoint;

/// Says whether a message is compressed, and how long it is.
const PREFIX_BYTES: usize = 5;

/// A connection that is made by its first call, and anew after it broke; within a runtime.
pub(super) fn channel(lane: &LaneConfig) -> Channel {
    let endpoint = Endpoint::from(lane.uri.clone())
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)));
    match lane.timeout {
        Some(timeout) => endpoint.connect_timeout(timeout).connect_lazy(),
        None => endpoint.connect_lazy(),
    }
}

/// The message as it goes out.
pub(super) fn framed(message: &[u8], compression: Compression) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    out.put_u8(u8::from(compression != Compression::None));
    // No request is longer than 64 MiB.
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// Sends a message once.
pub(super) async fn exchange(mut channel: Channel, lane: &LaneConfig, body: Bytes) -> Answer {
    let mut request = ::http::Request::new(Body::new(Full::new(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = lane.uri.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = lane.headers.clone();
    if let Err(error) = poll_fn(|context| channel.poll_ready(context)).await {
        return unreachable(lane, &error);
    }
    let response = match channel.call(request).await {
        Ok(response) => response,
        Err(error) => return unreachable(lane, &error),
    };
    let (head, body) = response.into_parts();
    // An answer without a message has its status in front.
    if let Some(status) = Status::read(&head.headers) {
        return status.answer(lane, &[]);
    }
    let received = read(body).await;
    if head.status != StatusCode::OK {
        // Something in between has answered.
        let body = received.map(|received| received.bytes).unwrap_or_default();
        return http::failure(lane, head.status, &head.headers, &body);
    }
    match received {
        Err(Unread::TooLarge) => too_large(lane),
        Err(Unread::Disconnected) => broken(lane),
        Ok(received) => match Status::read(&received.trailers) {
            Some(status) => status.answer(lane, &received.bytes),
            None => broken(lane),
        },
    }
}

/// The connection ended within the answer.
fn broken(lane: &LaneConfig) -> Answer {
    diagnose("otlp.connection", Level::Warn, || {
        format!("the answer of `{}` broke off before its status", lane.shown)
    });
    Answer::Retry(None)
}

/// How a call ended, by the peer's word.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    code: u32,
    message: String,
    /// The wait of a `RetryInfo`, if there is one.
    retry_delay: Option<Duration>,
}

impl Status {
    fn read(headers: &HeaderMap) -> Option<Self> {
        /// `UNKNOWN`: what a code that cannot be read counts as.
        const UNKNOWN: u32 = 2;
        let code = headers.get("grpc-status")?;
        let code = code.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN);
        let message = headers.get("grpc-message").map_or(&b""[..], |message| message.as_bytes());
        let details = headers.get("grpc-status-details-bin");
        let details = details.and_then(|details| from_base64(details.as_bytes()));
        Some(Self {
            code,
            message: answer::shown(&percent_decoded(message)),
            retry_delay: details.and_then(|details| answer::retry_delay(&details)),
        })
    }

    fn answer(self, lane: &LaneConfig, body: &[u8]) -> Answer {
        if self.code == 0 {
            let message = body.split_at_checked(PREFIX_BYTES);
            let message = message.filter(|(prefix, message)| is_whole(prefix, message));
            return taken(lane, message.map_or(body, |(_, message)| message), message.is_some());
        }
        diagnose("otlp.status", Level::Warn, || {
            let text = secrets::without(lane, self.message);
            format!("`{}` answered status {}: {text}", lane.shown, self.code)
        });
        if !retry::is_retryable_status(self.code, self.retry_delay.is_some()) {
            return Answer::Refused;
        }
        let wait = self.retry_delay.map(|wait| wait.min(retry::RETRY_AFTER_MAX));
        Answer::Retry(wait.filter(|wait| !wait.is_zero()))
    }
}

/// Does the prefix belong to the message?
fn is_whole(prefix: &[u8], message: &[u8]) -> bool {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    prefix == [0, length[0], length[1], length[2], length[3]]
}

/// Text whose `%` may stand for themselves, as the specification wants it.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        let escaped = (*byte == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?)).flatten();
        out.push(escaped.map_or(*byte, |escaped| escaped as u8));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// The bytes of a binary header, with or without padding (RFC 4648, 4).
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (mut out, mut bits, mut held) = (Vec::with_capacity(end * 3 / 4), 0_u32, 0);
    for byte in &text[..end] {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_headers_are_read_with_and_without_padding() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zg", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYg", Some(b"foob")),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("Z!", None),
            ("Zg==Zg==", None),
        ] {
            assert_eq!(from_base64(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn messages_are_decoded_as_far_as_they_can_be() {
        for (text, expected) in
            [("a b", "a b"), ("100%", "100%"), ("%C3%A4", "ä"), ("%zz%4", "%zz%4"), ("%41%", "A%")]
        {
            assert_eq!(percent_decoded(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn retry_info_is_found_among_the_details() {
        // google.rpc.Status { code: 8, details: [Any { Help }, Any { RetryInfo }] }, as
        // google's protobuf writes it.
        let text = "CAgSBGZ1bGwaJQojdHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkhlbHAaMgoodHlwZS5nb\
            29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIGCgQIARBk";
        let details = from_base64(text.as_bytes()).unwrap();
        assert_eq!(answer::retry_delay(&details), Some(Duration::new(1, 100)));
        assert_eq!(answer::retry_delay(&details[..20]), None);
    }
}
