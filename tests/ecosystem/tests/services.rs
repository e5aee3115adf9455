//! Services that know tracing-opentelemetry only, in two versions of it (axum-tracing-opentelemetry
//! and tracing-actix-web on the server's side, reqwest-tracing on the client's), over HTTP, each in a
//! process of its own: one trace, in what we export.
//!
//! The test runs this binary again for each server, with its role in the environment.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "tests")]

use actix_web::{App, HttpServer, web};
use axum::Router;
use axum::routing::get;
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use reqwest_tracing::TracingMiddleware;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use telemetry_toolkit::opentelemetry::{LayerTracer, v0_32};
use telemetry_toolkit::testing::{CapturedRecord, MemoryExporter, OwnedValue};
use telemetry_toolkit::{SinkBuilder, Telemetry};
use tracing::info;
use tracing_actix_web::TracingLogger;
use tracing_opentelemetry_instrumentation_sdk::find_current_trace_id;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

const ROLE: &str = "TELEMETRY_TEST_ROLE";
const BACK: &str = "TELEMETRY_TEST_BACK";

fn init(memory: &MemoryExporter) -> Telemetry {
    let filter = "info,otel::tracing=trace";
    let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
    let otel = tracing_opentelemetry::layer().with_tracer(LayerTracer::new());
    let older = tracing_opentelemetry_0_33::layer().with_tracer(v0_32::LayerTracer::new());
    Telemetry::builder()
        .no_console()
        .poller(false)
        .exporter(sink)
        .layer(otel.with_filter(filter_fn(|of| of.is_span())))
        .layer(older.with_filter(filter_fn(|of| of.is_span())))
        .init()
        .unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A client with reqwest-tracing.
async fn call(address: &str, path: &str) -> reqwest::Response {
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    let client = client.with(TracingMiddleware::default()).build();
    client.get(format!("http://{address}{path}")).send().await.unwrap()
}

/// A server with axum-tracing-opentelemetry, which calls another one.
fn serve_front() {
    let runtime = runtime();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    println!("\naddress {}", listener.local_addr().unwrap());
    let back = std::env::var(BACK).unwrap();
    let handler = move || async move {
        let answer = call(&back, "/users/7").await;
        assert!(answer.status().is_success(), "{answer:?}");
        find_current_trace_id().unwrap()
    };
    let routes = Router::new().route("/", get(handler));
    let app = routes.layer(OtelInResponseLayer).layer(OtelAxumLayer::default());
    runtime.spawn(async move { axum::serve(listener, app).await });
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A server with tracing-actix-web.
fn serve_back() {
    let app = || {
        let user = async |id: web::Path<u32>| {
            info!("handling {id}");
            "ann"
        };
        let app = App::new().wrap(TracingLogger::default());
        app.route("/users/{id}", web::get().to(user))
    };
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(app).workers(1).bind(("127.0.0.1", 0)).unwrap();
        println!("\naddress {}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        let running = actix_web::rt::spawn(server);
        let end = || std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        actix_web::rt::task::spawn_blocking(end).await.unwrap();
        handle.stop(true).await;
        running.await.unwrap().unwrap();
    });
}

/// What a record of a server is to the test: a line that can be compared.
fn line(record: &CapturedRecord) -> String {
    let hex = |id: Option<String>| id.unwrap_or_else(|| "none".to_owned());
    let name = match (record.message(), record.field("otel.name")) {
        (Some(message), _) => message,
        (None, Some(OwnedValue::Text(name))) => name.as_str(),
        _ => record.name.as_str(),
    };
    let around = record.spans.first();
    let parent = hex(around.and_then(|span| span.parent_id).map(|id| id.to_string()));
    let is_remote = around.is_some_and(|span| span.has_remote_parent);
    let place = if is_remote { "elsewhere" } else { "here" };
    let trace = hex(record.trace_id.map(|id| id.to_string()));
    let span = hex(record.span_id.map(|id| id.to_string()));
    format!("{name}: trace {trace}, span {span}, parent {parent} {place}")
}

/// A server's process: says its address, serves until its input ends, and says what it exported.
#[test]
fn serves_where_a_role_is_given() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let memory = MemoryExporter::new("memory");
    let telemetry = init(&memory);
    if role == "front" {
        serve_front()
    } else {
        serve_back()
    }
    assert!(telemetry.shutdown().is_complete());
    for record in memory.records() {
        println!("record {}", line(&record));
    }
}

/// A server in a process of its own.
struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(role: &str, back: Option<SocketAddr>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serves_where_a_role_is_given", "--nocapture"])
            .env(ROLE, role)
            .envs(back.map(|back| (BACK, back.to_string())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut lines = (&mut said).lines().map(Result::unwrap);
        let address = lines.find_map(|line| line.strip_prefix("address ")?.parse().ok()).unwrap();
        Self { child, said, address }
    }

    /// Ends the server; what it exported.
    fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let lines = self.said.by_ref().lines().map(Result::unwrap);
        let records = lines.filter_map(|line| Some(line.strip_prefix("record ")?.to_owned()));
        let records = records.collect();
        assert!(self.child.wait().unwrap().success());
        records
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line of a record, and the id of its span.
fn find(lines: &[String], name: &str, trace: &str, parent: &str) -> String {
    let rest = |line: &String| {
        let (head, tail) = line.split_once(", span ")?;
        let (span, tail) = tail.split_once(", parent ")?;
        let is_it = head == format!("{name}: trace {trace}") && tail == parent;
        is_it.then(|| span.to_owned())
    };
    lines.iter().find_map(rest).unwrap_or_else(|| {
        panic!("no `{name}` in trace {trace} with the parent {parent} among {lines:#?}")
    })
}

#[test]
fn middlewares_of_two_versions_join_processes_into_one_trace() {
    if std::env::var_os(ROLE).is_some() {
        return;
    }
    let back = Server::start("back", None);
    let front = Server::start("front", Some(back.address));
    let memory = MemoryExporter::new("memory");
    let telemetry = init(&memory);
    let answer = runtime().block_on(call(&front.address.to_string(), "/"));
    assert!(answer.status().is_success(), "{answer:?}");
    telemetry.shutdown();

    let [client] = &memory.spans()[..] else { panic!("{:?}", memory.spans()) };
    let trace = client.trace_id.unwrap().to_string();
    let told = answer.headers()["traceparent"].to_str().unwrap();
    assert!(told.contains(&trace), "{told}");
    let here = client.span_id.unwrap();
    let (front, back) = (front.end(), back.end());
    let served = find(&front, "GET /", &trace, &format!("{here} elsewhere"));
    let called = find(&front, "GET", &trace, &format!("{served} here"));
    let handled = find(&back, "GET /users/{id}", &trace, &format!("{called} elsewhere"));
    let event = find(&back, "handling 7", &trace, &format!("{called} elsewhere"));
    assert_eq!(event, handled, "the event is in the server's span");
}
