//! An OTLP collector within the process, for tests and examples: it counts and keeps what it gets,
//! and fails when it is told to. It takes HTTP and, with the feature `otlp-grpc`, gRPC, both on one
//! port.
//!
//! ```
//! use telemetry_otlp::receiver::{Answer, Receiver};
//!
//! let receiver = Receiver::start()?;
//! receiver.script([Answer::status(503), Answer::Accept]);
//! assert!(receiver.endpoint().starts_with("http://127.0.0.1:"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Invariants
//!
//! - It listens on loopback only, on a port that the system chooses.
//! - It counts what it has accepted: of a request that it failed, nothing.
//! - It keeps at most [`KEPT_MAX`] logs, spans, metrics and requests each, the newest.
//! - Its thread is one of ours: its own records go to diagnostics only.

mod decode;
#[cfg(feature = "otlp-grpc")]
mod grpc;
mod serve;

pub use decode::{
    ExponentialPoint, HistogramPoint, Log, Metric, MetricKind, Number, Point, Span, Value,
};

use crate::diagnostics::mark_own_thread;
use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use telemetry_core::clock;
use telemetry_core::ledger::Units;
use tokio::sync::oneshot;

/// How many logs, spans, metrics and requests are kept each.
pub const KEPT_MAX: usize = 65_536;

/// What the receiver does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Takes it.
    Accept,
    /// Takes it, after a while.
    Slow(Duration),
    /// Takes all but so many records, with a message.
    PartialSuccess {
        /// How many records it says it rejected; may be nonsense.
        rejected: i64,
        /// Why.
        message: String,
    },
    /// Answers with a status, headers and a body of its own; a success counts as taken.
    Status {
        /// The status code.
        code: u16,
        /// Headers, such as `retry-after`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Answers a call over gRPC with a status; a request over HTTP is answered 500.
    #[cfg(feature = "otlp-grpc")]
    GrpcStatus {
        /// The status code; 0 counts as taken.
        code: u32,
        /// Why.
        message: String,
        /// The wait of a `RetryInfo` in the details.
        retry_delay: Option<Duration>,
    },
    /// Reads it and never answers.
    Hang,
    /// Answers with headers and half a body, and goes no further.
    HangInBody,
    /// Reads it and closes the connection.
    Disconnect,
    /// Closes the connection within the body of a success.
    DisconnectInBody,
}

impl Answer {
    /// An answer with a status and nothing else.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: Vec::new() }
    }

    /// An answer with a status and a `Retry-After`.
    pub fn retry_after(code: u16, value: &str) -> Self {
        let headers = vec![("retry-after".to_owned(), value.to_owned())];
        Self::Status { code, headers, body: Vec::new() }
    }
}

/// One request, whatever became of it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The path of its URL.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The length of its body as it came.
    pub body_bytes: usize,
    /// When its body was complete.
    pub at: Instant,
}

impl fmt::Debug for Request {
    /// Without the values of headers, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("headers", &headers)
            .field("body_bytes", &self.body_bytes)
            .field("at", &self.at)
            .finish()
    }
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Answer>,
    otherwise: Option<Answer>,
    counts: Units,
    logs: VecDeque<Log>,
    spans: VecDeque<Span>,
    metrics: VecDeque<Metric>,
    requests: VecDeque<Request>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: impl IntoIterator<Item = T>) {
    kept.extend(new);
    let over = kept.len().saturating_sub(KEPT_MAX);
    drop(kept.drain(..over));
}

/// A collector on `127.0.0.1`, with a thread of its own; dropping it stops it.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts listening.
    ///
    /// # Errors
    ///
    /// No socket or no thread could be had.
    pub fn start() -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_start(mark_own_thread)
            .build()?;
        let state = Arc::clone(&shared);
        let name = "telemetry-otlp-receiver".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            mark_own_thread();
            runtime.block_on(serve::run(listener, state, stopped));
            runtime.shutdown_background();
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Its base URL, for [`OtlpBuilder::endpoint`](crate::OtlpBuilder::endpoint).
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next requests so, one after the other; then all are accepted, unless
    /// [`otherwise`](Self::otherwise) says something else.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.lock().script.extend(answers);
    }

    /// Answers all requests beyond the script so.
    pub fn otherwise(&self, answer: Answer) {
        self.shared.lock().otherwise = Some(answer);
    }

    /// How many logs, spans and metric points it has accepted.
    pub fn counts(&self) -> Units {
        self.shared.lock().counts
    }

    /// Waits until the counts are as wanted, and returns whether they were in time.
    pub fn wait_for(&self, timeout: Duration, wanted: impl Fn(Units) -> bool) -> bool {
        self.wait_until(timeout, |state| wanted(state.counts))
    }

    /// Waits for so many requests, answered or not, and returns whether they came in time.
    pub fn wait_for_requests(&self, timeout: Duration, count: usize) -> bool {
        self.wait_until(timeout, |state| state.requests.len() >= count)
    }

    fn wait_until(&self, timeout: Duration, wanted: impl Fn(&State) -> bool) -> bool {
        let deadline = clock::now() + timeout;
        let mut state = self.shared.lock();
        while !wanted(&state) {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The logs that it has accepted, oldest first.
    pub fn logs(&self) -> Vec<Log> {
        self.shared.lock().logs.iter().cloned().collect()
    }

    /// The spans that it has accepted, oldest first.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.lock().spans.iter().cloned().collect()
    }

    /// The metrics that it has accepted, oldest first; one entry per metric and request.
    pub fn metrics(&self) -> Vec<Metric> {
        self.shared.lock().metrics.iter().cloned().collect()
    }

    /// All requests, those that it failed included, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Closes the port and all connections.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}
