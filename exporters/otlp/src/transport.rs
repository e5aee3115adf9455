//! One attempt: a request out, an answer in.
//!
//! # Invariants
//!
//! - An attempt ends at its timeout, whatever the peer does.
//! - At most [`RESPONSE_BYTES_MAX`] of an answer are kept, before and after decompression.
//! - Redirects are not followed, so headers reach no other host than the endpoint's.

use crate::answer::{self, Answer};
use crate::config::{Compression, LaneConfig};
use crate::diagnostics::diagnose;
use crate::retry;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::io::{Read, Write};
use std::time::Duration;
use telemetry_core::{Level, clock};

/// The longest answer that is read (OTLP specification's recommendation).
const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) type Client = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// A client that keeps connections; it must be made within a runtime.
pub(crate) fn client(connect_timeout: Option<Duration>) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(connect_timeout);
    connector.set_keepalive(Some(Duration::from_secs(30)));
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// The body of a request as it goes out.
pub(crate) fn compressed(body: Bytes, compression: Compression) -> Bytes {
    if compression == Compression::None {
        return body;
    }
    let room = Vec::with_capacity(body.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
    let written = encoder.write_all(&body).and_then(|()| encoder.finish());
    // Writing to a vector does not fail.
    written.map(Bytes::from).unwrap_or_default()
}

/// Sends a body once.
pub(crate) async fn attempt(
    client: Client,
    lane: &LaneConfig,
    body: Bytes,
    timeout: Option<Duration>,
) -> Answer {
    let exchange = exchange(client, lane, body);
    let Some(timeout) = timeout else { return exchange.await };
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
        diagnose("otlp.timeout", Level::Warn, || {
            format!("no answer from `{}` within {timeout:?}", lane.shown)
        });
        Answer::Retry(None)
    })
}

async fn exchange(client: Client, lane: &LaneConfig, body: Bytes) -> Answer {
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = lane.uri.clone();
    *request.headers_mut() = lane.headers.clone();
    let response = match client.request(request).await {
        Ok(response) => response,
        Err(error) => {
            diagnose("otlp.connection", Level::Warn, || {
                format!("`{}` cannot be reached: {}", lane.shown, chain(&error))
            });
            return Answer::Retry(None);
        }
    };
    let (head, body) = response.into_parts();
    let body = read(&head.headers, body).await;
    if head.status.is_success() {
        return success(lane, &head.headers, body);
    }
    failure(lane, head.status, &head.headers, body.as_deref().unwrap_or_default())
}

fn success(lane: &LaneConfig, headers: &HeaderMap, body: Result<Bytes, Unread>) -> Answer {
    let body = match body {
        Ok(body) => body,
        Err(Unread::Disconnected) => return Answer::Retry(None),
        Err(Unread::TooLarge) => {
            diagnose("otlp.response", Level::Warn, || {
                format!("the answer of `{}` is larger than 4 MiB", lane.shown)
            });
            return Answer::Refused;
        }
    };
    let is_protobuf = headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"application/x-protobuf"));
    let partial = if is_protobuf { answer::partial_success(&body).ok() } else { None };
    let Some((rejected, text)) = partial else {
        diagnose("otlp.response", Level::Warn, || {
            format!(
                "the success of `{}` is no OTLP answer: {}",
                lane.shown,
                answer::error_text(&body)
            )
        });
        return Answer::Delivered;
    };
    if rejected > 0 || !text.is_empty() {
        diagnose("otlp.partial_success", Level::Warn, || {
            format!("`{}` took all but {rejected} records: {text}", lane.shown)
        });
    }
    if rejected > 0 { Answer::Partial(rejected) } else { Answer::Delivered }
}

fn failure(lane: &LaneConfig, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    diagnose("otlp.status", Level::Warn, || {
        format!("`{}` answered {}: {}", lane.shown, status.as_u16(), answer::error_text(body))
    });
    if !retry::is_retryable(status.as_u16()) {
        return Answer::Refused;
    }
    let now_unix_s = clock::unix_ns() / 1_000_000_000;
    let wait = headers.get(header::RETRY_AFTER);
    Answer::Retry(wait.and_then(|wait| retry::retry_after(wait.as_bytes(), now_unix_s)))
}

/// Why an answer's body could not be read.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    Disconnected,
    TooLarge,
}

async fn read(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > RESPONSE_BYTES_MAX as u64 {
        return Err(Unread::TooLarge);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Disconnected)?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > RESPONSE_BYTES_MAX {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    let is_gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
    if is_gzip { decompressed(&bytes) } else { Ok(bytes.freeze()) }
}

fn decompressed(bytes: &[u8]) -> Result<Bytes, Unread> {
    let mut out = Vec::new();
    let mut limited = flate2::read::GzDecoder::new(bytes).take(RESPONSE_BYTES_MAX as u64 + 1);
    // What is no gzip reads as an empty or cut body, which is no OTLP answer.
    let _ = limited.read_to_end(&mut out);
    if out.len() > RESPONSE_BYTES_MAX { Err(Unread::TooLarge) } else { Ok(Bytes::from(out)) }
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
