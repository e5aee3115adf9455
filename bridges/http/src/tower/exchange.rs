//! One request and its response: the span, its end, and the duration as a measurement.
//!
//! # Invariants
//!
//! - It ends once: with the response, its body, an error, or its drop, which counts as a cancel.
//! - Whatever runs for it runs inside its context and its span, its destructors included.
//! - An error has a name of few (`error.type`): a status, the name of a type, `cancelled`, `panic`.

use http::{StatusCode, Version};
use std::time::Instant;
use telemetry_core::clock;
use telemetry_core::context::Carried;
use telemetry_core::metric::{self, Labels};
use tracing::{Span, record_all};

/// Who is telling of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

impl Side {
    /// A server is not at fault when a client asks for the wrong thing; for the client it failed.
    fn is_error(self, status: StatusCode) -> bool {
        status.is_server_error() || (self == Self::Client && status.is_client_error())
    }

    fn metric(self) -> (&'static str, &'static str) {
        match self {
            Self::Server => ("http.server.request.duration", "Duration of HTTP server requests."),
            Self::Client => ("http.client.request.duration", "Duration of HTTP client requests."),
        }
    }

    /// Says what the side's metric is.
    pub(super) fn describe_metric(self) {
        let (name, description) = self.metric();
        metric::global().describe(name, "s", description);
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) side: Side,
    pub(super) span: Span,
    /// What the caller sent, where there is a caller.
    pub(super) context: Option<Carried>,
    /// The attributes of the measurement, if there is to be one.
    pub(super) labels: Option<Labels>,
    pub(super) begun: Instant,
    pub(super) status: Option<StatusCode>,
}

/// Why an exchange is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was sent, or all that was wanted.
    Complete,
    /// The service, or the body, failed with an error of this type.
    Failed(&'static str),
    /// Nobody waits for it any more.
    Cancelled,
}

impl Exchange {
    pub(super) fn new(side: Side, span: Span, labels: Option<Labels>) -> Self {
        Self { side, span, context: None, labels, begun: clock::now(), status: None }
    }

    /// Runs `f` inside the context and the span.
    pub(super) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _context = self.context.as_ref().map(Carried::enter);
        let _span = self.span.enter();
        f()
    }

    /// Notes the response's status; what a client speaks is known by now.
    pub(super) fn respond(&mut self, status: StatusCode, version: Version) {
        self.status = Some(status);
        if self.side == Side::Client
            && let Some(version) = super::version(version)
        {
            self.span.record("network.protocol.version", version);
            let labels = self.labels.take();
            self.labels = labels.map(|labels| labels.with("network.protocol.version", version));
        }
        let code = status.as_u16();
        if self.side.is_error(status) {
            record_all!(
                self.span,
                http.response.status_code = code,
                "error.type" = status.as_str(),
                otel.status_code = "ERROR"
            );
        } else {
            self.span.record("http.response.status_code", code);
        }
    }

    /// Ends it.
    pub(super) fn end(mut self, end: End) {
        self.finish(end);
    }

    fn finish(&mut self, end: End) {
        let of_status = self.status.filter(|status| self.side.is_error(*status));
        let error = match end {
            End::Complete => None,
            End::Failed(name) => Some(name),
            End::Cancelled if std::thread::panicking() => Some("panic"),
            End::Cancelled => Some("cancelled"),
        };
        // What the status says stands already, and says more than the end of the body.
        if let (Some(error), None) = (error, of_status) {
            let code = (error != "cancelled").then_some("ERROR");
            record_all!(self.span, "error.type" = error, otel.status_code = code);
        }
        if let Some(labels) = self.labels.take() {
            self.measure(labels, of_status, error);
        }
        // Ends the span, as soon as those inside it have ended.
        self.span = Span::none();
    }

    fn measure(&self, labels: Labels, of_status: Option<StatusCode>, error: Option<&'static str>) {
        let mut labels = labels;
        if let Some(status) = self.status {
            labels = labels.with("http.response.status_code", i64::from(status.as_u16()));
        }
        labels = match (of_status, error) {
            (Some(status), _) => labels.with("error.type", status.as_str().to_owned()),
            (None, Some(error)) => labels.with("error.type", error),
            (None, None) => labels,
        };
        let duration = clock::now().saturating_duration_since(self.begun);
        let (name, _) = self.side.metric();
        metric::global().histogram(name, labels).record(duration.as_secs_f64());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.labels.is_some() || !self.span.is_none() {
            self.finish(End::Cancelled);
        }
    }
}
