//! tracing-opentelemetry's layer on our tracer, beside our layer: what libraries do through
//! `OpenTelemetrySpanExt` is done to our spans.

use crate::api::opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use crate::api::opentelemetry::trace::{SpanContext, Status, TraceContextExt};
use crate::api::opentelemetry::{Context, KeyValue};
use crate::api::tracing_opentelemetry::OpenTelemetrySpanExt;
use crate::api::{LayerTracer, Propagator, tracing_opentelemetry};
use crate::start;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, routing::get};
use std::collections::HashMap;
use std::time::Duration;
use telemetry_core::TelemetryLayer;
use telemetry_core::context::{self, Propagators};
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::{CapturedRecord, MemoryExporter, OwnedValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{Instrument, debug_span, error, info, info_span};
use tracing_subscriber::layer::SubscriberExt;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn captured(filter: &str, emit: impl FnOnce()) -> MemoryExporter {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let theirs = tracing_opentelemetry::layer().with_tracer(LayerTracer::new());
        let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new()).with(theirs);
        tracing::subscriber::set_global_default(subscriber).unwrap();
        context::set_propagators(Propagators::default());
        start();
    });
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
    let pipeline = Pipeline::builder().sink(sink).scoped().unwrap();
    pipeline.run(emit);
    let report = pipeline.shutdown(Duration::from_secs(10));
    assert!(!report.timed_out && report.lost() == 0, "{report}");
    memory
}

fn span(memory: &MemoryExporter, name: &str) -> CapturedRecord {
    let spans = memory.spans();
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no `{name}` in {spans:?}")).clone();
    assert!(found.next().is_none(), "more than one `{name}`: {spans:?}");
    span
}

fn text(record: &CapturedRecord, key: &str) -> Option<String> {
    let found = record.fields.iter().rfind(|(other, _)| other == key)?;
    Some(match &found.1 {
        OwnedValue::Text(text) => text.clone(),
        other => format!("{other:?}"),
    })
}

fn remote() -> Context {
    let headers = HashMap::from([("traceparent".to_owned(), PARENT.to_owned())]);
    Propagator::new().extract_with_context(&Context::new(), &headers)
}

#[track_caller]
fn assert_ids(record: &CapturedRecord, context: &SpanContext) {
    assert_eq!(record.trace_id.unwrap().to_string(), context.trace_id().to_string());
    assert_eq!(record.span_id.unwrap().to_string(), context.span_id().to_string());
}

#[test]
fn shadows_have_our_ids_and_say_what_we_have_not() {
    let mut contexts = Vec::new();
    let memory = captured("info", || {
        let span = info_span!("request", route = "/", late = tracing::field::Empty);
        span.set_attribute("before", 1);
        contexts.push(span.context());
        span.set_attribute("after", "a");
        span.record("late", 5);
        span.add_link(remote().span().span_context().clone());
        span.add_event("noted", vec![KeyValue::new("why", "because")]);
        span.in_scope(|| {
            contexts.push(tracing::Span::current().context());
            contexts.push(Context::current());
            info!("inside");
            info_span!("inner").in_scope(|| info!("further inside"));
        });
        span.set_status(Status::error("broken"));
    });
    let request = span(&memory, "request");
    for context in &contexts {
        assert_ids(&request, context.span().span_context());
    }
    assert_eq!(request.spans[0].parent_id, None);
    assert_eq!(text(&request, "before").as_deref(), Some("I64(1)"));
    assert_eq!(text(&request, "after").as_deref(), Some("a"));
    assert_eq!(text(&request, "otel.status_code").as_deref(), Some("ERROR"));
    assert_eq!(text(&request, "otel.status_message").as_deref(), Some("broken"));
    let of = |key: &str| request.fields.iter().filter(|(other, _)| other == key).count();
    assert_eq!((of("route"), of("late")), (1, 1), "nothing twice: {:?}", request.fields);
    let strange = ["busy_ns", "code.file.path", "thread.id", "telemetry.span", "target"];
    assert!(strange.iter().all(|key| of(key) == 0), "{:?}", request.fields);
    assert_eq!(request.spans[0].links.len(), 1);
    assert_eq!(request.spans[0].links[0].1.to_string(), SPAN);
    assert_eq!(span(&memory, "inner").spans[0].parent_id, request.span_id);
    let events = memory.events();
    let messages = events.iter().map(|event| event.message().unwrap_or(&event.name));
    assert_eq!(messages.collect::<Vec<_>>(), ["noted", "inside", "further inside"]);
}

#[test]
fn set_parent_gives_our_span_its_parent() {
    let memory = captured("info", || {
        let outer = info_span!("outer").entered();
        let span = info_span!("request");
        span.set_parent(remote()).unwrap();
        let child = info_span!(parent: &span, "named child");
        span.in_scope(|| {
            info!("inside");
            drop(info_span!("child"));
            assert!(tracing::Span::current().set_parent(Context::new()).is_err(), "too late");
        });
        child.in_scope(|| info!("in the child"));
        drop(outer);
    });
    let request = span(&memory, "request");
    assert_eq!(request.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(request.spans[0].parent_id.unwrap().to_string(), SPAN);
    assert!(request.spans[0].has_remote_parent);
    for name in ["child", "named child"] {
        let child = span(&memory, name);
        assert_eq!(child.trace_id, request.trace_id, "{name}");
        assert_eq!(child.spans[0].parent_id, request.span_id, "{name}");
    }
    let events = memory.events();
    assert_eq!((events[0].trace_id, events[0].span_id), (request.trace_id, request.span_id));
    assert_eq!(events[1].span_id, span(&memory, "named child").span_id);
    assert_ne!(span(&memory, "outer").trace_id, request.trace_id);
}

#[test]
fn what_our_filter_refuses_is_inside_of_what_is_around_it() {
    let memory = captured("info", || {
        info_span!("around").in_scope(|| {
            let around = tracing::Span::current().context().span().span_context().clone();
            let quiet = debug_span!("quiet");
            quiet.set_attribute("lost", true);
            quiet.in_scope(|| {
                let here = tracing::Span::current().context().span().span_context().clone();
                assert_eq!(here.span_id(), around.span_id());
                info_span!("inner").in_scope(|| ());
            });
        });
    });
    assert_eq!(memory.spans().len(), 2);
    let around = span(&memory, "around");
    assert_eq!(span(&memory, "inner").spans[0].parent_id, around.span_id);
    assert_eq!(text(&around, "lost"), None, "it was not meant for this one");
}

#[test]
fn error_event_sets_the_status_as_with_their_sdk() {
    let memory = captured("info", || info_span!("fails").in_scope(|| error!("it failed")));
    assert_eq!(text(&span(&memory, "fails"), "otel.status_code").as_deref(), Some("ERROR"));
    assert_eq!(memory.events().len(), 1, "the event is told once");
}

#[test]
fn links_are_told_once() {
    let memory = captured("info", || {
        let cause = info_span!("cause");
        let span = info_span!("effect");
        span.follows_from(&cause);
        span.in_scope(|| ());
        span.follows_from(&cause);
    });
    let effect = span(&memory, "effect");
    assert_eq!(effect.spans[0].links.len(), 1, "{:?}", effect.spans[0].links);
    assert_eq!(Some(effect.spans[0].links[0].1), span(&memory, "cause").span_id);
}

struct Headers<'h>(&'h http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Lines<'l>(&'l mut String);

impl Injector for Lines<'_> {
    fn set(&mut self, key: &str, value: String) {
        *self.0 += &format!("{key}: {value}\r\n");
    }
}

/// What middlewares for servers do that know tracing-opentelemetry.
async fn serve_inside(request: Request, next: Next) -> Response {
    let span = info_span!("server", http.route = request.uri().path());
    let caller = Propagator::new().extract(&Headers(request.headers()));
    span.set_parent(caller).unwrap();
    next.run(request).instrument(span).await
}

/// What middlewares for clients do.
async fn call(address: std::net::SocketAddr) -> String {
    let span = info_span!("client");
    let mut lines = String::new();
    Propagator::new().inject_context(&span.context(), &mut Lines(&mut lines));
    async {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
    .instrument(span)
    .await
}

async fn start_service(router: Router) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router.layer(from_fn(serve_inside));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[test]
fn two_services_are_in_one_trace() {
    let memory = captured("info", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let back = Router::new().route("/", get(|| async { info!("behind") }));
            let back = start_service(back).await;
            let front = Router::new().route("/", get(move || async move { call(back).await }));
            let front = start_service(front).await;
            let answer = call(front).await;
            assert!(answer.contains("HTTP/1.1 200"), "{answer}");
        });
        drop(runtime);
    });
    let spans = memory.spans();
    // In the order in which they end: the innermost first.
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["server", "client", "server", "client"]);
    for pair in spans.windows(2) {
        assert_eq!(pair[0].spans[0].parent_id, pair[1].span_id);
        assert_eq!(pair[0].trace_id, pair[1].trace_id);
    }
    assert!(spans[0].spans[0].has_remote_parent && spans[2].spans[0].has_remote_parent);
    assert_eq!(spans[3].spans[0].parent_id, None);
    assert_eq!(memory.events()[0].span_id, spans[0].span_id);
}
