//! Where to send and how: endpoints, headers, compression, limits.
//!
//! # Invariants
//!
//! - Over HTTP a base endpoint gets `v1/logs`, `v1/traces` or `v1/metrics` appended; the endpoint
//!   of one signal is used as it is; no port is ever made up (OTLP exporter specification,
//!   "Endpoint URLs for OTLP/HTTP").
//! - Over gRPC an endpoint has no path, because the method is the path.
//! - User information, queries and header values are in no error text and no `Debug` output.
//! - What could break out of a header (CR, LF, other control characters) never becomes one.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Uri, header};
use std::fmt;
use std::time::Duration;
use telemetry_core::Error;
use telemetry_core::export::Signals;
use telemetry_core::ledger::Signal;

/// How many headers, and how many bytes a header's name and value may have.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// One of the three kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Lane {
    Logs = 0,
    Spans = 1,
    Metrics = 2,
}

impl Lane {
    pub(crate) const ALL: [Self; 3] = [Self::Logs, Self::Spans, Self::Metrics];

    /// What is appended to a base endpoint.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Logs => "v1/logs",
            Self::Spans => "v1/traces",
            Self::Metrics => "v1/metrics",
        }
    }

    /// The path of the gRPC method.
    #[cfg(feature = "otlp-grpc")]
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Spans => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The signal's name in environment variables.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Logs => "LOGS",
            Self::Spans => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    pub(crate) const fn signal(self) -> Signal {
        match self {
            Self::Logs => Signal::Log,
            Self::Spans => Signal::Span,
            Self::Metrics => Signal::Metric,
        }
    }

    pub(crate) const fn signals(self) -> Signals {
        match self {
            Self::Logs => Signals::LOGS,
            Self::Spans => Signals::SPANS,
            Self::Metrics => Signals::METRICS,
        }
    }
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// OTLP/HTTP with protobuf, usually on port 4318.
    #[default]
    HttpProtobuf,
    /// OTLP/gRPC, usually on port 4317; it needs the feature `otlp-grpc`.
    #[cfg(feature = "otlp-grpc")]
    Grpc,
}

impl Protocol {
    /// gRPC, if it is compiled in.
    pub(crate) const GRPC: Option<Self> = {
        #[cfg(feature = "otlp-grpc")]
        let grpc = Some(Self::Grpc);
        #[cfg(not(feature = "otlp-grpc"))]
        let grpc = None;
        grpc
    };

    /// Adds the headers that its requests have.
    pub(crate) fn add_headers(self, compression: Compression, headers: &mut HeaderMap) {
        let (content_type, encoding) = match self {
            Self::HttpProtobuf => ("application/x-protobuf", header::CONTENT_ENCODING),
            #[cfg(feature = "otlp-grpc")]
            Self::Grpc => {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                ("application/grpc", HeaderName::from_static("grpc-encoding"))
            }
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if compression == Compression::Gzip {
            headers.insert(encoding, HeaderValue::from_static("gzip"));
        }
    }

    /// The endpoint when none is set.
    pub(crate) const fn usual_endpoint(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http://localhost:4318",
            #[cfg(feature = "otlp-grpc")]
            Self::Grpc => "http://localhost:4317",
        }
    }

    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http/protobuf",
            #[cfg(feature = "otlp-grpc")]
            Self::Grpc => "grpc",
        }
    }

    /// The URL of a signal: from its own endpoint, else from the common one, else the default's.
    pub(crate) fn uri(
        self,
        setting: &str,
        own: Option<&str>,
        common: Option<&str>,
        lane: Lane,
    ) -> Result<Uri, Error> {
        match self {
            Self::HttpProtobuf => match own {
                Some(url) => exact(setting, url),
                None => base(setting, common.unwrap_or(self.usual_endpoint()), lane),
            },
            #[cfg(feature = "otlp-grpc")]
            Self::Grpc => method(setting, own.or(common).unwrap_or(self.usual_endpoint()), lane),
        }
    }
}

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: the right choice for a collector on the same host.
    #[default]
    None,
    /// gzip at its fastest level: a fifth to a tenth of the bytes for some CPU time.
    Gzip,
}

/// A URL for error texts: without user information, query and fragment.
pub(crate) fn redacted(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let query = if end < url.len() { "?[redacted]" } else { "" };
    let url = &url[..end];
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    // The last `@` wherever it stands: a password may hold a `/`.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{separator}[redacted]@{host}{query}"),
        None => format!("{scheme}{separator}{rest}{query}"),
    }
}

/// Is there a host, and a port that is one if there is any? The parser takes `host:99999`.
fn is_host_and_port(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else { return false };
    let after_user = authority.as_str().rsplit('@').next().unwrap_or_default();
    let port = after_user.strip_prefix(authority.host()).unwrap_or("?");
    let is_port = matches!(port, "" | ":") || authority.port_u16().is_some();
    !authority.host().is_empty() && is_port
}

fn parse(setting: &str, url: &str) -> Result<Uri, Error> {
    const RIGHT: &str = "a URL such as `http://localhost:4318`";
    let wrong = |right| Error::setting(setting, redacted(url), right);
    let uri: Uri = url.parse().map_err(|_| wrong(RIGHT))?;
    match uri.scheme_str() {
        Some("http") if is_host_and_port(&uri) => Ok(uri),
        Some("https") => Err(wrong("an `http://` URL: TLS is not compiled in")),
        _ => Err(wrong(RIGHT)),
    }
}

/// Is the text a URL that the protocol could take if TLS were compiled in?
pub(crate) fn check(protocol: Protocol, setting: &str, url: &str) -> Result<(), Error> {
    let is_https = url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    if !is_https {
        return protocol.uri(setting, None, Some(url), Lane::Logs).map(drop);
    }
    let plain = format!("http://{}", &url[8..]);
    // The text of the error shows what was given.
    protocol.uri(setting, None, Some(&plain), Lane::Logs).map(drop).map_err(|_| {
        Error::setting(setting, redacted(url), "a URL such as `http://localhost:4318`")
    })
}

fn rebuilt(uri: &Uri, path_and_query: &str) -> Option<Uri> {
    let host = uri.host()?;
    // The port stays as it is, and absent if it is absent or empty; user information is left out.
    let authority = uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Uri::builder()
        .scheme(uri.scheme_str()?)
        .authority(authority)
        .path_and_query(path_and_query)
        .build()
        .ok()
}

/// The URL below a base endpoint.
fn base(setting: &str, url: &str, lane: Lane) -> Result<Uri, Error> {
    let uri = parse(setting, url)?;
    let path = uri.path();
    let slash = if path.ends_with('/') { "" } else { "/" };
    rebuilt(&uri, &format!("{path}{slash}{}", lane.path()))
        .ok_or_else(|| Error::setting(setting, redacted(url), "a URL"))
}

/// The URL as it is.
fn exact(setting: &str, url: &str) -> Result<Uri, Error> {
    let uri = parse(setting, url)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    rebuilt(&uri, path).ok_or_else(|| Error::setting(setting, redacted(url), "a URL"))
}

/// The URL of a gRPC method.
#[cfg(feature = "otlp-grpc")]
fn method(setting: &str, url: &str, lane: Lane) -> Result<Uri, Error> {
    let uri = parse(setting, url)?;
    if !matches!(uri.path_and_query().map_or("", |path| path.as_str()), "" | "/") {
        let right = "without a path, such as `http://localhost:4317`: gRPC has its own";
        return Err(Error::setting(setting, redacted(url), right));
    }
    rebuilt(&uri, lane.method()).ok_or_else(|| Error::setting(setting, redacted(url), "a URL"))
}

/// Headers of the user, whose values are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, Vec<u8>)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, _)| (name, "[redacted]"))).finish()
    }
}

/// Headers that belong to the transport.
fn is_reserved(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::HOST,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::EXPECT,
        header::TE,
        header::TRAILER,
    ]
    .contains(name)
        || name.as_str().starts_with("grpc-")
}

impl Headers {
    /// Sets a header; it replaces one of the same name.
    pub(crate) fn set(&mut self, name: String, value: Vec<u8>) {
        self.0.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.0.push((name, value));
    }

    /// The names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Adds the headers to `map`; those of a signal replace the common ones.
    ///
    /// # Errors
    ///
    /// A pair that cannot be a header is named, never its value.
    pub(crate) fn add_to(&self, setting: &str, map: &mut HeaderMap) -> Result<(), Error> {
        for (name, value) in &self.0 {
            let (name, value) = header_of(setting, name, value)?;
            map.insert(name, value);
        }
        if self.0.len() > HEADERS_MAX {
            return Err(Error::setting(setting, self.0.len(), "at most 64 headers"));
        }
        Ok(())
    }
}

/// The header of a name and value, if they can be one.
pub(crate) fn header_of(
    setting: &str,
    name: &str,
    value: &[u8],
) -> Result<(HeaderName, HeaderValue), Error> {
    let shown: String = name.escape_default().take(64).collect();
    let wrong = |right| Error::setting(setting, format_args!("{shown}=[redacted]"), right);
    if name.len() + value.len() > HEADER_BYTES_MAX {
        return Err(wrong("at most 8 KiB long"));
    }
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("an HTTP header's name"))?;
    if is_reserved(&name) {
        return Err(wrong("none of the headers that the transport sets"));
    }
    let mut value =
        HeaderValue::from_bytes(value).map_err(|_| wrong("free of control characters"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Everything about requests of one signal.
#[derive(Clone)]
pub(crate) struct LaneConfig {
    pub(crate) protocol: Protocol,
    pub(crate) uri: Uri,
    /// The URL as diagnostics show it.
    pub(crate) shown: String,
    pub(crate) headers: HeaderMap,
    pub(crate) compression: Compression,
    /// The longest time of one attempt; `None` = no limit.
    pub(crate) timeout: Option<Duration>,
}

impl fmt::Debug for LaneConfig {
    /// A query of the URL may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneConfig")
            .field("url", &self.shown)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What the transport needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) lanes: [LaneConfig; 3],
    /// The longest time that records are gathered.
    pub(crate) delay: Duration,
    /// The longest time of an export with all its attempts.
    pub(crate) retry_timeout: Duration,
    pub(crate) backoff_initial: Duration,
    pub(crate) backoff_max: Duration,
    /// A request is sent when it has this many bytes.
    pub(crate) request_bytes: usize,
    /// How many requests of a signal may be under way at once.
    pub(crate) concurrency: usize,
}
