//! A snapshot of all metrics as one line for people.

use super::text::{put_f64, put_integer, put_text, put_word};
use super::{Encoder, compact};
use crate::colours::Role;
use crate::style::Style;
use std::io::Write;
use std::time::Duration;
use telemetry_core::Level;
use telemetry_core::metric::{Data, HistogramValue, Labels, Metric, Number, Snapshot, Value};

/// The longest line of a snapshot, but for the number of points that are left out.
pub(super) const SNAPSHOT_BYTES_MAX: usize = 8 * 1024;

impl Encoder {
    /// Appends the lines of a snapshot; nothing if it has no points.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) {
        let points = snapshot.points();
        if points == 0 {
            return;
        }
        if self.style == Style::Logfmt {
            return self.logfmt_snapshot(snapshot, out);
        }
        let begin = out.len();
        self.begin_metrics(snapshot.unix_ns, "metrics", out);
        let mut left = points;
        for metric in &snapshot.metrics {
            for index in 0..metric.data.points() {
                let before = out.len();
                self.put_point(metric, index, out);
                if out.len() - begin > SNAPSHOT_BYTES_MAX {
                    out.truncate(before);
                    let _ = write!(out, " …+{left} more");
                    out.push(b'\n');
                    return;
                }
                left -= 1;
            }
        }
        out.push(b'\n');
    }

    /// Begins a line of metrics with its time and a word.
    pub(super) fn begin_metrics(&mut self, unix_ns: u64, word: &str, out: &mut Vec<u8>) {
        if self.style == Style::Journald {
            compact::put_priority(out, Level::Info);
        }
        self.put_time(unix_ns, out);
        self.palette.begin(out, Role::Strong);
        out.extend_from_slice(word.as_bytes());
        self.palette.end(out);
    }

    fn put_point(&self, metric: &Metric, index: usize, out: &mut Vec<u8>) {
        match &metric.data {
            Data::Counter { points } | Data::UpDownCounter { points } | Data::Gauge { points } => {
                let Some(point) = points.get(index) else { return };
                self.put_series(metric, &point.labels, out);
                put_number(out, point.value, &metric.unit);
            }
            Data::Histogram { points, .. } => {
                let Some(point) = points.get(index) else { return };
                self.put_series(metric, &point.labels, out);
                put_histogram(out, &point.value, &metric.unit);
            }
            Data::ExponentialHistogram { points } => {
                let Some(point) = points.get(index) else { return };
                self.put_series(metric, &point.labels, out);
                put_histogram(out, &point.value, &metric.unit);
            }
            _ => {}
        }
    }

    /// Writes ` name{key=value}=`.
    fn put_series(&self, metric: &Metric, labels: &Labels, out: &mut Vec<u8>) {
        out.push(b' ');
        self.palette.begin(out, Role::Key);
        put_text(out, &metric.name);
        self.palette.end(out);
        for (n, (key, value)) in labels.iter().enumerate() {
            out.push(if n == 0 { b'{' } else { b' ' });
            put_word(out, key);
            out.push(b'=');
            match value {
                Value::Str(text) => put_word(out, text),
                Value::I64(number) => put_integer(out, *number),
                Value::F64(number) => put_f64(out, *number),
                other => put_word(out, &other.to_string()),
            }
        }
        if !labels.is_empty() {
            out.push(b'}');
        }
        out.push(b'=');
    }
}

fn put_histogram<B>(out: &mut Vec<u8>, value: &HistogramValue<B>, unit: &str) {
    out.extend_from_slice(b"[n=");
    put_integer(out, value.count);
    if value.count > 0 {
        out.extend_from_slice(b" mean=");
        put_quantity(out, value.sum / value.count as f64, unit);
    }
    for (key, extreme) in [(" min=", value.min), (" max=", value.max)] {
        if let Some(extreme) = extreme {
            out.extend_from_slice(key.as_bytes());
            put_quantity(out, extreme, unit);
        }
    }
    out.push(b']');
}

/// Writes a number in its unit: exact if it is a count.
fn put_number(out: &mut Vec<u8>, number: Number, unit: &str) {
    match number {
        Number::U64(number) if is_count(unit) => put_integer(out, number),
        Number::I64(number) if is_count(unit) => put_integer(out, number),
        other => put_quantity(out, other.as_f64(), unit),
    }
}

/// Is the unit one of things (UCUM: none, `1`, or an annotation like `{request}`)?
fn is_count(unit: &str) -> bool {
    unit.is_empty() || unit == "1" || unit.starts_with('{') && unit.ends_with('}')
}

pub(super) fn put_quantity(out: &mut Vec<u8>, value: f64, unit: &str) {
    match unit {
        "s" => match Duration::try_from_secs_f64(value) {
            Ok(duration) => drop(write!(out, "{duration:.2?}")),
            Err(_) => {
                put_rounded(out, value);
                out.push(b's');
            }
        },
        "By" => put_size(out, value),
        unit => {
            put_rounded(out, value);
            if !is_count(unit) {
                put_text(out, unit);
            }
        }
    }
}

fn put_size(out: &mut Vec<u8>, bytes: f64) {
    let (mut size, mut unit) = (bytes, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if size.abs() < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    let decimals = usize::from(unit != "B");
    let _ = write!(out, "{size:.decimals$}{unit}");
}

/// Writes up to three decimals where they tell something.
pub(super) fn put_rounded(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size != 0.0 && !(1e-2..1e15).contains(&size) {
        put_f64(out, value);
    } else {
        let rounded = (value * 1e3).round() / 1e3;
        let _ = write!(out, "{rounded}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_told_in_their_unit() {
        let of = |value, unit| {
            let mut out = Vec::new();
            put_number(&mut out, value, unit);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(Number::I64(12_897_485), "By"), "12.3MiB");
        assert_eq!(of(Number::U64(7), "By"), "7B");
        assert_eq!(of(Number::F64(0.5178), "s"), "517.80ms");
        assert_eq!(of(Number::F64(-1.5), "s"), "-1.5s");
        assert_eq!(of(Number::U64(u64::MAX), "{request}"), "18446744073709551615");
        assert_eq!(of(Number::F64(0.333_333_3), "1"), "0.333");
        assert_eq!(of(Number::F64(21.5), "Cel"), "21.5Cel");
        assert_eq!(of(Number::F64(1e-9), ""), "1e-9");
    }
}
