//! The ways in.

use crate::{PATTERN, canary, debugs, http2, text_canary, tls};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use telemetry_toolkit::context::{self, Baggage, Environment, InContext, Propagators};
use telemetry_toolkit::redaction::Secret;
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{Builder, OtlpExporter, SinkBuilder, Telemetry, event};

/// Each way in emits a record with the message `planted` and its name.
pub(crate) const PLACES: [&str; 16] = [
    "field",
    "debug_field",
    "span_field",
    "recorded",
    "own_event",
    "argument",
    "log_key",
    "scope",
    "future",
    "baggage",
    "wrapped",
    "error",
    "url",
    "message",
    "panic",
    "added_name",
];

/// Prints a secret.
struct Leaky(&'static str);

impl fmt::Debug for Leaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&canary(self.0))
    }
}

impl fmt::Display for Leaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&canary(self.0))
    }
}

#[derive(Debug)]
struct Failed(Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, key) = (canary("error_url"), text_canary("error"));
        write!(f, "no answer from amqp://ann:{url}@queue/x with key {key}")
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|source| source as _)
    }
}

fn builder(folder: &Path, memory: &MemoryExporter) -> Builder {
    Telemetry::builder()
        .service("canary", "1")
        .resource("vault.secret", canary("resource"))
        .resource("upstream", format!("http://ann:{}@host", canary("resource_url")))
        .resource("note", text_canary("resource"))
        .resource("owner.iban", canary("resource_added"))
        .metric_label("deploy.token", canary("global_label"))
        .redact_values([PATTERN, &canary("literal_pattern")])
        .baggage_fields(["client.secret", "tier"])
        .metric_scope_labels(["scope_secret", "scope_url"])
        .from_env()
        .json_file(folder.join("log.jsonl"))
        .json_filter(&format!("trace,[{{token={}}}]=off", canary("json_filter")))
        .exporter(SinkBuilder::new(memory.clone()).filter("trace".parse().unwrap()))
        .poll_period(Duration::from_millis(20))
        .measure("queue", |measure| {
            let token = canary("poller");
            measure.up_down_counter("queue.length", [("queue.token", token)], 3);
            Ok(())
        })
}

/// Plants everything, and leaves what came out in the folder.
pub(crate) fn run(folder: &Path) {
    // What the default hook prints is not ours; it would be one of the outputs.
    std::panic::set_hook(Box::new(|_| {}));
    let early = telemetry_toolkit::metric::global().counter("early", [("iban", canary("early"))]);
    let _early_scope = context::scope([("customer.iban", canary("early_scope"))]);
    let memory = MemoryExporter::new("memory");
    let builder = builder(folder, &memory);
    #[cfg(unix)]
    let builder = crate::doors::opened(builder, folder);
    let mut shown = format!("{builder:#?}\n");
    let telemetry = builder.init().unwrap();
    early.add(1);
    fields();
    scopes();
    texts();
    metrics();
    http2::talk();
    tls::talk();
    #[cfg(feature = "tower")]
    crate::tower_layers::talk();
    filters(&telemetry);
    opentelemetry();
    let report = telemetry.flush(Duration::from_secs(20)).unwrap();
    let open = tracing::info_span!("open", password = canary("open"), text = text_canary("open"));
    let _open = open.entered();
    let _watch = telemetry_toolkit::watch("outbox", 10, || 3);
    shown.push_str(&debugs::all(&telemetry, &report));
    write(folder, "debug.txt", &shown);
    #[cfg(unix)]
    write(folder, "doors.txt", &crate::doors::all(&telemetry, folder, &memory));
    let report = telemetry.shutdown();
    assert!(report.is_complete(), "{report}");
    write(folder, "report.txt", &format!("{report}\n{report:#?}"));
    write(folder, "memory.txt", &format!("{:#?}", memory.records()));
    write(folder, "snapshots.txt", &format!("{:#?}", memory.snapshots()));
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[tracing::instrument(ret, err)]
fn login(user: &str, password: &str, api_key: Option<Leaky>) -> Result<(), Failed> {
    tracing::info!("planted argument");
    Err(Failed(None))
}

fn fields() {
    let field = canary("field");
    tracing::info!(user.password = field, "planted field");
    let (one, two) = (Leaky("debug"), Leaky("display"));
    tracing::info!(token = ?one, x = 1, cookie = %two, "planted debug_field");
    let span =
        tracing::info_span!("work", secret = ?Leaky("span"), later_token = tracing::field::Empty);
    span.record("later_token", canary("record"));
    span.in_scope(|| tracing::info!("planted span_field"));
    span.record("later_token", tracing::field::debug(Leaky("record_debug")));
    span.in_scope(|| tracing::info!("planted recorded"));
    event!(Info, "login", { n = 1 }, {
        http.request.header.authorization = field,
        set_cookie = ?Leaky("own_debug"),
        passwd = %Leaky("own_display"),
        message = "planted own_event",
    });
    login("ann", &canary("argument"), Some(Leaky("argument_debug"))).unwrap_err();
    let (key, leaky) = (canary("log"), Leaky("log_debug"));
    log::info!(api_key = key, private_key:? = leaky, n = 1; "planted log_key");
    log::logger().flush();
    let (iban, wrapped) = (canary("added"), Secret::new(canary("wrapped")));
    tracing::info!(customer.iban = iban, "planted added_name");
    tracing::info!(%wrapped, other = ?wrapped, "planted wrapped");
    event!(Info, "wrapped", {}, { it = wrapped });
    log::info!(wrapped; "wrapped");
}

fn scopes() {
    let _scope = context::scope([("session_secret", canary("scope")), ("tier", "gold".into())]);
    let _wrapped = context::scope([("key", Secret::new(canary("scope_wrapped")))]);
    tracing::info!("planted scope");
    log::info!("in a scope");
    let future = async { tracing::info!("planted future") };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future.in_scope_values([("password", canary("future"))]));
    let remote = Propagators::default().extract(&Environment::of_process());
    let _remote = remote.enter();
    tracing::info!("in the environment's baggage");
    let mut baggage = Baggage::default();
    assert!(baggage.insert("client.secret", &canary("baggage")));
    let _baggage = context::with_baggage(baggage);
    tracing::info!("planted baggage");
}

fn texts() {
    let error: &dyn std::error::Error = &Failed(Some(Box::new(Failed(None))));
    tracing::error!(error, "planted error");
    let (url, text) = (canary("url"), text_canary("text"));
    tracing::info!(to = format!("postgres://shop:{url}@db/shop"), "planted url");
    tracing::info!(debug = ?Some(&text), display = %text, plain = text, "planted message {text}");
    log::info!(plain = text; "from {text} to http://{url}@host/");
    let _span = tracing::info_span!("text", text).entered();
    tracing::info!("in a span with a text");
    let panicked = std::panic::catch_unwind(|| {
        panic!("planted panic with {} at http://u:{}@h", text_canary("panic"), canary("panic_url"));
    });
    panicked.unwrap_err();
}

/// Filters are told of when they change.
fn filters(telemetry: &Telemetry) {
    let filters = telemetry.filters();
    let text = |place: &str| format!("[{{session_token=\"{}\"}}]=trace", canary(place));
    let temporary = filters.add(&text("temporary"), Duration::from_secs(60)).unwrap();
    filters.set_of("json", &format!("trace,{}", text("own_filter"))).unwrap();
    filters.set(&format!("trace,[{{iban={}}}]=off", canary("set_filter"))).unwrap();
    assert!(filters.set(&format!("trace,[{{iban={}]", canary("wrong_set"))).is_err());
    tracing::info!("told of {filters:?} {temporary:?} {:?}", filters.temporary());
    temporary.cancel().unwrap();
}

#[cfg(feature = "opentelemetry")]
fn opentelemetry() {
    use opentelemetry::KeyValue;
    use opentelemetry::trace::{Span, Status, TraceContextExt, Tracer};
    let tracer = opentelemetry::global::tracer("canary");
    let secret = || KeyValue::new("db.password", canary("otel"));
    let attributes = vec![secret(), KeyValue::new("list", text_canary("otel_list"))];
    let mut span = tracer.span_builder("otel").with_attributes(attributes).start(&tracer);
    span.set_attribute(KeyValue::new("api_key", canary("otel_set")));
    span.add_event("happened", vec![secret(), KeyValue::new("t", text_canary("otel_event"))]);
    tracing::info!(?span, context = ?opentelemetry::Context::current(), "of the API");
    span.set_status(Status::error(format!("at http://u:{}@h", canary("otel_status"))));
    span.end();
    let ours = tracing::info_span!("ours");
    ours.in_scope(|| opentelemetry::Context::current().span().set_attribute(secret()));
}

#[cfg(not(feature = "opentelemetry"))]
fn opentelemetry() {}

fn metrics() {
    let registry = telemetry_toolkit::metric::global();
    registry.counter("own", [("token", canary("label"))]).add(1);
    let url = format!("http://u:{}@host", canary("label_url"));
    registry.gauge("own.gauge", [("url", url)]).set(1.0);
    registry.histogram("own.histogram", [("iban", canary("label_added"))]).record(1.0);
    metrics::counter!("foreign", "api_key" => canary("foreign_label")).increment(1);
    let (token, iban) = (canary("macro"), canary("macro_added"));
    telemetry_toolkit::counter!("macro", "token" => token, "iban" => iban, "n" => 1).add(1);
    telemetry_toolkit::histogram!("macro.literal", "cookie" => "cnry-literal").record(1.0);
    telemetry_toolkit::gauge!("macro.url", "url" => format!("http://u:{iban}@h")).set(1.0);
    let url = format!("http://u:{}@host", canary("scope_label_url"));
    let values = [("scope_secret", canary("scope_label")), ("scope_url", url)];
    let scope = context::scope(values);
    telemetry_toolkit::counter!("macro.scoped", "n" => 1).add(1);
    metrics::counter!("foreign.scoped").increment(1);
    drop(scope);
    registry.counter("conflict", [("password", canary("conflict"))]).add(1);
    registry.gauge("conflict", [("password", canary("conflict"))]).set(1.0);
}

/// An exporter to a collector with secrets in its settings.
pub(crate) fn otlp_exporter() -> telemetry_toolkit::OtlpBuilder {
    let url = format!("http://ann:{}@c:4318/?key={}", canary("user"), canary("query"));
    OtlpExporter::builder()
        .endpoint(url.clone())
        .logs_endpoint(Secret::new(url))
        .header("x-any", canary("header"))
        .header("authorization", Secret::new(canary("secret_header")))
}
