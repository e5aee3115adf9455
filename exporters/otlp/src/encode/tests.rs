//! The encoder against a model: the same records as prost's structures, written by prost.
//!
//! Equal bytes say at once that every value is right, that no field is unknown, and that lengths
//! are minimal.

mod metrics;

use crate::config::Lane;
use crate::encode::envelope;
use crate::gather::Gather;
use crate::tally::Tally;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use std::fmt;
use telemetry_core::batch::Batch;
use telemetry_core::context::TraceState;
use telemetry_core::export::Ack;
use telemetry_core::record::{Encode, Kind, Writer};
use telemetry_core::resource::Resource;
use telemetry_core::testing::{BatchFixture, ErrorFixture};
use telemetry_core::{Level, clock};

#[derive(Debug, Clone)]
enum Value {
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Bool(bool),
    Str(String),
    Bytes(Vec<u8>),
    Error(Vec<String>),
}

impl Encode for Value {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        match self {
            Self::I64(value) => writer.i64(key, *value),
            Self::U64(value) => writer.u64(key, *value),
            Self::I128(value) => writer.i128(key, *value),
            Self::U128(value) => writer.u128(key, *value),
            Self::F64(value) => writer.f64(key, *value),
            Self::Bool(value) => writer.bool(key, *value),
            Self::Str(text) => writer.str(key, text),
            Self::Bytes(bytes) => writer.bytes(key, bytes),
            Self::Error(texts) => writer.error(key, &ErrorFixture::of(texts).unwrap()),
        }
    }
}

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: impl Into<String>) -> AnyValue {
    any(any_value::Value::StringValue(text.into()))
}

impl Value {
    fn any(&self) -> AnyValue {
        use any_value::Value as Any;
        match self {
            Self::I64(value) => any(Any::IntValue(*value)),
            Self::U64(value) if *value > i64::MAX as u64 => text(value.to_string()),
            Self::U64(value) => any(Any::IntValue(*value as i64)),
            Self::I128(value) => text(value.to_string()),
            Self::U128(value) => text(value.to_string()),
            Self::F64(value) => any(Any::DoubleValue(*value)),
            Self::Bool(value) => any(Any::BoolValue(*value)),
            Self::Str(value) => text(value),
            Self::Bytes(bytes) => any(Any::BytesValue(bytes.clone())),
            Self::Error(texts) => text(&texts[0]),
        }
    }

    fn sources(&self) -> Option<AnyValue> {
        let Self::Error(texts) = self else { return None };
        let values: Vec<AnyValue> = texts[1..].iter().map(text).collect();
        (!values.is_empty()).then(|| any(any_value::Value::ArrayValue(ArrayValue { values })))
    }
}

fn key_value(key: impl Into<String>, value: AnyValue) -> KeyValue {
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}

type Fields = Vec<(String, Value)>;

/// The model of the attributes: unique keys, the last value at the first's place.
fn unique(fields: &Fields) -> (Fields, u32) {
    let mut unique: Fields = Vec::new();
    let mut dropped = 0;
    for (key, value) in fields {
        if let Some(known) = unique.iter_mut().find(|(other, _)| other == key) {
            known.1 = value.clone();
        } else if key.is_empty() || unique.len() == 128 {
            dropped += 1;
        } else {
            unique.push((key.clone(), value.clone()));
        }
    }
    (unique, dropped)
}

fn with_code(fields: &Fields, file: &str, line: u64) -> Fields {
    let mut fields = fields.clone();
    let code =
        [("code.file.path", Value::Str(file.to_owned())), ("code.line.number", Value::U64(line))];
    for (key, value) in code {
        if !fields.iter().any(|(other, _)| other == key) {
            fields.push((key.to_owned(), value));
        }
    }
    fields
}

fn chains(fields: &Fields) -> Vec<KeyValue> {
    let chain = |(key, value): &(String, Value)| {
        let name = format!("{key}.chain");
        let is_taken = fields.iter().any(|(other, _)| *other == name);
        value.sources().filter(|_| !is_taken).map(|sources| key_value(name, sources))
    };
    fields.iter().filter_map(chain).collect()
}

fn pairs(fields: &Fields) -> Vec<KeyValue> {
    fields.iter().map(|(key, value)| key_value(key.clone(), value.any())).collect()
}

#[derive(Debug, Clone)]
struct Event {
    target: String,
    level: Level,
    fields: Fields,
    span: Option<usize>,
    unix_ns: u64,
    is_bridged: bool,
}

#[derive(Debug, Clone)]
struct Span {
    name: String,
    trace_state: String,
    level: Level,
    fields: Fields,
    parent: Option<usize>,
    start_unix_ns: u64,
    end_unix_ns: u64,
}

fn write(fields: &Fields) -> impl FnOnce(&mut Writer<'_>) {
    move |writer| {
        for (n, (_, value)) in fields.iter().enumerate() {
            value.encode(n as u16, writer);
        }
    }
}

fn names(fields: &Fields) -> Vec<&str> {
    fields.iter().map(|(key, _)| key.as_str()).collect()
}

fn batch(spans: &[Span], events: &[Event]) -> Batch {
    let mut fixture = BatchFixture::new();
    let mut handles = Vec::new();
    for span in spans {
        let parent = span.parent.map(|parent| handles[parent]);
        fixture.trace_state(TraceState::parse([&*span.trace_state]).unwrap());
        handles.push(fixture.span(
            &span.name,
            span.level,
            &names(&span.fields),
            parent,
            span.start_unix_ns,
            write(&span.fields),
        ));
    }
    for event in events {
        if event.is_bridged {
            let key_values: Vec<(&str, &dyn Encode)> =
                event.fields.iter().map(|(key, value)| (key.as_str(), value as _)).collect();
            fixture.log_event(&event.target, event.level, "bridged", &key_values, event.unix_ns);
        } else {
            let span = event.span.map(|span| handles[span]);
            let names = names(&event.fields);
            let write = write(&event.fields);
            fixture.event(&event.target, event.level, &names, span, event.unix_ns, write);
        }
    }
    for (span, handle) in spans.iter().zip(&handles) {
        fixture.close(*handle, span.end_unix_ns);
    }
    fixture.finish()
}

/// What is sent of the batch: the request of the logs, and of the spans.
fn encoded(batch: &Batch, resource: &Resource) -> [Vec<u8>; 2] {
    let (tally, _open) = Tally::begin(Ack::for_tests(batch.units(), |_| {}));
    let mut gathers = [Gather::new(Lane::Logs), Gather::new(Lane::Spans)];
    for record in batch.records() {
        let lane = usize::from(record.kind() == Kind::SpanClose);
        assert!(gathers[lane].add(&record, &tally, clock::now()));
    }
    let resource = envelope::resource(resource);
    gathers.map(|mut gather| gather.cut(&resource).map_or_else(Vec::new, |(body, _)| body.to_vec()))
}

fn resource() -> Resource {
    Resource::default().with("service.name", "encode").with("empty", "")
}

fn otlp_resource() -> Option<OtlpResource> {
    let attributes =
        resource().attributes().map(|(key, value)| key_value(key, text(value))).collect();
    Some(OtlpResource { attributes, ..OtlpResource::default() })
}

fn scope(name: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() })
}

fn trace_of(spans: &[Span], mut span: usize) -> Vec<u8> {
    while let Some(parent) = spans[span].parent {
        span = parent;
    }
    (span as u128 + 1).to_be_bytes().to_vec()
}

fn span_bytes(span: usize) -> Vec<u8> {
    (span as u64 + 1).to_be_bytes().to_vec()
}

fn expected_log(spans: &[Span], event: &Event) -> logs::LogRecord {
    let is_message = |field: &&(String, Value)| field.0 == "message";
    let mut message = event.fields.iter().rfind(is_message).map(|(_, value)| value.clone());
    if event.is_bridged && message.is_none() {
        message = Some(Value::Str("bridged".to_owned()));
    }
    let rest = event.fields.iter().filter(|field| !is_message(field)).cloned().collect();
    let (fields, mut dropped) = unique(&rest);
    let (file, line) = if event.is_bridged { ("src/log.rs", 3) } else { ("src/fixture.rs", 7) };
    let fields = if fields.len() > 126 {
        dropped += 2;
        fields
    } else {
        with_code(&fields, file, line)
    };
    let mut attributes = Vec::new();
    if let Some(sources) = message.as_ref().and_then(Value::sources)
        && !fields.iter().any(|(key, _)| key == "message.chain")
    {
        attributes.push(key_value("message.chain", sources));
    }
    attributes.extend(pairs(&fields));
    attributes.extend(chains(&fields));
    let span = event.span.filter(|_| !event.is_bridged);
    logs::LogRecord {
        time_unix_nano: event.unix_ns,
        observed_time_unix_nano: event.unix_ns,
        severity_number: event.level as i32 * 4 - 3,
        severity_text: event.level.to_string(),
        body: message.map(|message| message.any()),
        attributes,
        dropped_attributes_count: dropped,
        flags: u32::from(span.is_some()),
        trace_id: span.map_or_else(Vec::new, |span| trace_of(spans, span)),
        span_id: span.map_or_else(Vec::new, span_bytes),
        event_name: String::new(),
    }
}

fn expected_logs(spans: &[Span], events: &[Event]) -> ExportLogsServiceRequest {
    let mut scope_logs: Vec<logs::ScopeLogs> = Vec::new();
    for event in events {
        let record = expected_log(spans, event);
        let known = scope_logs
            .iter_mut()
            .find(|group| group.scope.as_ref().is_some_and(|scope| scope.name == event.target));
        match known {
            Some(group) => group.log_records.push(record),
            None => scope_logs.push(logs::ScopeLogs {
                scope: scope(&event.target),
                log_records: vec![record],
                ..logs::ScopeLogs::default()
            }),
        }
    }
    if scope_logs.is_empty() {
        return ExportLogsServiceRequest::default();
    }
    let group = logs::ResourceLogs {
        resource: otlp_resource(),
        scope_logs,
        ..logs::ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

fn expected_span(spans: &[Span], n: usize) -> trace::Span {
    let span = &spans[n];
    let (fields, dropped) = unique(&span.fields);
    let plain = |wanted: &str| {
        fields.iter().find(|(key, _)| key == wanted).and_then(|(_, value)| match value {
            Value::Str(text) => Some(text.clone()),
            Value::Error(texts) => Some(texts[0].clone()),
            _ => None,
        })
    };
    let name = plain("otel.name").filter(|name| !name.is_empty());
    let kind = plain("otel.kind").and_then(|kind| {
        let kinds = ["internal", "server", "client", "producer", "consumer"];
        kinds.iter().position(|known| kind.eq_ignore_ascii_case(known))
    });
    let message = plain("otel.status_message");
    let has_code = fields.iter().any(|(key, _)| key == "otel.status_code");
    let code = match plain("otel.status_code").map(|code| code.to_lowercase()).as_deref() {
        Some("ok") => Some(1),
        Some("error") => Some(2),
        _ if !has_code && message.is_some() => Some(2),
        _ => None,
    };
    let fields = with_code(&fields, "src/fixture.rs", 7);
    let kept: Fields = fields
        .iter()
        .filter(|(key, _)| match key.as_str() {
            "otel.name" => name.is_none(),
            "otel.kind" => kind.is_none(),
            "otel.status_code" => code.is_none(),
            "otel.status_message" => code != Some(2) || message.is_none(),
            _ => true,
        })
        .cloned()
        .collect();
    let mut attributes = pairs(&kept);
    attributes.extend(chains(&fields));
    trace::Span {
        trace_id: trace_of(spans, n),
        span_id: span_bytes(n),
        parent_span_id: span.parent.map_or_else(Vec::new, span_bytes),
        trace_state: span.trace_state.clone(),
        flags: 0x101,
        name: name.unwrap_or_else(|| {
            if span.name.is_empty() { "unnamed".to_owned() } else { span.name.clone() }
        }),
        kind: kind.map_or(1, |kind| kind as i32 + 1),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns.max(span.start_unix_ns),
        attributes,
        dropped_attributes_count: dropped,
        status: code.map(|code| trace::Status {
            code,
            message: if code == 2 { message.unwrap_or_default() } else { String::new() },
        }),
        ..trace::Span::default()
    }
}

fn expected_spans(spans: &[Span]) -> ExportTraceServiceRequest {
    if spans.is_empty() {
        return ExportTraceServiceRequest::default();
    }
    let group = trace::ScopeSpans {
        scope: scope("fixture"),
        spans: (0..spans.len()).map(|n| expected_span(spans, n)).collect(),
        ..trace::ScopeSpans::default()
    };
    let group = trace::ResourceSpans {
        resource: otlp_resource(),
        scope_spans: vec![group],
        ..trace::ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

#[track_caller]
fn assert_same<M: Message + Default + fmt::Debug>(bytes: &[u8], expected: &M) {
    let decoded = M::decode(bytes).expect("what is sent can be decoded");
    if bytes != expected.encode_to_vec() {
        assert_eq!(format!("{decoded:#?}"), format!("{expected:#?}"));
        panic!("the same message in other bytes");
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any_i64().prop_map(Value::I64),
        proptest::num::u64::ANY.prop_map(Value::U64),
        (0..300_u64).prop_map(Value::U64),
        proptest::num::i128::ANY.prop_map(Value::I128),
        proptest::num::u128::ANY.prop_map(Value::U128),
        proptest::num::f64::ANY.prop_map(Value::F64),
        proptest::bool::ANY.prop_map(Value::Bool),
        ".{0,12}".prop_map(Value::Str),
        "[a-z]{120,140}".prop_map(Value::Str),
        "(server|Client|ok|ERROR|)".prop_map(Value::Str),
        vec(0..=255_u8, 0..200).prop_map(Value::Bytes),
        vec(".{0,8}", 1..4).prop_map(Value::Error),
    ]
}

fn any_i64() -> impl Strategy<Value = i64> {
    prop_oneof![proptest::num::i64::ANY, -200..200_i64]
}

fn fields() -> impl Strategy<Value = Fields> {
    let key = "(message|message\\.chain|a|b|a\\.chain|code\\.file\\.path|otel\\.name|otel\\.kind|\
               otel\\.status_code|otel\\.status_message|[a-z.]{0,9}|[a-z]{130})";
    let is_kept = |key: &String| !telemetry_core::redaction::is_secret(key);
    vec((key.prop_filter("its value is redacted", is_kept), value()), 0..8)
}

fn level() -> impl Strategy<Value = Level> {
    proptest::sample::select(Level::ALL.to_vec())
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let times = (0..1_u64 << 50, 0..1_u64 << 50);
    let state = "|a=[a-z]{1,200}";
    let span = ("[a-z]{0,9}", state, level(), fields(), proptest::option::of(0..8_usize), times);
    vec(span, 0..6).prop_map(|spans| {
        let mut made: Vec<Span> = Vec::new();
        for (name, trace_state, level, fields, parent, times) in spans {
            let (start_unix_ns, end_unix_ns) = times;
            let parent = parent.filter(|parent| *parent < made.len());
            made.push(Span {
                name,
                trace_state,
                level,
                fields,
                parent,
                start_unix_ns,
                end_unix_ns,
            });
        }
        made
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        "(app|app::db|hyper|)",
        level(),
        fields(),
        proptest::option::of(0..8_usize),
        0..1_u64 << 52,
        proptest::bool::ANY,
    );
    let event = event.prop_map(|(target, level, fields, span, unix_ns, is_bridged)| Event {
        target,
        level,
        fields,
        span,
        unix_ns,
        is_bridged,
    });
    vec(event, 0..12)
}

proptest! {
    #[test]
    fn batch_is_the_message_that_prost_would_write(spans in spans(), events in events()) {
        let mut events = events;
        for event in &mut events {
            event.span = event.span.filter(|span| *span < spans.len());
        }
        let [logs, traces] = encoded(&batch(&spans, &events), &resource());
        assert_same(&logs, &expected_logs(&spans, &events));
        assert_same(&traces, &expected_spans(&spans));
    }
}

fn many(count: usize) -> Event {
    Event {
        target: "app".to_owned(),
        level: Level::Info,
        fields: (0..count).map(|n| (format!("key{n}"), Value::U64(n as u64))).collect(),
        span: None,
        unix_ns: 9,
        is_bridged: true,
    }
}

#[test]
fn attributes_beyond_128_are_counted_as_dropped() {
    for count in [11, 12, 13, 126, 127, 128, 129, 400] {
        let mut event = many(count);
        if count == 127 {
            continue; // one of the two attributes of the code fits: not what the model knows
        }
        event.fields.push(("key3".to_owned(), Value::Bool(true)));
        let [logs, _] = encoded(&batch(&[], std::slice::from_ref(&event)), &resource());
        assert_same(&logs, &expected_logs(&[], &[event]));
    }
}

#[test]
fn record_of_any_size_has_a_minimal_length() {
    for length in [0, 20, 60, 16_000, 16_300, 16_384] {
        let mut event = many(0);
        event.fields.push(("text".to_owned(), Value::Str("x".repeat(length))));
        event.fields.push(("more".to_owned(), Value::Str("y".repeat(length))));
        let [logs, _] = encoded(&batch(&[], std::slice::from_ref(&event)), &resource());
        assert_same(&logs, &expected_logs(&[], &[event]));
    }
}

#[test]
fn gather_is_full_when_there_are_too_many_scopes() {
    let events: Vec<Event> =
        (0..1024).map(|n| Event { target: format!("target {n}"), ..many(1) }).collect();
    let batch = batch(&[], &events);
    let (tally, _open) = Tally::begin(Ack::for_tests(batch.units(), |_| {}));
    let mut gather = Gather::new(Lane::Logs);
    for record in batch.records() {
        assert!(!gather.is_full(usize::MAX));
        gather.add(&record, &tally, clock::now());
    }
    assert!(gather.is_full(usize::MAX));
    let (body, parts) = gather.cut(&[]).unwrap();
    assert_eq!(parts.count(), 1024);
    let request = ExportLogsServiceRequest::decode(&*body).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs.len(), 1024);
    assert!(!gather.is_full(usize::MAX) && gather.cut(&[]).is_none());
}
