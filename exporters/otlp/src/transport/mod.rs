//! One attempt: a request out, an answer in.
//!
//! # Invariants
//!
//! - An attempt ends at its timeout, whatever the peer does.
//! - At most [`RESPONSE_BYTES_MAX`] of an answer are kept, before and after decompression.
//! - A body is compressed once, however often it is sent.

#[cfg(feature = "otlp-grpc")]
mod grpc;
mod http;

use crate::answer::{self, Answer};
use crate::config::{Compression, Config, Lane, LaneConfig, Protocol};
use crate::diagnostics::diagnose;
use crate::secrets;
use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use telemetry_core::Level;

/// The longest answer that is read (OTLP specification's recommendation).
const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a signal is sent with.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are three of them, for the exporter's life")]
enum Peer {
    Http(http::Client),
    #[cfg(feature = "otlp-grpc")]
    Grpc(grpc::Channel),
}

/// The connections of all signals; it must be made within a runtime.
#[derive(Debug)]
pub(crate) struct Transport {
    config: Arc<Config>,
    peers: [Peer; 3],
}

impl Transport {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        // All signals have the connections of one client, whatever their hosts.
        let client = http::client(config.lanes.iter().filter_map(|lane| lane.timeout).max());
        let peers = Lane::ALL.map(|lane| {
            let lane = &config.lanes[lane as usize];
            match lane.protocol {
                Protocol::HttpProtobuf => Peer::Http(client.clone()),
                #[cfg(feature = "otlp-grpc")]
                Protocol::Grpc => Peer::Grpc(grpc::channel(lane)),
            }
        });
        Self { config, peers }
    }

    /// A request's body as it goes out.
    pub(crate) fn body(&self, lane: Lane, body: Bytes) -> Bytes {
        let lane = &self.config.lanes[lane as usize];
        let body = compressed(body, lane.compression);
        match lane.protocol {
            Protocol::HttpProtobuf => body,
            #[cfg(feature = "otlp-grpc")]
            Protocol::Grpc => grpc::framed(&body, lane.compression),
        }
    }

    /// Sends a body once.
    pub(crate) fn attempt(
        &self,
        lane: Lane,
        body: Bytes,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let (peer, config) = (self.peers[lane as usize].clone(), Arc::clone(&self.config));
        async move {
            let lane = &config.lanes[lane as usize];
            let exchange = exchange(peer, lane, body);
            let Some(timeout) = timeout else { return exchange.await };
            tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
                diagnose("otlp.timeout", Level::Warn, || {
                    format!("no answer from `{}` within {timeout:?}", lane.shown)
                });
                Answer::Missing
            })
        }
    }

    /// Takes a new connection for what comes next: the one there is may lead nowhere.
    pub(crate) fn reconnect(&mut self, lane: Lane) {
        match &mut self.peers[lane as usize] {
            // A connection whose answer is not waited for is closed with its attempt.
            Peer::Http(_) => {}
            #[cfg(feature = "otlp-grpc")]
            Peer::Grpc(channel) => *channel = grpc::channel(&self.config.lanes[lane as usize]),
        }
    }
}

async fn exchange(peer: Peer, lane: &LaneConfig, body: Bytes) -> Answer {
    match peer {
        Peer::Http(client) => http::exchange(client, lane, body).await,
        #[cfg(feature = "otlp-grpc")]
        Peer::Grpc(channel) => grpc::exchange(channel, lane, body).await,
    }
}

fn compressed(body: Bytes, compression: Compression) -> Bytes {
    if compression == Compression::None {
        return body;
    }
    let room = Vec::with_capacity(body.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
    let written = encoder.write_all(&body).and_then(|()| encoder.finish());
    // Writing to a vector does not fail.
    written.map(Bytes::from).unwrap_or_default()
}

/// What came of an answer, trailers included.
#[derive(Debug)]
struct Received {
    bytes: Bytes,
    #[cfg_attr(not(feature = "otlp-grpc"), expect(dead_code, reason = "only gRPC has them"))]
    trailers: HeaderMap,
}

/// Why an answer's body could not be read.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    Disconnected,
    TooLarge,
}

async fn read(mut body: impl Body<Data = Bytes> + Unpin) -> Result<Received, Unread> {
    if body.size_hint().lower() > RESPONSE_BYTES_MAX as u64 {
        return Err(Unread::TooLarge);
    }
    let (mut bytes, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Unread::Disconnected)?.into_data() {
            Ok(data) if bytes.len() + data.len() > RESPONSE_BYTES_MAX => {
                return Err(Unread::TooLarge);
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(Received { bytes: bytes.freeze(), trailers })
}

fn unreachable(lane: &LaneConfig, error: &dyn std::error::Error) -> Answer {
    diagnose("otlp.connection", Level::Warn, || {
        format!("`{}` cannot be reached: {}", lane.shown, chain(error))
    });
    Answer::Retry(None)
}

fn too_large(lane: &LaneConfig) -> Answer {
    diagnose("otlp.response", Level::Warn, || {
        format!("the answer of `{}` is larger than 4 MiB", lane.shown)
    });
    Answer::Refused
}

/// What a success says about its records.
fn taken(lane: &LaneConfig, body: &[u8], is_protobuf: bool) -> Answer {
    let partial = if is_protobuf { answer::partial_success(body).ok() } else { None };
    let Some((rejected, text)) = partial else {
        diagnose("otlp.response", Level::Warn, || {
            let text = secrets::without(lane, answer::error_text(body));
            format!("the success of `{}` is no OTLP answer: {text}", lane.shown)
        });
        return Answer::Delivered;
    };
    if rejected > 0 || !text.is_empty() {
        diagnose("otlp.partial_success", Level::Warn, || {
            let text = secrets::without(lane, text);
            format!("`{}` took all but {rejected} records: {text}", lane.shown)
        });
    }
    if rejected > 0 { Answer::Partial(rejected) } else { Answer::Delivered }
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
