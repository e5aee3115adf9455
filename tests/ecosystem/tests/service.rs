//! A service as many are: axum inside tower-http's `TraceLayer`, sqlx, reqwest, `#[instrument]`, and
//! a client that knows the `log` crate only. What each of them says arrives, under its own target,
//! in the span that it belongs to, and in the caller's trace.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests")]

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Router, http::HeaderMap};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use std::net::SocketAddr;
use std::time::Duration;
use telemetry_toolkit::headers::HeadersMut;
use telemetry_toolkit::testing::{CapturedRecord, MemoryExporter};
use telemetry_toolkit::tower::ServerLayer;
use telemetry_toolkit::{SinkBuilder, Telemetry, context, task};
use tower_http::trace::TraceLayer;
use tracing::{info, instrument};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_ID: &str = "00f067aa0ba902b7";
const FILTER: &str = "info,sqlx=debug,reqwest=debug,hyper_util=debug,tower_http=debug,ureq=debug";

#[derive(Clone)]
struct App {
    pool: SqlitePool,
    client: reqwest::Client,
    address: SocketAddr,
}

/// A query, a call to another service, and one that blocks.
#[instrument(skip(app))]
async fn order(State(app): State<App>, Path(id): Path<i64>) -> String {
    let query = sqlx::query_scalar::<_, String>("SELECT title FROM books WHERE id = ?");
    let title = query.bind(id).fetch_one(&app.pool).await.unwrap();
    let mut headers = HeaderMap::new();
    context::inject(&mut HeadersMut(&mut headers));
    let url = format!("http://{}/stock/{id}", app.address);
    let answer = app.client.get(url).headers(headers).send().await.unwrap();
    let stock = answer.text().await.unwrap();
    let url = format!("http://{}/health", app.address);
    let ping = move || ureq::get(url).call().unwrap().status().as_u16();
    let health = task::spawn_blocking(ping).await.unwrap();
    info!(health, "found");
    format!("{title}: {stock}")
}

#[instrument]
async fn stock(Path(id): Path<u32>) -> String {
    (10 * id).to_string()
}

async fn app(listener: &tokio::net::TcpListener) -> App {
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect("sqlite::memory:").await.unwrap();
    for statement in
        ["CREATE TABLE books (id INTEGER, title TEXT)", "INSERT INTO books VALUES (7, 'Emma')"]
    {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    App { pool, client: reqwest::Client::new(), address: listener.local_addr().unwrap() }
}

/// Serves, and calls twice: the second time on the connections of the first.
async fn run() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = app(&listener).await;
    let (client, address) = (app.client.clone(), app.address);
    let router = Router::new()
        .route("/orders/{id}", get(order))
        .route("/stock/{id}", get(stock))
        .with_state(app)
        .layer(TraceLayer::new_for_http())
        .layer(ServerLayer::new().without_span())
        .route("/health", get(async || "good"));
    let served = tokio::spawn(async move { axum::serve(listener, router).await });
    for _ in 0..2 {
        let request = client.get(format!("http://{address}/orders/7"));
        let request = request.header("traceparent", format!("00-{TRACE_ID}-{CALLER_ID}-01"));
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "Emma: 70");
    }
    served.abort();
}

fn is_in_the_trace(record: &CapturedRecord) -> bool {
    record.trace_id.is_some_and(|id| id.to_string() == TRACE_ID)
}

/// How many events of a target, with this text, stand in these spans, in the caller's trace.
fn count(events: &[CapturedRecord], target: &str, spans: &str, text: &str) -> usize {
    let is_one = |event: &&CapturedRecord| {
        event.target == target
            && event.span_path() == spans
            && is_in_the_trace(event)
            && format!("{:?}", event.fields).contains(text)
    };
    events.iter().filter(is_one).count()
}

fn check_events(events: &[CapturedRecord]) {
    let called = "request > order > request";
    for (target, spans, text) in [
        ("tower_http::trace::on_request", "request", "started processing request"),
        ("tower_http::trace::on_response", "request", "finished processing request"),
        ("tower_http::trace::on_response", called, "finished processing request"),
        ("sqlx::query", "request > order", "SELECT title FROM books"),
        ("ureq::run", "request > order", "GET http://127.0.0.1"),
        ("service", "request > order", "found"),
    ] {
        assert_eq!(count(events, target, spans, text), 2, "{target} in {spans}: {text}");
    }
    // A record of `log` by reqwest, an event by hyper.
    let spans = "request > order";
    let new = count(events, "reqwest::connect", spans, "starting new connection");
    let old = count(events, "hyper_util::client::legacy::pool", spans, "reuse idle connection");
    assert!(new >= 1 && new + old == 2, "{new} new connections, {old} reused");
}

fn check_spans(spans: &[CapturedRecord]) {
    let ended = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    assert!(spans.iter().all(is_in_the_trace));
    assert_eq!(ended("request").count(), 4);
    let parent = |span: &CapturedRecord| span.spans[0].parent_id;
    for stock in ended("stock") {
        let request = ended("request").find(|request| request.span_id == parent(stock)).unwrap();
        assert_eq!(request.target, "tower_http::trace::make_span");
        // Over HTTP, to the span that has asked.
        let order = ended("order").find(|order| order.span_id == parent(request)).unwrap();
        let request = ended("request").find(|request| request.span_id == parent(order)).unwrap();
        assert_eq!(parent(request).unwrap().to_string(), CALLER_ID);
    }
    assert_eq!(ended("stock").count(), 2);
}

#[test]
fn what_each_library_says_arrives_in_its_span_and_trace() {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(FILTER.parse().unwrap());
    let telemetry = Telemetry::builder().no_console().poller(false).exporter(sink).init().unwrap();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run());
    drop(runtime);
    let report = telemetry.flush(Duration::from_secs(20)).unwrap();
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    check_events(&memory.events());
    check_spans(&memory.spans());
    telemetry.shutdown();
}
