//! Data points of metrics, one line each.

use super::Encoder;
use super::fields::close_object;
use super::limits::Limits;
use super::value::{put_f64, put_integer, put_text};
use telemetry_core::metric::{
    Data, ExponentialBuckets, ExponentialRange, HistogramValue, Labels, Metric, Number, Point,
    Snapshot, Value,
};

impl Encoder {
    /// Appends the line of the point at `index` of a metric. Returns whether there is one.
    pub(crate) fn point(
        &mut self,
        snapshot: &Snapshot,
        metric: &Metric,
        index: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let begin = out.len();
        let closer = Limits::ladder(self.line_bytes_max);
        for limits in std::iter::once(Limits::NONE).chain(closer) {
            out.truncate(begin);
            if self.put_point(snapshot, metric, index, &limits, out).is_none() {
                out.truncate(begin);
                return false;
            }
            if out.len() - begin <= self.line_bytes_max {
                break;
            }
        }
        true
    }

    fn put_point(
        &mut self,
        snapshot: &Snapshot,
        metric: &Metric,
        index: usize,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.extend_from_slice(b"{\"timestamp\":\"");
        self.time.put(snapshot.unix_ns, out);
        out.extend_from_slice(b"\",\"kind\":\"metric\",\"name\":");
        put_text(out, &metric.name, limits.text_bytes_max);
        if !metric.unit.is_empty() {
            out.extend_from_slice(b",\"unit\":");
            put_text(out, &metric.unit, limits.text_bytes_max);
        }
        match &metric.data {
            Data::Counter { points } => {
                let point = points.get(index)?;
                put_labels(out, "counter", &point.labels, limits);
                self.put_start(point, out);
                put_number(out, point.value);
            }
            Data::UpDownCounter { points } => {
                let point = points.get(index)?;
                put_labels(out, "up_down_counter", &point.labels, limits);
                self.put_start(point, out);
                put_number(out, point.value);
            }
            Data::Gauge { points } => {
                let point = points.get(index)?;
                put_labels(out, "gauge", &point.labels, limits);
                put_number(out, point.value);
            }
            Data::Histogram { bounds, points } => {
                let point = points.get(index)?;
                put_labels(out, "histogram", &point.labels, limits);
                self.put_start(point, out);
                put_histogram(out, &point.value, bounds, limits);
            }
            Data::ExponentialHistogram { points } => {
                let point = points.get(index)?;
                put_labels(out, "exponential_histogram", &point.labels, limits);
                self.put_start(point, out);
                put_exponential(out, &point.value, limits);
            }
            _ => return None,
        }
        if !limits.is_none() {
            out.extend_from_slice(b",\"cut\":true");
        }
        out.extend_from_slice(b"}\n");
        Some(())
    }

    fn put_start<V>(&mut self, point: &Point<V>, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"start_timestamp\":\"");
        self.start_time.put(point.start_unix_ns, out);
        out.push(b'"');
    }
}

/// Writes the type and the attributes.
fn put_labels(out: &mut Vec<u8>, type_name: &str, labels: &Labels, limits: &Limits) {
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(type_name.as_bytes());
    out.extend_from_slice(b"\",\"attributes\":");
    let begin = out.len();
    let short = labels.iter().filter(|(key, _)| key.len() <= limits.text_bytes_max);
    for (key, value) in short.take(limits.items_max) {
        super::callsites::put_key(out, key);
        match value {
            Value::Str(text) => {
                put_text(out, text, limits.text_bytes_max);
            }
            Value::I64(number) => put_integer(out, *number),
            Value::F64(number) => put_f64(out, *number),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            _ => out.extend_from_slice(b"null"),
        }
    }
    close_object(out, begin);
}

fn put_number(out: &mut Vec<u8>, number: Number) {
    out.extend_from_slice(b",\"value\":");
    match number {
        Number::U64(number) => put_integer(out, number),
        Number::I64(number) => put_integer(out, number),
        Number::F64(number) => put_f64(out, number),
        _ => out.extend_from_slice(b"null"),
    }
}

fn put_histogram(out: &mut Vec<u8>, value: &HistogramValue, bounds: &[f64], limits: &Limits) {
    put_extent(out, value);
    if value.buckets.len() > limits.items_max {
        return;
    }
    out.extend_from_slice(b",\"bounds\":");
    put_list(out, bounds, |out, bound| put_f64(out, *bound));
    out.extend_from_slice(b",\"buckets\":");
    put_list(out, &value.buckets, |out, count| put_integer(out, *count));
}

fn put_exponential(out: &mut Vec<u8>, value: &HistogramValue<ExponentialBuckets>, limits: &Limits) {
    put_extent(out, value);
    let buckets = &value.buckets;
    out.extend_from_slice(b",\"scale\":");
    put_integer(out, buckets.scale);
    out.extend_from_slice(b",\"zero_count\":");
    put_integer(out, buckets.zero_count);
    put_range(out, b",\"positive\":", &buckets.positive, limits);
    put_range(out, b",\"negative\":", &buckets.negative, limits);
}

/// Writes the buckets of one sign, if it has any.
fn put_range(out: &mut Vec<u8>, key: &[u8], range: &ExponentialRange, limits: &Limits) {
    if range.counts.is_empty() || range.counts.len() > limits.items_max {
        return;
    }
    out.extend_from_slice(key);
    out.extend_from_slice(b"{\"offset\":");
    put_integer(out, range.offset);
    out.extend_from_slice(b",\"buckets\":");
    put_list(out, &range.counts, |out, count| put_integer(out, *count));
    out.push(b'}');
}

fn put_extent<B>(out: &mut Vec<u8>, value: &HistogramValue<B>) {
    out.extend_from_slice(b",\"count\":");
    put_integer(out, value.count);
    out.extend_from_slice(b",\"sum\":");
    put_f64(out, value.sum);
    for (key, extreme) in [(&b",\"min\":"[..], value.min), (b",\"max\":", value.max)] {
        if let Some(extreme) = extreme {
            out.extend_from_slice(key);
            put_f64(out, extreme);
        }
    }
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}
