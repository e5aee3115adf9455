//! What is a secret by its name reaches no buffer; what patterns match reaches no exporter.

use crate::face;
use crate::support::*;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use telemetry_core::context;
use telemetry_core::event;
use telemetry_core::filter::Filter;
use telemetry_core::metric::Value;
use telemetry_core::pipeline::{ScopedPipeline, SinkBuilder};
use telemetry_core::redaction::{Redaction, Secret};
use telemetry_core::testing::{CapturedRecord, MemoryExporter, OwnedValue};

fn text(text: &str) -> OwnedValue {
    OwnedValue::Text(text.to_owned())
}

fn hidden() -> OwnedValue {
    text("[redacted]")
}

/// Counts who looks at it.
struct Watched<'a>(&'a AtomicUsize);

impl fmt::Debug for Watched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fetch_add(1, Ordering::SeqCst);
        f.write_str("canary")
    }
}

fn with_filter(memory: &MemoryExporter, filter: &str) -> ScopedPipeline {
    let sink = SinkBuilder::new(memory.clone()).filter(Filter::parse(filter).unwrap());
    face::builder().sink(sink).scoped().unwrap()
}

fn assert_clean(records: &[CapturedRecord]) {
    let shown = format!("{records:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("[redacted]"), "{shown}");
}

/// Emits every kind of record with a secret in it.
fn emit_secrets(looks: &AtomicUsize) {
    let span = tracing::info_span!("login", user = "ann", password = ?Watched(looks), id_token = 7);
    span.record("password", "canary");
    let _entered = span.enter();
    tracing::info!(authorization = ?Watched(looks), n = 1, "hello");
    tracing::info!(n = 2, db.password = "canary", "world");
    event!(Info, "login", { n = 3 }, { cookie = ?Watched(looks), ok = true });
}

#[test]
fn denied_fields_are_redacted_and_not_looked_at() {
    // The filters decide statically, by spans and by fields: the three ways of a record.
    for filter in ["info", "info,[login]=debug,[other]=off", "info,[{ok=true}]=debug,[{n=9}]=off"] {
        let memory = MemoryExporter::new("memory");
        let pipeline = with_filter(&memory, filter);
        let looks = AtomicUsize::new(0);
        pipeline.run(|| emit_secrets(&looks));
        shut_down(pipeline);
        assert_eq!(looks.load(Ordering::SeqCst), 0, "{filter}");
        let events = memory.events();
        assert_eq!(events.len(), 3, "{filter}");
        assert_eq!(events[0].field("authorization"), Some(&hidden()));
        assert_eq!(events[0].field("n"), Some(&OwnedValue::I64(1)));
        assert_eq!(events[0].message(), Some("hello"));
        assert_eq!(events[1].field("db.password"), Some(&hidden()));
        assert_eq!(events[2].field("cookie"), Some(&hidden()));
        assert_eq!(events[2].field("ok"), Some(&OwnedValue::Bool(true)));
        let span = &memory.spans()[0];
        assert_eq!(span.field("user"), Some(&text("ann")));
        assert_eq!(span.field("password"), Some(&hidden()));
        assert_eq!(span.field("id_token"), Some(&hidden()));
        assert_clean(&memory.records());
    }
}

#[test]
fn scopes_redact_by_key_and_leave_the_other_fields_alone() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        let values = [("session_secret", Value::from("canary")), ("tenant", "acme".into())];
        let _scope = context::scope(values);
        assert!(!format!("{:?}", context::values()).contains("canary"));
        let _wrapped = context::scope([("user", Secret::new("canary"))]);
        emit_secrets(&AtomicUsize::new(0));
    });
    shut_down(pipeline);
    for event in memory.events() {
        assert_eq!(event.field("session_secret"), Some(&hidden()));
        assert_eq!(event.field("tenant"), Some(&text("acme")));
        assert_eq!(event.field("user"), Some(&hidden()));
    }
    assert_clean(&memory.records());
}

#[test]
fn conditions_do_not_see_what_is_redacted() {
    let looks = AtomicUsize::new(0);
    let memory = MemoryExporter::new("memory");
    let filter = "off,[{authorization=canary}],[{cookie!=x}],[login{password~\".*\"}],[{kind=ok}]";
    let pipeline = with_filter(&memory, filter);
    pipeline.run(|| {
        emit_secrets(&looks);
        tracing::info!(kind = "ok", token = ?Watched(&looks), "by another field");
        event!(Info, "probe", {}, { kind = "ok", token = ?Watched(&looks) });
    });
    shut_down(pipeline);
    assert_eq!(looks.load(Ordering::SeqCst), 0);
    let tokens: Vec<_> =
        memory.records().iter().map(|record| record.field("token").cloned()).collect();
    assert_eq!(tokens, [Some(hidden()), Some(hidden())]);
}

#[test]
fn presence_of_a_redacted_field_is_a_condition() {
    let memory = MemoryExporter::new("memory");
    let pipeline = with_filter(&memory, "off,[{token}]=info");
    pipeline.run(|| {
        tracing::info!(token = "canary", "has one");
        tracing::info!(other = "x", "has none");
    });
    shut_down(pipeline);
    assert_eq!(memory.events().len(), 1);
    assert_clean(&memory.records());
}

/// Logs a secret while it is formatted.
struct Chatty;

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!(token = "canary", plain = 1, "nested");
        f.write_str("chatty")
    }
}

#[test]
fn nested_records_are_redacted_by_their_own_names() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(token = "canary", value = ?Chatty, "outer");
        event!(Info, "own", {}, { token = "canary", value = ?Chatty, last = 1 });
        event!(Info, "plain", {}, { value = ?Chatty, last = 1 });
    });
    shut_down(pipeline);
    let events = memory.events();
    assert_eq!(events.len(), 6);
    for event in &events {
        let is_plain = event.name == "plain";
        assert_eq!(event.field("token"), (!is_plain).then_some(&hidden()), "{event:?}");
        assert_eq!(
            event.field("plain"),
            (event.message() == Some("nested")).then_some(&OwnedValue::I64(1))
        );
    }
    assert_clean(&memory.records());
}

#[derive(Debug)]
struct Wrong(Option<Box<Wrong>>);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer from amqp://ann:canary@queue with key sk-canary")
    }
}

impl std::error::Error for Wrong {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|source| source as _)
    }
}

#[test]
fn patterns_reach_every_text_and_are_counted() {
    let memory = MemoryExporter::new("memory");
    let redaction = Redaction::default().value(r"\bsk-\w+").unwrap();
    let pipeline = builder(memory.clone()).redaction(redaction).scoped().unwrap();
    pipeline.run(|| {
        let span = tracing::info_span!("call", key = "sk-canary", later = tracing::field::Empty);
        span.record("later", tracing::field::display("a sk-canary, a sk-canary"));
        let _entered = span.enter();
        let _scope = context::scope([("scoped", "sk-canary")]);
        let error: &dyn std::error::Error = &Wrong(Some(Box::new(Wrong(None))));
        tracing::info!(error, debug = ?Some("sk-canary"), n = 1, "message with sk-canary");
        event!(Info, "own", { n = 2 }, { url = "http://ann:canary@host/sk-canary" });
    });
    let report = shut_down(pipeline);
    assert_clean(&memory.records());
    let events = memory.events();
    assert_eq!(events[0].message(), Some("message with [redacted]"));
    assert_eq!(events[0].field("debug"), Some(&text("Some(\"[redacted]\")")));
    assert_eq!(events[0].field("n"), Some(&OwnedValue::I64(1)));
    let one = "no answer from amqp://[redacted]@queue with key [redacted]".to_owned();
    assert_eq!(events[0].field("error"), Some(&OwnedValue::Error(vec![one.clone(), one])));
    assert_eq!(events[1].field("url"), Some(&text("http://[redacted]@host/[redacted]")));
    let span = &memory.spans()[0];
    assert_eq!(span.field("later"), Some(&text("a [redacted], a [redacted]")));
    // One in the span's field, two recorded, one in each scope, four in the error, message, debug;
    // two in the URL.
    assert_eq!(report.redacted, 1 + 2 + 2 + 4 + 2 + 2, "{report:?}");
}

#[test]
fn without_patterns_only_user_information_is_replaced() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| tracing::info!("at postgres://ann:canary@db/shop with sk-key"));
    let report = shut_down(pipeline);
    let expected = "at postgres://[redacted]@db/shop with sk-key";
    assert_eq!(memory.events()[0].message(), Some(expected));
    assert_eq!(report.redacted, 1);
}

#[test]
fn debug_and_errors_of_a_filter_show_no_secret() {
    let filter = Filter::parse("info,[login{password=\"canary\",user=ann}]=debug").unwrap();
    let shown = format!("{filter} {filter:?}");
    assert!(!shown.contains("canary") && shown.contains("ann"), "{shown}");
    let never: Vec<_> = filter.never().into_iter().map(|(_, why)| why).collect();
    assert_eq!(never, ["the value of `password` is redacted, and not compared"]);
    for wrong in [
        "[{password=\"canary\"",
        "[{token<canary}]",
        "[{password=canary",
        "[{api_key~\"canary(\"}]",
    ] {
        let error = Filter::parse(wrong).unwrap_err();
        let as_setting = wrong.parse::<Filter>().unwrap_err();
        let shown = format!("{error} {error:?} {} {as_setting}", error.render());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
