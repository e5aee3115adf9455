//! Over HTTP: one POST with a protobuf body.
//!
//! # Invariants
//!
//! - Redirects are not followed, so headers reach no other host than the endpoint's.
//!
//! Source: OTLP specification, "OTLP/HTTP".

use super::{Received, Unread, read, taken, too_large, unreachable};
use crate::answer::{self, Answer};
use crate::config::LaneConfig;
use crate::diagnostics::diagnose;
use crate::retry;
use crate::secrets;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::io::Read;
use std::time::Duration;
use telemetry_core::{Level, clock};

/// How long a connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

pub(super) type Client = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// A client that keeps connections; it must be made within a runtime.
pub(super) fn client(connect_timeout: Option<Duration>) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(connect_timeout);
    connector.set_keepalive(Some(Duration::from_secs(30)));
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Sends a body once.
pub(super) async fn exchange(client: Client, lane: &LaneConfig, body: Bytes) -> Answer {
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = lane.uri.clone();
    *request.headers_mut() = lane.headers.clone();
    let response = match client.request(request).await {
        Ok(response) => response,
        Err(error) => return unreachable(lane, &error),
    };
    let (head, body) = response.into_parts();
    let body = read(body).await.and_then(|received| plain(&head.headers, received));
    if head.status.is_success() {
        return success(lane, &head.headers, body);
    }
    failure(lane, head.status, &head.headers, body.as_deref().unwrap_or_default())
}

fn success(lane: &LaneConfig, headers: &HeaderMap, body: Result<Bytes, Unread>) -> Answer {
    let body = match body {
        Ok(body) => body,
        Err(Unread::Disconnected) => return Answer::Retry(None),
        Err(Unread::TooLarge) => return too_large(lane),
    };
    let is_protobuf = headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"application/x-protobuf"));
    taken(lane, &body, is_protobuf)
}

/// What a status means that is no success.
pub(super) fn failure(
    lane: &LaneConfig,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    diagnose("otlp.status", Level::Warn, || {
        let text = secrets::without(lane, answer::error_text(body));
        format!("`{}` answered {}: {text}", lane.shown, status.as_u16())
    });
    if !retry::is_retryable(status.as_u16()) {
        return Answer::Refused;
    }
    let now_unix_s = clock::unix_ns() / 1_000_000_000;
    let wait = headers.get(header::RETRY_AFTER);
    Answer::Retry(wait.and_then(|wait| retry::retry_after(wait.as_bytes(), now_unix_s)))
}

/// The body without its compression.
fn plain(headers: &HeaderMap, received: Received) -> Result<Bytes, Unread> {
    let is_gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
    if !is_gzip {
        return Ok(received.bytes);
    }
    let mut out = Vec::new();
    let decoder = flate2::read::GzDecoder::new(&*received.bytes);
    // What is no gzip reads as an empty or cut body, which is no OTLP answer.
    let _ = decoder.take(super::RESPONSE_BYTES_MAX as u64 + 1).read_to_end(&mut out);
    if out.len() > super::RESPONSE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    Ok(Bytes::from(out))
}
