//! The receiver's gRPC: what of a call and of its answer is other than over HTTP.
//!
//! # Invariants
//!
//! - An answer that is no 200 stays as it is: so answers what stands between client and collector.

use super::serve::{Content, End};
use crate::encode::wire;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::time::Duration;
use tokio::net::TcpStream;

/// Does the connection begin as HTTP/2 does?
pub(super) async fn is_wanted(stream: &TcpStream, timeout: Duration) -> bool {
    let mut begin = [0; 3];
    let peeked = tokio::time::timeout(timeout, stream.peek(&mut begin)).await;
    matches!(peeked, Ok(Ok(_))) && &begin == b"PRI"
}

pub(super) fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The one message of a call, and how it is compressed; `None` if there is not exactly one.
pub(super) fn message<'a>(
    headers: &'a HeaderMap,
    body: &'a [u8],
) -> Option<(&'a [u8], Option<&'a HeaderValue>)> {
    let (prefix, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    let encoding = headers.get("grpc-encoding").filter(|_| prefix[0] == 1);
    (length as usize == message.len() && prefix[0] <= 1).then_some((message, encoding))
}

/// The answer over HTTP as one over gRPC.
pub(super) fn response(mut response: Response<Content>) -> Response<Content> {
    if response.status() != StatusCode::OK {
        return response;
    }
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let content = response.body_mut();
    if content.end == End::Here && !response.headers().contains_key("grpc-status") {
        let content = response.body_mut();
        content.data = Some(framed(content.data.take().unwrap_or_default()));
        let status = (header::HeaderName::from_static("grpc-status"), HeaderValue::from(0));
        content.end = End::Trailers(HeaderMap::from_iter([status]));
    }
    response
}

fn framed(message: Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(&message);
    out.freeze()
}

/// An answer that is a status only, with the details that it would have from a real collector.
pub(super) fn status(code: u32, message: &str, delay: Option<Duration>) -> Response<Content> {
    let mut response = Response::new(Content::empty());
    let mut add = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    };
    add("grpc-status", &code.to_string());
    add("grpc-message", &percent_encoded(message));
    if let Some(delay) = delay {
        add("grpc-status-details-bin", &base64(&details(code, delay)));
    }
    response
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'%';
    let encoded = |byte: u8| match byte {
        byte if plain(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

/// A `google.rpc.Status` with a `RetryInfo`.
fn details(code: u32, delay: Duration) -> Vec<u8> {
    let (mut duration, mut info, mut any, mut status) = (vec![], vec![], vec![], vec![]);
    uint(&mut duration, 0x08, delay.as_secs());
    uint(&mut duration, 0x10, u64::from(delay.subsec_nanos()));
    wire::bytes(&mut info, 0x0a, &duration);
    wire::bytes(&mut any, 0x0a, b"type.googleapis.com/google.rpc.RetryInfo");
    wire::bytes(&mut any, 0x12, &info);
    uint(&mut status, 0x08, u64::from(code));
    wire::bytes(&mut status, 0x1a, &any);
    status
}

fn uint(out: &mut Vec<u8>, key: u8, value: u64) {
    out.push(key);
    wire::varint(out, value);
}

/// RFC 4648, 4, without padding, as gRPC's own libraries write it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        let digit = move |n: usize| char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]);
        (0..=group.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}
