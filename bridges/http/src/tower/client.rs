//! The client's side: context goes along with every request, which is a span.

use super::body::Body;
use super::exchange::{Exchange, Side};
use super::future::{Ends, ResponseFuture};
use super::method::{self, KnownMethods};
use super::peer::{self, Host};
use super::redact;
use crate::headers::HeadersMut;
use http::{Request, Response};
use std::sync::Arc;
use std::task::{Context, Poll};
use telemetry_core::context;
use telemetry_core::metric::Labels;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Span, field, info_span};

#[derive(Debug, Clone)]
struct Settings {
    has_span: bool,
    has_metric: bool,
    ends: Ends,
    methods: KnownMethods,
}

/// Opens a span for each request, and sends it along as the parent of what the server does.
///
/// The span is called by the method, has the attributes of OpenTelemetry's conventions for HTTP
/// clients, and is an error if the status is 4xx or 5xx or the service fails; a request that nobody
/// waits for any more leaves `error.type = "cancelled"`. What goes along is what
/// [`context::inject`] writes: clear the baggage before you call somebody else's service.
///
/// - **Metric**: `http.client.request.duration`, unit `s`, histogram.
/// - **Source**: the time from the call to the end of the response's body.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use telemetry_http::tower::ClientLayer;
/// use tower::ServiceBuilder;
///
/// let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
/// let client = ServiceBuilder::new().layer(ClientLayer::new()).service(client);
/// ```
#[derive(Debug, Clone)]
pub struct ClientLayer(Arc<Settings>);

impl Default for ClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientLayer {
    /// A layer that injects, opens spans and measures.
    pub fn new() -> Self {
        Side::Client.describe_metric();
        Self(Arc::new(Settings {
            has_span: true,
            has_metric: true,
            ends: Ends::WithBody,
            methods: KnownMethods::default(),
        }))
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// Opens no span: the span that the caller is in goes along. The measurement stays.
    #[must_use]
    pub fn without_span(self) -> Self {
        self.with(|settings| settings.has_span = false)
    }

    /// Leaves the measurement out.
    #[must_use]
    pub fn without_metric(self) -> Self {
        self.with(|settings| settings.has_metric = false)
    }

    /// Ends span and measurement with the response's head, before its body is read. By default
    /// they last until the body is at its end, or is dropped.
    #[must_use]
    pub fn ends_with_response(self) -> Self {
        self.with(|settings| settings.ends = Ends::WithResponse)
    }

    /// As [`ServerLayer::known_methods`](super::ServerLayer::known_methods).
    #[must_use]
    pub fn known_methods(self, methods: impl IntoIterator<Item = &'static str>) -> Self {
        self.with(|settings| settings.methods = KnownMethods::only(methods))
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Client<S> {
        Client { inner, settings: Arc::clone(&self.0) }
    }
}

/// A service inside a [`ClientLayer`].
#[derive(Debug, Clone)]
pub struct Client<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, A, B> Service<Request<A>> for Client<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: http_body::Body,
{
    type Response = Response<Body<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let exchange = self.settings.open(&request);
        let ends = super::ends(self.settings.ends, request.method());
        let inner = exchange.run(|| {
            context::inject(&mut HeadersMut(request.headers_mut()));
            self.inner.call(request)
        });
        ResponseFuture::new(inner, exchange, ends)
    }
}

/// What is told of a request, as far as it is known at its beginning.
struct Facts {
    method: &'static str,
    scheme: &'static str,
    host: Option<Host>,
}

impl Facts {
    fn address(&self) -> Option<&str> {
        self.host.as_ref().map(|host| host.name.as_str())
    }

    fn port(&self) -> Option<u16> {
        let host = self.host.as_ref()?;
        Some(host.port.unwrap_or_else(|| peer::default_port(self.scheme)))
    }

    fn labels(&self) -> Labels {
        let mut labels = Labels::new().with("http.request.method", self.method);
        if let (Some(address), Some(port)) = (self.address(), self.port()) {
            labels = labels.with("server.address", address.to_owned());
            labels = labels.with("server.port", i64::from(port));
        }
        labels
    }
}

impl Settings {
    fn open<A>(&self, request: &Request<A>) -> Exchange {
        let uri = request.uri();
        let facts = Facts {
            method: self.methods.name(request.method()),
            scheme: peer::scheme_of(uri).unwrap_or("http"),
            host: Host::of_request(None, uri, request.headers()),
        };
        let labels = self.has_metric.then(|| facts.labels());
        let span = if self.has_span { self.open_span(request, &facts) } else { Span::none() };
        Exchange::new(Side::Client, span, labels)
    }

    fn open_span<A>(&self, request: &Request<A>, facts: &Facts) -> Span {
        let host = peer::header(request.headers());
        let url = redact::url(request.uri(), host);
        let is_other = facts.method == method::OTHER;
        info_span!(
            "http.client.request",
            otel.kind = "client",
            otel.name = method::span_name(facts.method),
            http.request.method = facts.method,
            http.request.method_original = is_other.then(|| request.method().as_str()),
            url.full = url,
            server.address = facts.address(),
            server.port = facts.port(),
            network.protocol.version = field::Empty,
            http.response.status_code = field::Empty,
            "error.type" = field::Empty,
            otel.status_code = field::Empty,
        )
    }
}
