//! What the receiver makes of a request: plain types, without protocol types in them.
//!
//! # Invariants
//!
//! - Every field that this crate sends has a place here.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{self as otlp, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use telemetry_core::context::{SpanId, TraceId};

/// Attributes by key. Of equal keys, which OTLP forbids, the last is kept.
type Attributes = BTreeMap<String, Value>;

/// A value of an attribute or a body.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// None at all.
    Empty,
    /// A text.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// An integer.
    I64(i64),
    /// A float.
    F64(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(BTreeMap<String, Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        matches!(self, Self::Text(text) if text == other)
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, other: &i64) -> bool {
        matches!(self, Self::I64(value) if value == other)
    }
}

/// A log record.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// The attributes of the resource.
    pub resource: Arc<Attributes>,
    /// The name of the scope: the target.
    pub scope: Arc<str>,
    /// When it happened, in nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// When it was observed.
    pub observed_unix_ns: u64,
    /// The severity: 1 to 24.
    pub severity_number: i32,
    /// The severity's name.
    pub severity_text: String,
    /// The message.
    pub body: Value,
    /// The fields.
    pub attributes: Attributes,
    /// How many fields were dropped.
    pub dropped_attributes: u32,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span it happened in.
    pub span_id: Option<SpanId>,
    /// The W3C trace flags.
    pub flags: u32,
}

/// A finished span.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// The attributes of the resource.
    pub resource: Arc<Attributes>,
    /// The name of the scope: the target.
    pub scope: Arc<str>,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The id.
    pub span_id: Option<SpanId>,
    /// The parent's id.
    pub parent_id: Option<SpanId>,
    /// The state of the trace, as the `tracestate` header has it.
    pub trace_state: String,
    /// The name.
    pub name: String,
    /// The kind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// When it ended.
    pub end_unix_ns: u64,
    /// The fields.
    pub attributes: Attributes,
    /// The status: 0 unset, 1 ok, 2 error.
    pub status_code: i32,
    /// Why it failed.
    pub status_message: String,
    /// The spans it follows from.
    pub links: Vec<(Option<TraceId>, Option<SpanId>)>,
    /// Trace flags; bit 8 says that bit 9 is known, bit 9 that the parent is remote.
    pub flags: u32,
}

/// A metric with its points.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The attributes of the resource.
    pub resource: Arc<Attributes>,
    /// The name of the scope.
    pub scope: Arc<str>,
    /// The name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// The UCUM unit.
    pub unit: String,
    /// The kind.
    pub kind: MetricKind,
    /// The points.
    pub points: Vec<Point>,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A sum that never falls.
    Counter,
    /// A sum that may fall.
    UpDownCounter,
    /// A last value.
    Gauge,
    /// A distribution in explicit buckets.
    Histogram,
    /// A distribution in base-2 exponential buckets.
    ExponentialHistogram,
    /// One that this receiver does not read; it has no points.
    Other,
}

/// One point of a metric.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The attributes of the series.
    pub attributes: Attributes,
    /// Since when it adds up; 0 for a gauge.
    pub start_unix_ns: u64,
    /// When it was read.
    pub unix_ns: u64,
    /// The value.
    pub value: Number,
}

/// The value of a point.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// An integer.
    I64(i64),
    /// A float.
    F64(f64),
    /// A distribution in explicit buckets.
    Histogram(HistogramPoint),
    /// A distribution in base-2 exponential buckets.
    ExponentialHistogram(ExponentialPoint),
}

/// A distribution.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistogramPoint {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// The upper bounds of all buckets but the last.
    pub bounds: Vec<f64>,
    /// How many values fell in each bucket.
    pub buckets: Vec<u64>,
}

/// A distribution in base-2 exponential buckets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExponentialPoint {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// Bucket `i` ends at `2^((i + 1) / 2^scale)`.
    pub scale: i32,
    /// How many values were zero.
    pub zero_count: u64,
    /// The index of the first bucket of values above zero, and how many fell in each from it on.
    pub positive: (i32, Vec<u64>),
    /// The same of values below zero.
    pub negative: (i32, Vec<u64>),
}

fn value(any: Option<AnyValue>) -> Value {
    use any_value::Value as Any;
    match any.and_then(|any| any.value) {
        None => Value::Empty,
        Some(Any::StringValue(text)) => Value::Text(text),
        Some(Any::BoolValue(value)) => Value::Bool(value),
        Some(Any::IntValue(value)) => Value::I64(value),
        Some(Any::DoubleValue(value)) => Value::F64(value),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(Any::ArrayValue(list)) => {
            Value::List(list.values.into_iter().map(|any| value(Some(any))).collect())
        }
        Some(Any::KvlistValue(map)) => Value::Map(attributes(map.values)),
        // An index into a dictionary that only profiles have.
        Some(_) => Value::Empty,
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

fn resource(resource: Option<Resource>) -> Arc<Attributes> {
    Arc::new(attributes(resource.unwrap_or_default().attributes))
}

fn scope(scope: Option<InstrumentationScope>) -> Arc<str> {
    scope.unwrap_or_default().name.into()
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    TraceId::new(u128::from_be_bytes(bytes.try_into().ok()?))
}

fn span_id(bytes: &[u8]) -> Option<SpanId> {
    SpanId::new(u64::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn logs(request: ExportLogsServiceRequest) -> Vec<Log> {
    let mut logs = Vec::new();
    for group in request.resource_logs {
        let resource = resource(group.resource);
        for group in group.scope_logs {
            let scope = scope(group.scope);
            logs.extend(group.log_records.into_iter().map(|record| log(&resource, &scope, record)));
        }
    }
    logs
}

fn log(resource: &Arc<Attributes>, scope: &Arc<str>, record: LogRecord) -> Log {
    Log {
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        unix_ns: record.time_unix_nano,
        observed_unix_ns: record.observed_time_unix_nano,
        severity_number: record.severity_number,
        severity_text: record.severity_text,
        body: value(record.body),
        attributes: attributes(record.attributes),
        dropped_attributes: record.dropped_attributes_count,
        trace_id: trace_id(&record.trace_id),
        span_id: span_id(&record.span_id),
        flags: record.flags,
    }
}

pub(super) fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = resource(group.resource);
        for group in group.scope_spans {
            let scope = scope(group.scope);
            spans.extend(group.spans.into_iter().map(|one| span(&resource, &scope, one)));
        }
    }
    spans
}

fn span(resource: &Arc<Attributes>, scope: &Arc<str>, span: trace::Span) -> Span {
    let status = span.status.unwrap_or_default();
    let link = |link: &trace::span::Link| (trace_id(&link.trace_id), span_id(&link.span_id));
    Span {
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        trace_id: trace_id(&span.trace_id),
        span_id: span_id(&span.span_id),
        parent_id: span_id(&span.parent_span_id),
        trace_state: span.trace_state,
        name: span.name,
        kind: span.kind,
        start_unix_ns: span.start_time_unix_nano,
        end_unix_ns: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        status_code: status.code,
        status_message: status.message,
        links: span.links.iter().map(link).collect(),
        flags: span.flags,
    }
}

pub(super) fn metrics(request: ExportMetricsServiceRequest) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for group in request.resource_metrics {
        let resource = resource(group.resource);
        for group in group.scope_metrics {
            let scope = scope(group.scope);
            metrics.extend(group.metrics.into_iter().map(|one| metric(&resource, &scope, one)));
        }
    }
    metrics
}

fn metric(resource: &Arc<Attributes>, scope: &Arc<str>, metric: otlp::Metric) -> Metric {
    let (kind, points) = match metric.data {
        Some(metric::Data::Gauge(gauge)) => (MetricKind::Gauge, numbers(gauge.data_points)),
        Some(metric::Data::Sum(sum)) => {
            let kind =
                if sum.is_monotonic { MetricKind::Counter } else { MetricKind::UpDownCounter };
            (kind, numbers(sum.data_points))
        }
        Some(metric::Data::Histogram(histogram)) => {
            (MetricKind::Histogram, histogram.data_points.into_iter().map(distribution).collect())
        }
        Some(metric::Data::ExponentialHistogram(histogram)) => {
            let points = histogram.data_points.into_iter().map(exponential).collect();
            (MetricKind::ExponentialHistogram, points)
        }
        _ => (MetricKind::Other, Vec::new()),
    };
    Metric {
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        name: metric.name,
        description: metric.description,
        unit: metric.unit,
        kind,
        points,
    }
}

fn numbers(points: Vec<otlp::NumberDataPoint>) -> Vec<Point> {
    let number = |point: otlp::NumberDataPoint| Point {
        attributes: attributes(point.attributes),
        start_unix_ns: point.start_time_unix_nano,
        unix_ns: point.time_unix_nano,
        value: match point.value {
            Some(number_data_point::Value::AsInt(value)) => Number::I64(value),
            Some(number_data_point::Value::AsDouble(value)) => Number::F64(value),
            None => Number::F64(f64::NAN),
        },
    };
    points.into_iter().map(number).collect()
}

fn distribution(point: otlp::HistogramDataPoint) -> Point {
    Point {
        attributes: attributes(point.attributes),
        start_unix_ns: point.start_time_unix_nano,
        unix_ns: point.time_unix_nano,
        value: Number::Histogram(HistogramPoint {
            count: point.count,
            sum: point.sum,
            min: point.min,
            max: point.max,
            bounds: point.explicit_bounds,
            buckets: point.bucket_counts,
        }),
    }
}

fn exponential(point: otlp::ExponentialHistogramDataPoint) -> Point {
    let range = |range: Option<otlp::exponential_histogram_data_point::Buckets>| {
        let range = range.unwrap_or_default();
        (range.offset, range.bucket_counts)
    };
    Point {
        attributes: attributes(point.attributes),
        start_unix_ns: point.start_time_unix_nano,
        unix_ns: point.time_unix_nano,
        value: Number::ExponentialHistogram(ExponentialPoint {
            count: point.count,
            sum: point.sum,
            min: point.min,
            max: point.max,
            scale: point.scale,
            zero_count: point.zero_count,
            positive: range(point.positive),
            negative: range(point.negative),
        }),
    }
}
