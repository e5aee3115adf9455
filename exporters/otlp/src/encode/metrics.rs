//! A snapshot of the metrics as OTLP `Metric`s.
//!
//! # Invariants
//!
//! - Sums and histograms are cumulative and carry their series' start time; gauges have none.
//! - A metric whose points do not fit one request goes on in the next, under the same name.
//! - A point is never split, and no metric is sent without a point.
//!
//! Source: opentelemetry/proto/metrics/v1/metrics.proto.

use super::attributes::{Any, key_any};
use super::envelope::Envelope;
use super::wire::{self, bytes_key, fixed64_key, varint_key};
use bytes::Bytes;
use telemetry_core::metric::{
    Data, ExponentialBuckets, ExponentialRange, HistogramValue, Labels, Metric, Number, Point,
    Snapshot, Value,
};

const SCOPE: &str = "telemetry-toolkit";
const POINT: u8 = bytes_key(1);
const TEMPORALITY_CUMULATIVE: [u8; 2] = [varint_key(2), 2];
const IS_MONOTONIC: [u8; 2] = [varint_key(3), 1];

/// Gives `send` requests of about `bytes_max` bytes at most, with the number of their points.
pub(crate) fn snapshot(
    snapshot: &Snapshot,
    resource: &[u8],
    bytes_max: usize,
    send: &mut dyn FnMut(Bytes, u64),
) {
    let mut requests = Requests {
        envelope: Envelope::default(),
        points: Vec::new(),
        pending: 0,
        count: 0,
        unix_ns: snapshot.unix_ns,
        bytes_max,
        resource,
        send,
    };
    for metric in &snapshot.metrics {
        requests.metric(metric);
    }
    requests.finish();
}

struct Requests<'a> {
    envelope: Envelope,
    /// Points of the current metric, encoded.
    points: Vec<u8>,
    /// How many points are in `points`.
    pending: u64,
    /// How many points are in `envelope`.
    count: u64,
    unix_ns: u64,
    bytes_max: usize,
    resource: &'a [u8],
    send: &'a mut dyn FnMut(Bytes, u64),
}

impl Requests<'_> {
    fn metric(&mut self, metric: &Metric) {
        let unix_ns = self.unix_ns;
        let (kind, tail): (u8, &[&[u8]]) = match &metric.data {
            Data::Gauge { points } => {
                for point in points {
                    self.point(metric, 5, &[], |out| number(out, point, unix_ns, Start::None));
                }
                (5, &[])
            }
            Data::Counter { points } => {
                let tail: &[&[u8]] = &[&TEMPORALITY_CUMULATIVE, &IS_MONOTONIC];
                for point in points {
                    self.point(metric, 7, tail, |out| number(out, point, unix_ns, Start::Series));
                }
                (7, tail)
            }
            Data::UpDownCounter { points } => {
                let tail: &[&[u8]] = &[&TEMPORALITY_CUMULATIVE];
                for point in points {
                    self.point(metric, 7, tail, |out| number(out, point, unix_ns, Start::Series));
                }
                (7, tail)
            }
            Data::Histogram { bounds, points } => {
                let tail: &[&[u8]] = &[&TEMPORALITY_CUMULATIVE];
                for point in points {
                    self.point(metric, 9, tail, |out| histogram(out, point, unix_ns, bounds));
                }
                (9, tail)
            }
            Data::ExponentialHistogram { points } => {
                let tail: &[&[u8]] = &[&TEMPORALITY_CUMULATIVE];
                for point in points {
                    self.point(metric, 10, tail, |out| exponential(out, point, unix_ns));
                }
                (10, tail)
            }
            _ => return,
        };
        self.end_metric(metric, kind, tail);
    }

    fn point(
        &mut self,
        metric: &Metric,
        kind: u8,
        tail: &[&[u8]],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = wire::begin(&mut self.points, POINT);
        write(&mut self.points);
        wire::end(&mut self.points, start);
        self.pending += 1;
        if self.envelope.len() + self.points.len() >= self.bytes_max {
            self.end_metric(metric, kind, tail);
            self.finish();
        }
    }

    fn end_metric(&mut self, metric: &Metric, kind: u8, tail: &[&[u8]]) {
        if self.pending == 0 {
            return;
        }
        let scope = self.envelope.scope(SCOPE, env!("CARGO_PKG_VERSION"));
        let points = &self.points;
        self.envelope.push(scope, |out, key| {
            let start = wire::begin(out, key);
            wire::text(out, bytes_key(1), &metric.name);
            wire::text(out, bytes_key(2), &metric.description);
            wire::text(out, bytes_key(3), &metric.unit);
            let tail_len: usize = tail.iter().map(|part| part.len()).sum();
            wire::header(out, bytes_key(kind), points.len() + tail_len);
            out.extend_from_slice(points);
            for part in tail {
                out.extend_from_slice(part);
            }
            wire::end(out, start);
            true
        });
        self.count += self.pending;
        self.pending = 0;
        self.points.clear();
    }

    fn finish(&mut self) {
        if self.count > 0 {
            (self.send)(self.envelope.finish(self.resource), self.count);
            self.count = 0;
        }
    }
}

/// Which start time a point has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    None,
    Series,
}

fn number(out: &mut Vec<u8>, point: &Point<Number>, unix_ns: u64, start: Start) {
    if start == Start::Series {
        wire::time(out, fixed64_key(2), point.start_unix_ns.min(unix_ns));
    }
    wire::time(out, fixed64_key(3), unix_ns);
    let integer = match point.value {
        Number::U64(value) => i64::try_from(value).ok(),
        Number::I64(value) => Some(value),
        _ => None,
    };
    if integer.is_none() {
        wire::fixed64(out, fixed64_key(4), point.value.as_f64().to_bits());
    }
    if let Some(integer) = integer {
        wire::fixed64(out, fixed64_key(6), integer as u64);
    }
    labels(out, bytes_key(7), &point.labels);
}

fn histogram(out: &mut Vec<u8>, point: &Point<HistogramValue>, unix_ns: u64, bounds: &[f64]) {
    let value = &point.value;
    wire::time(out, fixed64_key(2), point.start_unix_ns.min(unix_ns));
    wire::time(out, fixed64_key(3), unix_ns);
    if value.count != 0 {
        wire::fixed64(out, fixed64_key(4), value.count);
    }
    wire::fixed64(out, fixed64_key(5), value.sum.to_bits());
    packed(out, bytes_key(6), value.buckets.iter().copied());
    packed(out, bytes_key(7), bounds.iter().map(|bound| bound.to_bits()));
    labels(out, bytes_key(9), &point.labels);
    if let Some(min) = value.min {
        wire::fixed64(out, fixed64_key(11), min.to_bits());
    }
    if let Some(max) = value.max {
        wire::fixed64(out, fixed64_key(12), max.to_bits());
    }
}

fn exponential(out: &mut Vec<u8>, point: &Point<HistogramValue<ExponentialBuckets>>, unix_ns: u64) {
    let value = &point.value;
    labels(out, bytes_key(1), &point.labels);
    wire::time(out, fixed64_key(2), point.start_unix_ns.min(unix_ns));
    wire::time(out, fixed64_key(3), unix_ns);
    if value.count != 0 {
        wire::fixed64(out, fixed64_key(4), value.count);
    }
    wire::fixed64(out, fixed64_key(5), value.sum.to_bits());
    sint32(out, varint_key(6), value.buckets.scale);
    if value.buckets.zero_count != 0 {
        wire::fixed64(out, fixed64_key(7), value.buckets.zero_count);
    }
    range(out, bytes_key(8), &value.buckets.positive);
    range(out, bytes_key(9), &value.buckets.negative);
    if let Some(min) = value.min {
        wire::fixed64(out, fixed64_key(12), min.to_bits());
    }
    if let Some(max) = value.max {
        wire::fixed64(out, fixed64_key(13), max.to_bits());
    }
}

/// Appends the buckets of one sign; a sign without values has none.
fn range(out: &mut Vec<u8>, key: u8, range: &ExponentialRange) {
    if range.counts.is_empty() {
        return;
    }
    let start = wire::begin(out, key);
    sint32(out, varint_key(1), range.offset);
    let bytes = range.counts.iter().map(|count| wire::varint_len(*count)).sum();
    wire::header(out, bytes_key(2), bytes);
    range.counts.iter().for_each(|count| wire::varint(out, *count));
    wire::end(out, start);
}

/// Appends a signed integer, zigzag encoded, unless it is 0.
fn sint32(out: &mut Vec<u8>, key: u8, value: i32) {
    if value != 0 {
        out.push(key);
        wire::varint(out, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
    }
}

fn packed(out: &mut Vec<u8>, key: u8, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() > 0 {
        wire::header(out, key, values.len() * 8);
        values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }
}

fn labels(out: &mut Vec<u8>, key: u8, labels: &Labels) {
    for (name, value) in labels.iter() {
        let any = match value {
            Value::Str(text) => Any::Text(text),
            Value::I64(value) => Any::I64(*value),
            Value::F64(value) => Any::F64(*value),
            Value::Bool(value) => Any::Bool(*value),
            _ => continue,
        };
        key_any(out, key, name, any);
    }
}
