//! Two services that know tracing-opentelemetry only (axum-tracing-opentelemetry on the server's
//! side, `OpenTelemetrySpanExt` on the client's), over HTTP: one trace, in what we export.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests")]

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use std::net::SocketAddr;
use telemetry_toolkit::opentelemetry::LayerTracer;
use telemetry_toolkit::testing::{CapturedRecord, MemoryExporter, OwnedValue};
use telemetry_toolkit::{SinkBuilder, Telemetry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{Instrument, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_opentelemetry_instrumentation_sdk::{find_current_trace_id, http as otel_http};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

/// A client's middleware: a span, whose context is sent.
async fn call(address: SocketAddr, path: &str) -> String {
    let span = info_span!("client", otel.kind = "client");
    let mut headers = axum::http::HeaderMap::new();
    otel_http::inject_context(&span.context(), &mut headers);
    let lines =
        headers.iter().map(|(key, value)| format!("{key}: {}\r\n", value.to_str().unwrap()));
    let lines = lines.collect::<String>();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    exchange.instrument(span).await
}

async fn start(routes: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = routes.layer(OtelInResponseLayer).layer(OtelAxumLayer::default());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn talk() {
    let back = async |Path(id): Path<u32>| {
        info!("handling {id}");
        find_current_trace_id().unwrap()
    };
    let back = start(Router::new().route("/users/{id}", get(back))).await;
    let front = Router::new().route("/", get(move || async move { call(back, "/users/7").await }));
    let front = start(front).await;
    let answer = call(front, "/").await;
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("\r\ntraceparent: "), "{answer}");
}

#[test]
fn axum_tracing_opentelemetry_joins_services_into_our_trace() {
    let memory = MemoryExporter::new("memory");
    let filter = "info,otel::tracing=trace";
    let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
    let otel = tracing_opentelemetry::layer().with_tracer(LayerTracer::new());
    let telemetry = Telemetry::builder()
        .no_console()
        .poller(false)
        .exporter(sink)
        .layer(otel.with_filter(filter_fn(|of| of.is_span())))
        .init()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(talk());
    drop(runtime);
    telemetry.shutdown();

    let spans = memory.spans();
    let root = spans.iter().find(|span| span.spans[0].parent_id.is_none()).unwrap();
    let child_of = |parent: &CapturedRecord| {
        let of_parent = |span: &&CapturedRecord| span.spans[0].parent_id == parent.span_id;
        spans.iter().find(of_parent).unwrap_or_else(|| panic!("no child of {parent:?}"))
    };
    let outer = child_of(root);
    let between = child_of(outer);
    let inner = child_of(between);
    let chain = [root, outer, between, inner];
    let names = chain.map(|span| (&*span.name, span.field("otel.name").cloned()));
    let named = |name: &str| ("HTTP request", Some(OwnedValue::Text(name.to_owned())));
    let client = ("client", None);
    assert_eq!(names, [client.clone(), named("GET /"), client, named("GET /users/{id}")]);
    assert!(chain.iter().all(|span| span.trace_id == root.trace_id), "{spans:#?}");
    assert!(outer.spans[0].has_remote_parent && inner.spans[0].has_remote_parent);
    let events = memory.events();
    let event = events.iter().find(|event| event.message() == Some("handling 7")).unwrap();
    assert_eq!((event.trace_id, event.span_id), (root.trace_id, inner.span_id));
}
