//! The server's side: who called goes on here, and every request is a span.

use super::body::Body;
use super::exchange::{Exchange, Side};
use super::future::{Ends, ResponseFuture};
use super::method::{self, KnownMethods};
use super::peer::{self, Forwarded, Host};
use super::redact;
use crate::headers::Headers;
use http::{Extensions, Request, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use telemetry_core::context::{self, Carried, RemoteContext};
use telemetry_core::metric::Labels;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Span, field, info_span};

/// Reads what the server's framework has put beside a request.
type Look<T> = fn(&Extensions) -> Option<T>;

#[derive(Debug, Clone)]
struct Settings {
    span: SpanOf,
    callers: Callers,
    has_metric: bool,
    ends: Ends,
    route: Option<fn(&Extensions) -> Option<&str>>,
    peer: Option<Look<SocketAddr>>,
    methods: KnownMethods,
}

/// Who opens the span of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpanOf {
    ThisLayer,
    AnotherLayer,
}

/// What becomes of the context that a caller sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    Continued,
    Linked,
}

/// Continues the caller's trace, and opens a span for each request that lasts until its response is
/// sent.
///
/// Every event and span of the handler is inside. The span is called `{method} {route}` if the
/// route is known, has the attributes of OpenTelemetry's conventions for HTTP servers, and is an
/// error if the status is 5xx or the service fails; a client that goes away leaves `error.type =
/// "cancelled"`.
///
/// - **Metric**: `http.server.request.duration`, unit `s`, histogram.
/// - **Source**: the time from the call to the end of the response's body.
///
/// ```
/// use axum::extract::{ConnectInfo, MatchedPath};
/// use axum::{Router, routing::get};
/// use std::net::SocketAddr;
/// use telemetry_http::tower::ServerLayer;
///
/// let layer = ServerLayer::new()
///     .route(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str))
///     .peer(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
/// let app: Router = Router::new().route("/users/{id}", get(|| async { "ann" })).layer(layer);
/// ```
#[derive(Debug, Clone)]
pub struct ServerLayer(Arc<Settings>);

impl Default for ServerLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerLayer {
    /// A layer that continues traces, opens spans and measures.
    pub fn new() -> Self {
        Side::Server.describe_metric();
        Self(Arc::new(Settings {
            span: SpanOf::ThisLayer,
            callers: Callers::Continued,
            has_metric: true,
            ends: Ends::WithBody,
            route: None,
            peer: None,
            methods: KnownMethods::default(),
        }))
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// Sets where the route that a request matched is found (`/users/{id}`), which becomes
    /// `http.route` and a part of the span's name. The path itself is no route: there are too many.
    #[must_use]
    pub fn route(self, route: fn(&Extensions) -> Option<&str>) -> Self {
        self.with(|settings| settings.route = Some(route))
    }

    /// Sets where the address of the connection's other end is found.
    #[must_use]
    pub fn peer(self, peer: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.with(|settings| settings.peer = Some(peer))
    }

    /// Opens no span: another layer inside of this one does, such as `TraceLayer` of tower-http,
    /// and its span becomes the child of the caller's. Trace context, baggage and the measurement
    /// stay.
    ///
    /// ```
    /// use telemetry_http::tower::ServerLayer;
    /// use tower_http::trace::TraceLayer;
    ///
    /// # let app: axum::Router = axum::Router::new();
    /// let app = app.layer(TraceLayer::new_for_http()).layer(ServerLayer::new().without_span());
    /// ```
    #[must_use]
    pub fn without_span(self) -> Self {
        self.with(|settings| settings.span = SpanOf::AnotherLayer)
    }

    /// Leaves the measurement out.
    #[must_use]
    pub fn without_metric(self) -> Self {
        self.with(|settings| settings.has_metric = false)
    }

    /// Begins a trace of its own for each request, linked to the caller's, and takes no baggage:
    /// for a public edge, where ids can be forged and the sampled flag makes you record.
    #[must_use]
    pub fn untrusted(self) -> Self {
        self.with(|settings| settings.callers = Callers::Linked)
    }

    /// Ends span and measurement with the response's head, before its body is sent. By default
    /// they last until the body is at its end, or is dropped.
    #[must_use]
    pub fn ends_with_response(self) -> Self {
        self.with(|settings| settings.ends = Ends::WithResponse)
    }

    /// Sets the methods that are told by their names; others are `_OTHER`. By default those of RFC
    /// 9110, `PATCH` and `QUERY`.
    #[must_use]
    pub fn known_methods(self, methods: impl IntoIterator<Item = &'static str>) -> Self {
        self.with(|settings| settings.methods = KnownMethods::only(methods))
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Server<S> {
        Server { inner, settings: Arc::clone(&self.0) }
    }
}

/// A service inside a [`ServerLayer`].
#[derive(Debug, Clone)]
pub struct Server<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, A, B> Service<Request<A>> for Server<S>
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

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let exchange = self.settings.open(&request);
        let ends = super::ends(self.settings.ends, request.method());
        // Services open spans before they return a future, too.
        let inner = exchange.run(|| self.inner.call(request));
        ResponseFuture::new(inner, exchange, ends)
    }
}

/// What is told of a request, as far as it is known at its beginning.
struct Facts<'r> {
    method: &'static str,
    scheme: &'static str,
    version: Option<&'static str>,
    route: Option<&'r str>,
}

impl Facts<'_> {
    fn name(&self) -> String {
        let method = method::span_name(self.method);
        self.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
    }

    fn labels(&self) -> Labels {
        let mut labels =
            Labels::new().with("http.request.method", self.method).with("url.scheme", self.scheme);
        if let Some(version) = self.version {
            labels = labels.with("network.protocol.version", version);
        }
        if let Some(route) = self.route {
            labels = labels.with("http.route", route.to_owned());
        }
        labels
    }
}

impl Settings {
    fn open<A>(&self, request: &Request<A>) -> Exchange {
        let forwarded = Forwarded::of(request.headers());
        let facts = Facts {
            method: self.methods.name(request.method()),
            scheme: forwarded.scheme.or_else(|| peer::scheme_of(request.uri())).unwrap_or("http"),
            version: super::version(request.version()),
            route: self.route.and_then(|route| route(request.extensions())),
        };
        let labels = self.has_metric.then(|| facts.labels());
        let sent = context::extract(&Headers(request.headers()));
        let (remote, link) = match self.callers {
            Callers::Continued => (sent, None),
            Callers::Linked => (RemoteContext::default(), sent.span().cloned()),
        };
        remote.run(|| {
            let span = match self.span {
                SpanOf::ThisLayer => self.open_span(request, &facts, &forwarded),
                SpanOf::AnotherLayer => Span::none(),
            };
            span.in_scope(|| link.as_ref().map(context::link));
            let mut exchange = Exchange::new(Side::Server, span, labels);
            exchange.context = Some(Carried::capture());
            exchange
        })
    }

    fn open_span<A>(
        &self,
        request: &Request<A>,
        facts: &Facts<'_>,
        forwarded: &Forwarded<'_>,
    ) -> Span {
        let (uri, headers) = (request.uri(), request.headers());
        let peer = self.peer.and_then(|peer| peer(request.extensions()));
        let client = forwarded.client.or(peer.map(|peer| peer.ip()));
        let host = Host::of_request(forwarded.host, uri, headers);
        let query = uri.query().map(redact::query);
        let agent = headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let is_other = facts.method == method::OTHER;
        info_span!(
            "http.server.request",
            otel.kind = "server",
            otel.name = facts.name(),
            http.request.method = facts.method,
            http.request.method_original = is_other.then(|| request.method().as_str()),
            http.route = facts.route,
            url.scheme = facts.scheme,
            url.path = uri.path(),
            url.query = query.as_deref(),
            network.protocol.version = facts.version,
            server.address = host.as_ref().map(|host| host.name.as_str()),
            server.port = host.as_ref().and_then(|host| host.port),
            client.address = client.map(field::display),
            network.peer.address = peer.map(|peer| field::display(peer.ip())),
            network.peer.port = peer.map(|peer| peer.port()),
            user_agent.original = agent,
            http.response.status_code = field::Empty,
            "error.type" = field::Empty,
            otel.status_code = field::Empty,
        )
    }
}
