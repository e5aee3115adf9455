//! The layers around services of axum and clients of hyper, over real connections and without.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use axum::extract::{MatchedPath, Request};
use axum::routing::{any, get};
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use telemetry_core::context::{self, Propagators, TraceId};
use telemetry_core::metric::{self, Data, Labels, Value};
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::{CapturedRecord, MemoryExporter, OwnedValue};
use telemetry_http::tower::{ClientLayer, ServerLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Runs a future on one thread, and returns what was recorded.
fn captured(work: impl Future<Output = ()>) -> MemoryExporter {
    context::set_propagators(Propagators::default());
    let memory = MemoryExporter::new("memory");
    let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).scoped().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    pipeline.run(|| {
        runtime.block_on(work);
        // Tasks that are left are dropped here, inside the pipeline.
        drop(runtime);
    });
    let report = pipeline.shutdown(Duration::from_secs(10));
    assert!(!report.timed_out && report.lost() == 0, "{report}");
    memory
}

fn span(memory: &MemoryExporter, name: &str) -> CapturedRecord {
    let spans = memory.spans();
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span `{name}` in {spans:?}")).clone();
    assert!(found.next().is_none(), "more than one `{name}`");
    span
}

/// A field's text; empty when it is not there.
fn text(record: &CapturedRecord, key: &str) -> String {
    match record.fields.iter().rfind(|(other, _)| other == key).map(|(_, value)| value) {
        None => String::new(),
        Some(OwnedValue::Text(text)) => text.clone(),
        Some(OwnedValue::U64(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

fn request(method: &str, uri: &str) -> Request {
    http::Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
}

/// A service that answers with a status.
fn answers(
    status: StatusCode,
) -> impl Service<Request, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    service_fn(move |_| async move {
        let response = Response::builder().status(status).body(Body::empty()).unwrap();
        Ok::<_, Infallible>(response)
    })
}

/// How often a duration was measured with these attributes, and no others.
fn measured<const N: usize>(name: &str, labels: [(&'static str, Value); N]) -> u64 {
    let labels = Labels::from(labels);
    let snapshot = metric::global().snapshot(0);
    let Some(metric) = snapshot.metrics.iter().find(|metric| &*metric.name == name) else {
        return 0;
    };
    assert_eq!(&*metric.unit, "s");
    let Data::Histogram { points, .. } = &metric.data else { panic!("{metric:?}") };
    points.iter().find(|point| point.labels == labels).map_or(0, |point| point.value.count)
}

#[test]
fn server_continues_the_caller_s_trace_over_a_connection() {
    async fn handler() -> String {
        tokio::task::yield_now().await;
        tracing::info!("handling");
        let current = context::current().unwrap();
        format!("{} {} {}", current.trace_id, current.state, context::baggage())
    }
    let memory = captured(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let layer = ServerLayer::new()
            .route(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str))
            .peer(|_| Some(([192, 0, 2, 1], 4711).into()));
        let app = Router::new().route("/users/{id}", get(handler)).layer(layer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /users/7?page=2&token=s3cret HTTP/1.1\r\nhost: shop.example:8080\r\n\
             user-agent: test/1\r\nTraceParent: {PARENT}\r\ntracestate: a=1\r\nbaggage: k=v\r\n\
             tracestate: b=2\r\nbaggage: l=w\r\nconnection: close\r\n\r\n"
        );
        let mut answer = String::new();
        let (mut reader, mut writer) = stream.into_split();
        tokio::io::AsyncWriteExt::write_all(&mut writer, request.as_bytes()).await.unwrap();
        tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut answer).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, format!("{TRACE} a=1,b=2 k=v,l=w"));
    });
    let span = span(&memory, "http.server.request");
    let view = &span.spans[0];
    assert_eq!(view.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(view.parent_id.unwrap().to_string(), SPAN);
    assert!(view.has_remote_parent);
    let expected = [
        ("otel.kind", "server"),
        ("otel.name", "GET /users/{id}"),
        ("http.request.method", "GET"),
        ("http.request.method_original", ""),
        ("http.route", "/users/{id}"),
        ("url.scheme", "http"),
        ("url.path", "/users/7"),
        ("url.query", "page=2&token=REDACTED"),
        ("network.protocol.version", "1.1"),
        ("server.address", "shop.example"),
        ("server.port", "8080"),
        ("client.address", "192.0.2.1"),
        ("network.peer.address", "192.0.2.1"),
        ("network.peer.port", "4711"),
        ("user_agent.original", "test/1"),
        ("http.response.status_code", "200"),
        ("error.type", ""),
        ("otel.status_code", ""),
    ];
    for (key, value) in expected {
        assert_eq!(text(&span, key), value, "{key}");
    }
    let told = expected.iter().filter(|(_, value)| !value.is_empty()).count();
    assert_eq!(span.fields.len(), told, "nothing else: {:?}", span.fields);
    let events = memory.events();
    assert_eq!(events[0].span_id, span.span_id, "the event is inside, behind an await");
    let labels = [
        ("http.request.method", "GET".into()),
        ("url.scheme", "http".into()),
        ("http.route", "/users/{id}".into()),
        ("network.protocol.version", "1.1".into()),
        ("http.response.status_code", 200.into()),
    ];
    assert_eq!(measured("http.server.request.duration", labels), 1);
}

#[test]
fn client_s_span_is_the_parent_of_the_server_s() {
    let memory = captured(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/x", get(|| async { "there" })).layer(ServerLayer::new());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let executor = hyper_util::rt::TokioExecutor::new();
        let client = hyper_util::client::legacy::Client::builder(executor);
        let mut client = ClientLayer::new().layer(client.build_http::<Empty<Bytes>>());
        for path in ["/x", "/missing?sig=1"] {
            let uri = format!("http://user:pass@127.0.0.1:{port}{path}");
            let request = http::Request::get(uri).body(Empty::new()).unwrap();
            let response = client.ready().await.unwrap().call(request).await.unwrap();
            response.into_body().collect().await.unwrap();
        }
        let refused = http::Request::get("http://127.0.0.1:1/").body(Empty::new()).unwrap();
        client.ready().await.unwrap().call(refused).await.unwrap_err();
    });
    let spans = memory.spans();
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (clients, servers) = (of("http.client.request"), of("http.server.request"));
    assert_eq!((clients.len(), servers.len()), (3, 2));
    for (client, server) in clients.iter().zip(&servers) {
        assert_eq!(server.trace_id, client.trace_id);
        assert_eq!(server.spans[0].parent_id, client.span_id);
        assert_eq!(client.spans[0].parent_id, None);
    }
    let (found, missing, refused) = (clients[0], clients[1], clients[2]);
    assert_eq!(text(found, "otel.kind"), "client");
    assert_eq!(text(found, "otel.name"), "GET");
    assert_eq!(text(found, "http.response.status_code"), "200");
    assert_eq!(text(found, "network.protocol.version"), "1.1");
    assert_eq!(text(found, "server.address"), "127.0.0.1");
    assert_eq!(text(found, "otel.status_code"), "");
    let url = text(missing, "url.full");
    assert!(url.starts_with("http://REDACTED:REDACTED@127.0.0.1:"), "{url}");
    assert!(url.ends_with("/missing?sig=REDACTED"), "{url}");
    assert_eq!(text(missing, "error.type"), "404");
    assert_eq!(text(missing, "otel.status_code"), "ERROR");
    assert_eq!(text(servers[1], "error.type"), "", "a 404 is not the server's error");
    assert_eq!(text(refused, "http.response.status_code"), "");
    assert!(text(refused, "error.type").contains("legacy"), "the type's name: {refused:?}");
    assert_eq!(text(refused, "otel.status_code"), "ERROR");
    let labels = [
        ("http.request.method", "GET".into()),
        ("server.address", "127.0.0.1".into()),
        ("server.port", 1.into()),
        ("error.type", text(refused, "error.type").into()),
    ];
    assert_eq!(measured("http.client.request.duration", labels), 1);
}

#[test]
fn status_says_what_is_an_error() {
    for (status, error) in [(200, ""), (302, ""), (404, ""), (500, "500"), (503, "503")] {
        let memory = captured(async {
            let service = ServerLayer::new().layer(answers(StatusCode::from_u16(status).unwrap()));
            service.oneshot(request("PUT", "/")).await.unwrap();
        });
        let span = span(&memory, "http.server.request");
        assert_eq!(text(&span, "http.response.status_code"), status.to_string());
        assert_eq!(text(&span, "error.type"), error);
        let code = if error.is_empty() { "" } else { "ERROR" };
        assert_eq!(text(&span, "otel.status_code"), code, "{status}");
        assert_eq!(text(&span, "otel.name"), "PUT", "no route, no path");
    }
}

#[test]
fn methods_of_callers_make_no_series() {
    let memory = captured(async {
        let service = ServerLayer::new().layer(answers(StatusCode::OK));
        service.oneshot(request("BREW", "/pot")).await.unwrap();
    });
    let span = span(&memory, "http.server.request");
    assert_eq!(text(&span, "otel.name"), "HTTP");
    assert_eq!(text(&span, "http.request.method"), "_OTHER");
    assert_eq!(text(&span, "http.request.method_original"), "BREW");
    let labels = [
        ("http.request.method", "_OTHER".into()),
        ("url.scheme", "http".into()),
        ("network.protocol.version", "1.1".into()),
        ("http.response.status_code", 200.into()),
    ];
    assert_eq!(measured("http.server.request.duration", labels), 1);
}

#[test]
fn trace_layer_s_span_is_the_only_one_and_the_caller_s_child() {
    let memory = captured(async {
        let app = Router::new()
            .route("/", any(|| async { context::baggage().get("k").unwrap().to_owned() }))
            .layer(tower_http::trace::TraceLayer::new_for_http().make_span_with(
                tower_http::trace::DefaultMakeSpan::new().level(tracing::Level::INFO),
            ))
            .layer(ServerLayer::new().without_span().without_metric());
        let mut request = request("TRACE", "/");
        request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
        request.headers_mut().insert("baggage", "k=v".parse().unwrap());
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "v");
    });
    assert_eq!(memory.spans().len(), 1);
    let span = span(&memory, "request");
    assert_eq!(span.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(span.spans[0].parent_id.unwrap().to_string(), SPAN);
    let labels = [
        ("http.request.method", "TRACE".into()),
        ("url.scheme", "http".into()),
        ("network.protocol.version", "1.1".into()),
        ("http.response.status_code", 200.into()),
    ];
    assert_eq!(measured("http.server.request.duration", labels), 0);
}

#[test]
fn untrusted_callers_are_linked_to() {
    let memory = captured(async {
        let seen = service_fn(|_: Request| async {
            assert!(context::baggage().is_empty());
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let mut request = request("GET", "/");
        request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
        request.headers_mut().insert("baggage", "k=v".parse().unwrap());
        ServerLayer::new().untrusted().layer(seen).oneshot(request).await.unwrap();
    });
    let span = span(&memory, "http.server.request");
    let view = &span.spans[0];
    assert_ne!(view.trace_id.unwrap().to_string(), TRACE);
    assert_eq!((view.parent_id, view.has_remote_parent), (None, false));
    let trace_id = TraceId::new(u128::from_str_radix(TRACE, 16).unwrap()).unwrap();
    assert_eq!((view.links.len(), view.links[0].0), (1, trace_id));
    assert_eq!(view.links[0].1.to_string(), SPAN);
}

/// Says goodbye inside the request's span.
struct SaysGoodbye;

impl Drop for SaysGoodbye {
    fn drop(&mut self) {
        tracing::info!("goodbye");
    }
}

#[test]
fn dropped_future_ends_its_span_as_cancelled() {
    let memory = captured(async {
        let never = service_fn(|_: Request| async {
            let _goodbye = SaysGoodbye;
            std::future::pending::<Result<Response<Body>, Infallible>>().await
        });
        let mut future = Box::pin(ServerLayer::new().layer(never).oneshot(request("GET", "/")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        drop(future);
    });
    let span = span(&memory, "http.server.request");
    assert_eq!(text(&span, "error.type"), "cancelled");
    assert_eq!(text(&span, "otel.status_code"), "", "it is nobody's error");
    assert_eq!(text(&span, "http.response.status_code"), "");
    let events = memory.events();
    assert_eq!(events[0].span_id, span.span_id, "its destructors speak inside the span");
}

#[test]
fn errors_and_panics_of_the_service_are_told() {
    #[derive(Debug)]
    struct Broken;
    let memory = captured(async {
        let fails = service_fn(|_: Request| async { Err::<Response<Body>, _>(Broken) });
        ServerLayer::new().layer(fails).oneshot(request("GET", "/")).await.unwrap_err();
    });
    let failed = span(&memory, "http.server.request");
    assert!(text(&failed, "error.type").ends_with("Broken"), "{failed:?}");
    assert_eq!(text(&failed, "otel.status_code"), "ERROR");
    let memory = captured(async {
        let panics = service_fn(|_: Request| async {
            assert!(std::hint::black_box(false), "on purpose");
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let future = ServerLayer::new().layer(panics).oneshot(request("GET", "/"));
        assert!(tokio::spawn(future).await.unwrap_err().is_panic());
    });
    let panicked = span(&memory, "http.server.request");
    assert_eq!(text(&panicked, "error.type"), "panic");
    assert_eq!(text(&panicked, "otel.status_code"), "ERROR");
}

/// A body of two frames, that speaks when it is asked for one.
fn streamed() -> Response<Body> {
    let frames = (0..2).map(|n| {
        tracing::info!(n, "frame");
        Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(b"data")))
    });
    Response::new(Body::new(StreamBody::new(tokio_stream(frames))))
}

/// An iterator as a stream.
fn tokio_stream<I: Iterator + Unpin>(
    mut items: I,
) -> impl futures_core::Stream<Item = I::Item> + Unpin {
    struct Items<F>(F);
    impl<T, F: FnMut() -> Option<T> + Unpin> futures_core::Stream for Items<F> {
        type Item = T;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Self::Item>> {
            Poll::Ready((self.0)())
        }
    }
    Items(move || items.next())
}

#[test]
fn span_lasts_until_the_body_is_sent() {
    let service = || service_fn(|_: Request| async { Ok::<_, Infallible>(streamed()) });
    let memory = captured(async {
        let service = ServerLayer::new().layer(service());
        let response = service.oneshot(request("GET", "/")).await.unwrap();
        tracing::info!("between");
        response.into_body().collect().await.unwrap();
    });
    let whole = span(&memory, "http.server.request");
    assert_eq!(text(&whole, "error.type"), "");
    let events = memory.events();
    let inside = |events: &[CapturedRecord], span: &CapturedRecord| {
        events.iter().filter(|event| event.span_id == span.span_id).count()
    };
    assert_eq!((events.len(), inside(&events, &whole)), (3, 2));

    let memory = captured(async {
        let service = ServerLayer::new().layer(service());
        let mut body = service.oneshot(request("GET", "/")).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
    });
    let left = span(&memory, "http.server.request");
    assert_eq!(text(&left, "error.type"), "cancelled", "the client went away");
    assert_eq!(text(&left, "http.response.status_code"), "200");

    let memory = captured(async {
        let service = ServerLayer::new().ends_with_response().layer(service());
        let response = service.oneshot(request("GET", "/")).await.unwrap();
        response.into_body().collect().await.unwrap();
    });
    let head = span(&memory, "http.server.request");
    assert_eq!((text(&head, "error.type").as_str(), inside(&memory.events(), &head)), ("", 0));
}

#[test]
fn bodies_that_are_not_polled_to_their_end_may_be_complete() {
    let full =
        || service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(Body::from("12"))) });
    for (method, read, error) in
        [(Method::HEAD, false, ""), (Method::GET, true, ""), (Method::GET, false, "cancelled")]
    {
        let memory = captured(async {
            let service = ServerLayer::new().layer(full());
            let request = request(method.as_str(), "/");
            let mut body = service.oneshot(request).await.unwrap().into_body();
            if read {
                // As hyper does: no more than the announced length is asked for.
                body.frame().await.unwrap().unwrap();
            }
        });
        assert_eq!(text(&span(&memory, "http.server.request"), "error.type"), error, "{method}");
    }
}
