//! The receiver's connections: reads a request, asks the script, answers.
//!
//! # Invariants
//!
//! - At most [`CONNECTIONS_MAX`] connections; further ones are closed at once.
//! - A body is at most [`BODY_BYTES_MAX`], also after decompression.

use super::{Answer, Request, Shared, State, decode, keep};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::{HttpService, service_fn};
#[cfg(feature = "otlp-grpc")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message;
use std::io::Read;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use telemetry_core::clock;
use telemetry_core::ledger::{Signal, Units};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

const CONNECTIONS_MAX: usize = 256;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections until it is told to stop, or the receiver is dropped.
pub(super) async fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        let accepted = std::future::poll_fn(|context| {
            if Pin::new(&mut stopped).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            while let Poll::Ready(Some(_)) = connections.poll_join_next(context) {}
            listener.poll_accept(context).map(Some)
        });
        let Some(accepted) = accepted.await else { break };
        let Ok((stream, _)) = accepted else {
            // No file descriptor left, most likely: asked again at once, it would spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if connections.len() < CONNECTIONS_MAX {
            connections.spawn(connection(stream, Arc::clone(&shared)));
        }
    }
    // Dropping the set closes the connections.
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let broken = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (shared, broken) = (Arc::clone(&shared), Arc::clone(&broken));
        async move { respond(request, &shared, &broken).await }
    });
    let mut broken = pin!(broken.notified());
    let mut served = pin!(serve(stream, service));
    std::future::poll_fn(|context| {
        // A connection that is broken off is dropped, with all that goes on in it.
        if broken.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        served.as_mut().poll(context)
    })
    .await;
}

/// Serves a connection in the protocol that it begins with.
async fn serve<S>(stream: TcpStream, service: S)
where
    S: HttpService<Incoming, ResBody = Content, Error = Broken, Future: Send + 'static> + Send,
{
    // A client that breaks off is the client's affair.
    #[cfg(feature = "otlp-grpc")]
    if super::grpc::is_wanted(&stream, HEADER_TIMEOUT).await {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        return;
    }
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    request: http::Request<Incoming>,
    shared: &Shared,
    broken: &Notify,
) -> Result<Response<Content>, Broken> {
    let (head, mut incoming) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Broken)?;
        if let Some(data) = frame.data_ref() {
            body.extend_from_slice(data);
        }
        if body.len() > BODY_BYTES_MAX {
            return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, Content::empty()));
        }
    }
    let answer = note(shared, head.uri.path().to_owned(), &head.headers, body.len());
    let response = answered(&head, &body, answer, shared).await;
    if response.is_err() {
        broken.notify_one();
    }
    #[cfg(feature = "otlp-grpc")]
    if super::grpc::is_call(&head.headers) {
        return response.map(super::grpc::response);
    }
    response
}

/// The answer of one request, as HTTP has it.
async fn answered(
    head: &Parts,
    body: &[u8],
    answer: Answer,
    shared: &Shared,
) -> Result<Response<Content>, Broken> {
    if let Answer::Slow(delay) = answer {
        tokio::time::sleep(delay).await;
    }
    let rejected = match &answer {
        Answer::Accept | Answer::Slow(_) => 0,
        Answer::PartialSuccess { rejected, .. } => u64::try_from(*rejected).unwrap_or(0),
        Answer::Status { code, .. } if (200..300).contains(code) => 0,
        #[cfg(feature = "otlp-grpc")]
        Answer::GrpcStatus { code: 0, .. } => 0,
        other => return failed(other).await,
    };
    let Some(decoded) = decode(head.uri.path(), &head.headers, body) else {
        return Ok(response(StatusCode::BAD_REQUEST, Content::empty()));
    };
    take(shared, decoded, rejected);
    Ok(accepted(&answer))
}

/// Writes down that a request came, and says how to answer it.
fn note(shared: &Shared, path: String, headers: &HeaderMap, body_bytes: usize) -> Answer {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut state = shared.lock();
    keep(&mut state.requests, [Request { path, headers, body_bytes, at: clock::now() }]);
    shared.changed.notify_all();
    let State { script, otherwise, .. } = &mut *state;
    script.pop_front().or_else(|| otherwise.clone()).unwrap_or(Answer::Accept)
}

/// What a request brought.
enum Decoded {
    Logs(Vec<super::Log>),
    Spans(Vec<super::Span>),
    Metrics(Vec<super::Metric>),
}

fn decode(path: &str, headers: &HeaderMap, body: &[u8]) -> Option<Decoded> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    #[cfg(feature = "otlp-grpc")]
    if super::grpc::is_call(headers) {
        let (message, encoding) = super::grpc::message(headers, body)?;
        return decode_message(path, encoding, message);
    }
    decode_message(path, encoding, body)
}

fn decode_message(path: &str, encoding: Option<&HeaderValue>, body: &[u8]) -> Option<Decoded> {
    let mut plain = Vec::new();
    let body = if encoding.is_some_and(|value| value == "gzip") {
        let decoder = flate2::read::GzDecoder::new(body);
        decoder.take(BODY_BYTES_MAX as u64).read_to_end(&mut plain).ok()?;
        &plain
    } else {
        body
    };
    if path.ends_with("v1/logs") || path.ends_with(".LogsService/Export") {
        Some(Decoded::Logs(decode::logs(Message::decode(body).ok()?)))
    } else if path.ends_with("v1/traces") || path.ends_with(".TraceService/Export") {
        Some(Decoded::Spans(decode::spans(Message::decode(body).ok()?)))
    } else if path.ends_with("v1/metrics") || path.ends_with(".MetricsService/Export") {
        Some(Decoded::Metrics(decode::metrics(Message::decode(body).ok()?)))
    } else {
        None
    }
}

fn take(shared: &Shared, decoded: Decoded, rejected: u64) {
    let mut state = shared.lock();
    let (signal, count) = match &decoded {
        Decoded::Logs(logs) => (Signal::Log, logs.len()),
        Decoded::Spans(spans) => (Signal::Span, spans.len()),
        Decoded::Metrics(metrics) => {
            (Signal::Metric, metrics.iter().map(|metric| metric.points.len()).sum())
        }
    };
    let taken = (count as u64).saturating_sub(rejected);
    state.counts = state.counts.plus(Units::of(signal, taken));
    match decoded {
        Decoded::Logs(logs) => keep(&mut state.logs, logs),
        Decoded::Spans(spans) => keep(&mut state.spans, spans),
        Decoded::Metrics(metrics) => keep(&mut state.metrics, metrics),
    }
    shared.changed.notify_all();
}

fn response(status: StatusCode, body: Content) -> Response<Content> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let protobuf = http::HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, protobuf);
    response
}

fn accepted(answer: &Answer) -> Response<Content> {
    use opentelemetry_proto::tonic::collector::logs::v1 as logs;
    match answer {
        Answer::PartialSuccess { rejected, message } => {
            // The three signals' answers have the same fields.
            let partial = logs::ExportLogsPartialSuccess {
                rejected_log_records: *rejected,
                error_message: message.clone(),
            };
            let body = logs::ExportLogsServiceResponse { partial_success: Some(partial) };
            response(StatusCode::OK, Content::whole(body.encode_to_vec()))
        }
        Answer::Status { .. } => status(answer),
        _ => response(StatusCode::OK, Content::empty()),
    }
}

fn status(answer: &Answer) -> Response<Content> {
    let Answer::Status { code, headers, body } = answer else {
        return response(StatusCode::OK, Content::empty());
    };
    let code = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(code, Content::whole(body.clone()));
    for (name, value) in headers {
        let name = header::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn failed(answer: &Answer) -> Result<Response<Content>, Broken> {
    let half = |end| Content { data: Some(Bytes::from_static(&[0])), end };
    match answer {
        Answer::Hang => std::future::pending().await,
        Answer::HangInBody => Ok(response(StatusCode::OK, half(End::Never))),
        Answer::DisconnectInBody => Ok(response(StatusCode::OK, half(End::Broken))),
        Answer::Status { .. } => Ok(status(answer)),
        #[cfg(feature = "otlp-grpc")]
        Answer::GrpcStatus { code, message, retry_delay } => {
            Ok(super::grpc::status(*code, message, *retry_delay))
        }
        _ => Err(Broken),
    }
}

/// The connection ends here.
#[derive(Debug)]
pub(super) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was broken off")
    }
}

impl std::error::Error for Broken {}

/// How a body ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Here,
    #[cfg(feature = "otlp-grpc")]
    Trailers(HeaderMap),
    Never,
    Broken,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) data: Option<Bytes>,
    pub(super) end: End,
}

impl Content {
    pub(super) fn empty() -> Self {
        Self { data: None, end: End::Here }
    }

    fn whole(bytes: Vec<u8>) -> Self {
        Self { data: Some(Bytes::from(bytes)).filter(|data| !data.is_empty()), end: End::Here }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match std::mem::replace(&mut self.end, End::Here) {
            End::Here => Poll::Ready(None),
            #[cfg(feature = "otlp-grpc")]
            End::Trailers(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            End::Never => {
                self.end = End::Never;
                Poll::Pending
            }
            End::Broken => Poll::Ready(Some(Err(Broken))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.end == End::Here
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.data.as_ref().map_or(0, |data| data.len() as u64);
        match self.end {
            End::Here => SizeHint::with_exact(data),
            #[cfg(feature = "otlp-grpc")]
            End::Trailers(_) => SizeHint::default(),
            // One byte more is promised than comes.
            End::Never | End::Broken => SizeHint::with_exact(data + 1),
        }
    }
}
