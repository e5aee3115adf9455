//! The exporter and its builder: hands batches to the transport's thread.
//!
//! # Invariants
//!
//! - `export` does no work and never waits: it sends the batch to the transport's thread. What is
//!   held there is bounded by the pipeline's queue, which counts a batch until its ack.
//! - Every [`Ack`] is finished once: by the peer's answer, by the end of the retries, or at the
//!   deadline of the shutdown.

mod settings;

pub use settings::OtlpSetting;

use crate::config::{self, Compression, Config, Headers, Lane, LaneConfig, Protocol};
use crate::diagnostics::diagnose;
use crate::worker::{self, Handle};
use http::header::{self, HeaderMap, HeaderValue};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Context, Exporter, Outcome, Signals};
use telemetry_core::ledger::Cause;
use telemetry_core::metric::Snapshot;
use telemetry_core::redaction::Secret;
use telemetry_core::resource::Resource;
use telemetry_core::{Error, Level, variables};

/// `<product>-OTLP-Exporter-<language>/<version>` (OTLP exporter specification, "User Agent").
const USER_AGENT: &str =
    concat!("telemetry-toolkit-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

/// Sends logs, spans and metrics to an OpenTelemetry collector over OTLP/HTTP with protobuf.
///
/// See the [crate's documentation](crate) for what is delivered, retried and lost.
#[derive(Debug)]
pub struct OtlpExporter {
    config: Arc<Config>,
    signals: Signals,
    resource: Option<Arc<Resource>>,
    handle: Option<Handle>,
}

impl OtlpExporter {
    /// A builder with the specification's defaults; it reads no environment variable.
    pub fn builder() -> OtlpBuilder {
        OtlpBuilder::default()
    }

    /// The transport's thread, started by the first call that needs it, and by the next one if it
    /// could not be.
    fn handle(&mut self) -> Option<&Handle> {
        if self.handle.as_ref().is_none_or(Handle::is_gone) {
            let resource = self.resource.clone().unwrap_or_default();
            let started = worker::start(Arc::clone(&self.config), &resource);
            self.handle = started.map_err(|error| cannot_start(&error)).ok();
        }
        self.handle.as_ref()
    }
}

fn cannot_start(error: &std::io::Error) {
    let text = || format!("cannot start the transport, what there is to send is lost: {error}");
    diagnose("otlp.start", Level::Error, text);
}

impl Exporter for OtlpExporter {
    fn name(&self) -> &str {
        "otlp"
    }

    fn signals(&self) -> Signals {
        self.signals
    }

    fn start(&mut self, context: &Context) {
        self.resource = Some(Arc::clone(&context.resource));
        self.handle();
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        match self.handle() {
            Some(handle) => handle.export(batch, ack),
            None => ack.finish(Outcome::Rejected(Cause::Rejected)),
        }
    }

    fn metrics(&mut self, snapshot: &Arc<Snapshot>, ack: Ack) {
        match self.handle() {
            Some(handle) => handle.metrics(Arc::clone(snapshot), ack),
            None => ack.finish(Outcome::Rejected(Cause::Rejected)),
        }
    }

    fn flush(&mut self, deadline: Instant) {
        if let Some(handle) = &self.handle {
            handle.flush(deadline);
        }
    }

    fn shutdown(&mut self, deadline: Instant) {
        if let Some(handle) = self.handle.take() {
            handle.shutdown(deadline);
        }
    }
}

/// What one signal has of its own, or what holds for all.
#[derive(Clone, Default)]
struct Options {
    protocol: Option<Protocol>,
    endpoint: Option<String>,
    headers: Headers,
    /// `Some(None)` = no limit.
    timeout: Option<Option<Duration>>,
    compression: Option<Compression>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("protocol", &self.protocol)
            .field("endpoint", &self.endpoint.as_deref().map(config::redacted))
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .finish()
    }
}

/// Sets up an [`OtlpExporter`].
///
/// ```
/// use std::time::Duration;
/// use telemetry_otlp::{Compression, OtlpExporter};
///
/// let exporter = OtlpExporter::builder()
///     .endpoint("http://collector:4318")
///     .header("authorization", "Bearer secret")
///     .compression(Compression::Gzip)
///     .timeout(Duration::from_secs(5))
///     .build()?;
/// assert!(!format!("{exporter:?}").contains("secret"));
/// # Ok::<(), telemetry_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OtlpBuilder {
    common: Options,
    lanes: [Options; 3],
    signals: Signals,
    refused: Signals,
    delay: Duration,
    retry_timeout: Duration,
    backoff_initial: Duration,
    backoff_max: Duration,
    request_bytes: usize,
    concurrency: usize,
}

impl Default for OtlpBuilder {
    fn default() -> Self {
        Self {
            common: Options::default(),
            lanes: Default::default(),
            signals: Signals::ALL,
            refused: Signals::NONE,
            delay: Duration::from_secs(1),
            retry_timeout: Duration::from_secs(30),
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            request_bytes: 1024 * 1024,
            concurrency: 4,
        }
    }
}

impl OtlpBuilder {
    /// A builder with what the `OTEL_EXPORTER_OTLP_*` variables of the process say, and a warning
    /// for each that could not be used. What is set on the builder afterwards comes first, except
    /// that a signal's own endpoint stands above the common one, whoever set it.
    ///
    /// Read are `PROTOCOL`, `ENDPOINT`, `INSECURE`, `HEADERS`, `TIMEOUT` and `COMPRESSION`, each
    /// also with the signal's name in front: `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`. Protocols are
    /// `http/protobuf` and, with the feature `otlp-grpc`, `grpc`; with another one there is a
    /// warning, and `http/protobuf` is spoken.
    pub fn from_env() -> (Self, Vec<Error>) {
        let (read, errors) = variables::read(|variable| Self::from_variables(variable));
        (read.0, read.1.into_iter().chain(errors).collect())
    }

    /// The same, of other variables than the process's.
    ///
    /// ```
    /// use telemetry_otlp::OtlpBuilder;
    ///
    /// let (builder, warnings) = OtlpBuilder::from_variables(|name| match name {
    ///     "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("soon".to_owned()),
    ///     _ => None,
    /// });
    /// assert_eq!(warnings.len(), 1, "the default is used instead");
    /// assert!(builder.build().is_ok());
    /// ```
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> (Self, Vec<Error>) {
        let mut builder = Self::default();
        let warnings = crate::env::read(&mut builder, &variable, Protocol::GRPC);
        (builder, warnings)
    }

    /// The signals whose endpoint the environment names, but not so that it could be used: as no
    /// URL, or for a protocol that is not compiled in. They would go to the default endpoint, or
    /// in another protocol; who wants neither leaves them out with [`signals`](Self::signals).
    pub fn refused(&self) -> Signals {
        self.refused
    }

    fn options(&mut self, lane: Option<Lane>) -> &mut Options {
        match lane {
            None => &mut self.common,
            Some(lane) => &mut self.lanes[lane as usize],
        }
    }

    pub(crate) fn refuse(&mut self, signals: Signals) {
        self.refused = self.refused | signals;
    }

    pub(crate) fn set_protocol(&mut self, lane: Option<Lane>, protocol: Protocol) {
        self.options(lane).protocol = Some(protocol);
    }

    pub(crate) fn protocol_of(&self, lane: Option<Lane>) -> Protocol {
        let own = lane.and_then(|lane| self.lanes[lane as usize].protocol);
        own.or(self.common.protocol).unwrap_or_default()
    }

    pub(crate) fn set_endpoint(&mut self, lane: Option<Lane>, url: String) {
        self.options(lane).endpoint = Some(url);
    }

    pub(crate) fn set_header(&mut self, lane: Option<Lane>, name: String, value: Vec<u8>) {
        self.options(lane).headers.set(name, value);
    }

    pub(crate) fn set_timeout(&mut self, lane: Option<Lane>, timeout: Option<Duration>) {
        self.options(lane).timeout = Some(timeout);
    }

    pub(crate) fn set_compression(&mut self, lane: Option<Lane>, compression: Compression) {
        self.options(lane).compression = Some(compression);
    }

    /// Sets how the collector is spoken to: over HTTP by default.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.set_protocol(None, protocol);
        self
    }

    /// Sets the collector's base URL, `http://localhost:4318` by default: `v1/logs`, `v1/traces`
    /// and `v1/metrics` are appended to it. Over gRPC it is `http://localhost:4317` by default, and
    /// has no path. User information in it is not sent: use [`header`](Self::header). No log, error
    /// or `Debug` output shows it, nor a query.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<Secret<String>>) -> Self {
        self.set_endpoint(None, url.into().into_inner());
        self
    }

    /// Sets the URL that logs go to, as it is.
    #[must_use]
    pub fn logs_endpoint(mut self, url: impl Into<Secret<String>>) -> Self {
        self.set_endpoint(Some(Lane::Logs), url.into().into_inner());
        self
    }

    /// Sets the URL that spans go to, as it is.
    #[must_use]
    pub fn spans_endpoint(mut self, url: impl Into<Secret<String>>) -> Self {
        self.set_endpoint(Some(Lane::Spans), url.into().into_inner());
        self
    }

    /// Sets the URL that metrics go to, as it is.
    #[must_use]
    pub fn metrics_endpoint(mut self, url: impl Into<Secret<String>>) -> Self {
        self.set_endpoint(Some(Lane::Metrics), url.into().into_inner());
        self
    }

    /// Sets a header of all requests. Its value is in no log, error or `Debug` output.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret<String>>) -> Self {
        self.set_header(None, name.into(), value.into().into_inner().into_bytes());
        self
    }

    /// Sets the longest time of one attempt, 10 s by default; zero = no limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.set_timeout(None, Some(timeout).filter(|timeout| !timeout.is_zero()));
        self
    }

    /// Sets how requests are compressed: not at all by default.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.set_compression(None, compression);
        self
    }

    /// Sets which signals are sent: all by default.
    #[must_use]
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = signals;
        self
    }

    /// Sets how long records are gathered before they are sent, 1 s by default.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets at how many bytes a request is sent before its delay, 1 MiB by default and at most
    /// 3.5 MiB (many collectors accept no more than 4 MiB); one is larger only by its last record.
    #[must_use]
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// Sets how many requests of one signal may be under way at once, 4 by default.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Sets for how long a request is tried again, from its first attempt on: 30 s by default.
    #[must_use]
    pub fn retry_timeout(mut self, timeout: Duration) -> Self {
        self.retry_timeout = timeout;
        self
    }

    /// Sets the first and the longest wait between attempts, 1 s and 30 s by default; each wait is
    /// twice the one before, and a random half more or less.
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff_initial = initial;
        self.backoff_max = max;
        self
    }

    /// Checks the settings. Nothing is started or connected yet.
    ///
    /// # Errors
    ///
    /// An endpoint that is no `http://` URL (TLS is not compiled in, and there is no falling back
    /// to plain text), one with a path for gRPC, a header that cannot be one, or a limit out of its
    /// range.
    pub fn build(self) -> Result<OtlpExporter, Error> {
        let ranges = [
            ("otlp.request_bytes", self.request_bytes, 64 * 1024, 3584 * 1024),
            ("otlp.concurrency", self.concurrency, 1, 64),
        ];
        for (setting, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(Error::setting(setting, value, &format!("from {min} to {max}")));
            }
        }
        let longest = [
            ("otlp.delay", self.delay, Duration::from_secs(600)),
            ("otlp.retry_timeout", self.retry_timeout, Duration::from_secs(86_400)),
            ("otlp.backoff", self.backoff_max, Duration::from_secs(3600)),
        ];
        for (setting, value, max) in longest {
            if value > max {
                let value = format_args!("{value:?}");
                return Err(Error::setting(setting, value, &format!("at most {max:?}")));
            }
        }
        if self.backoff_initial < Duration::from_millis(1)
            || self.backoff_max < self.backoff_initial
        {
            let waits = format_args!("{:?}, {:?}", self.backoff_initial, self.backoff_max);
            return Err(Error::setting("otlp.backoff", waits, "1 ms or more, shorter first"));
        }
        let [logs, spans, metrics] = Lane::ALL.map(|lane| self.lane(lane));
        let config = Config {
            lanes: [logs?, spans?, metrics?],
            delay: self.delay,
            retry_timeout: self.retry_timeout,
            backoff_initial: self.backoff_initial,
            backoff_max: self.backoff_max,
            request_bytes: self.request_bytes,
            concurrency: self.concurrency,
        };
        Ok(OtlpExporter {
            config: Arc::new(config),
            signals: self.signals,
            resource: None,
            handle: None,
        })
    }

    fn lane(&self, lane: Lane) -> Result<LaneConfig, Error> {
        let own = &self.lanes[lane as usize];
        let protocol = self.protocol_of(Some(lane));
        let (endpoint, common) = (own.endpoint.as_deref(), self.common.endpoint.as_deref());
        let uri = protocol.uri("otlp.endpoint", endpoint, common, lane)?;
        let compression = own.compression.or(self.common.compression).unwrap_or_default();
        let timeout = own.timeout.or(self.common.timeout).unwrap_or(Some(Duration::from_secs(10)));
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        self.common.headers.add_to("otlp.header", &mut headers)?;
        own.headers.add_to("otlp.header", &mut headers)?;
        protocol.add_headers(compression, &mut headers);
        let shown = config::redacted(&uri.to_string());
        Ok(LaneConfig { protocol, uri, shown, headers, compression, timeout })
    }

    /// What requests with logs have.
    #[cfg(test)]
    pub(crate) fn logs_lane(&self) -> Result<LaneConfig, Error> {
        self.lane(Lane::Logs)
    }

    /// The URLs that logs, spans and metrics would go to.
    #[cfg(test)]
    pub(crate) fn urls(&self) -> Result<[String; 3], Error> {
        let [logs, spans, metrics] = Lane::ALL.map(|lane| self.lane(lane));
        Ok([logs?, spans?, metrics?].map(|lane| lane.uri.to_string()))
    }
}
