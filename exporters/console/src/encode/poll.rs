//! What the process uses, as the poller read it last: one short line a reading.
//!
//! ```text
//! 09:00:10.000Z poll cpu=3.2% memory=12.3MiB threads=5 fds=6 switches=12/s uptime=70s
//! ```
//!
//! # Invariants
//!
//! - A reading that was told is not told again: whoever asks for metrics in between (a flush, the
//!   end) makes no line. It is known by its [`UPTIME`], or where there is none by all of its values.
//! - A counter is told as its rate since the reading before, by the same clock: how long a reading
//!   waited for its line changes no rate. It is left out if its rate is not known yet, with the
//!   first reading or after less than [`RATE_TIME_MIN`].
//! - Metrics are known by their names: what has its place in [`WORDS`] stands first, in that order
//!   and by that word; the rest of the namespaces in [`NAMESPACES`] behind it, by its own name.

use super::Encoder;
use super::metric::{SNAPSHOT_BYTES_MAX, put_quantity, put_rounded};
use super::text::put_word;
use crate::colours::Role;
use crate::style::Style;
use std::io::Write;
use std::time::Duration;
use telemetry_core::metric::{Data, Labels, Metric, Number, Point, Snapshot, Value};

/// What pollers measure.
const NAMESPACES: [&str; 6] = ["process.", "system.", "container.", "cgroup.", "tokio.", "rust."];

/// Metric, value of a label (any if it is empty), word. Series that share a word are added up.
const WORDS: [(&str, &str, &str); 10] = [
    ("process.cpu.time", "", "cpu"),
    ("process.memory.usage", "", "memory"),
    ("process.memory.virtual", "", "virtual"),
    ("process.thread.count", "", "threads"),
    ("process.unix.file_descriptor.count", "", "fds"),
    ("process.context_switches", "", "switches"),
    ("process.paging.faults", "", "faults"),
    ("process.disk.io", "read", "read"),
    ("process.disk.io", "write", "written"),
    (UPTIME, "", "uptime"),
];

/// When a reading was made; the poller measures it last.
const UPTIME: &str = "process.uptime";

/// No rate is told over less.
const RATE_TIME_MIN: Duration = Duration::from_millis(500);

/// The reading that was told last.
#[derive(Debug, Default)]
pub(super) struct LastPoll {
    unix_ns: u64,
    metrics: Vec<Metric>,
}

/// One word of the line.
struct Item {
    key: String,
    value: f64,
    unit: String,
    /// Is it so much a second?
    is_rate: bool,
}

/// Does a metric have its place on the line?
fn is_polled(metric: &Metric) -> bool {
    NAMESPACES.iter().any(|namespace| metric.name.starts_with(namespace))
        && series(&metric.data).is_some()
}

/// The snapshot without what has its place on the line.
pub(crate) fn without_polled(snapshot: &Snapshot) -> Snapshot {
    let others = snapshot.metrics.iter().filter(|metric| !is_polled(metric));
    Snapshot { metrics: others.cloned().collect(), ..*snapshot }
}

fn series(data: &Data) -> Option<(&[Point<Number>], bool)> {
    match data {
        Data::Counter { points } => Some((points, true)),
        Data::UpDownCounter { points } | Data::Gauge { points } => Some((points, false)),
        // A distribution is no reading.
        _ => None,
    }
}

/// Sums the series that `is_one` picks; `None` if there is none.
fn sum(metric: &Metric, is_one: &dyn Fn(&Labels) -> bool) -> Option<f64> {
    let (points, _) = series(&metric.data)?;
    let picked = points.iter().filter(|point| is_one(&point.labels));
    picked.map(|point| point.value.as_f64()).reduce(|sum, value| sum + value)
}

fn has_value(labels: &Labels, wanted: &str) -> bool {
    labels.iter().any(|(_, value)| matches!(value, Value::Str(text) if *text == *wanted))
}

impl LastPoll {
    /// What is to be told of a snapshot; `None` if it has no new reading.
    fn read(&mut self, snapshot: &Snapshot) -> Option<Vec<Item>> {
        let metrics: Vec<Metric> =
            snapshot.metrics.iter().filter(|metric| is_polled(metric)).cloned().collect();
        let read = Self { unix_ns: snapshot.unix_ns, metrics };
        if read.metrics.is_empty() || read.is_again(self) {
            return None;
        }
        let before = std::mem::replace(self, read);
        Some(self.items(&before))
    }

    fn is_again(&self, before: &Self) -> bool {
        match (self.uptime(), before.uptime()) {
            (Some(uptime), Some(earlier)) => uptime.total_cmp(&earlier).is_eq(),
            _ => self.metrics == before.metrics,
        }
    }

    fn uptime(&self) -> Option<f64> {
        sum(self.metric(UPTIME)?, &|_| true)
    }

    /// The time from one reading to the next, if rates can be told over it.
    fn time_since(&self, before: &Self) -> Option<f64> {
        let by_clock = || self.unix_ns.checked_sub(before.unix_ns).map(|ns| ns as f64 / 1e9);
        let by_uptime = self.uptime().zip(before.uptime()).map(|(now, earlier)| now - earlier);
        by_uptime.or_else(by_clock).filter(|time| *time >= RATE_TIME_MIN.as_secs_f64())
    }

    fn items(&self, before: &Self) -> Vec<Item> {
        let mut items = Vec::new();
        for (name, label, word) in WORDS {
            let Some(metric) = self.metric(name) else { continue };
            let is_one = |labels: &Labels| label.is_empty() || has_value(labels, label);
            items.extend(self.item(before, metric, word.to_owned(), &is_one));
        }
        let is_known = |metric: &&Metric| WORDS.iter().any(|(name, ..)| *name == &*metric.name);
        for metric in self.metrics.iter().filter(|metric| !is_known(metric)) {
            let (points, _) = series(&metric.data).unwrap_or_default();
            for point in points {
                let values = point.labels.iter().map(|(_, value)| value.to_string());
                let key = std::iter::once(metric.name.to_string()).chain(values);
                let key = key.collect::<Vec<_>>().join(".");
                items.extend(self.item(before, metric, key, &|labels| *labels == point.labels));
            }
        }
        items
    }

    fn item(
        &self,
        before: &Self,
        metric: &Metric,
        key: String,
        is_one: &dyn Fn(&Labels) -> bool,
    ) -> Option<Item> {
        let value = sum(metric, is_one)?;
        let unit = metric.unit.to_string();
        if !series(&metric.data)?.1 {
            return Some(Item { key, value, unit, is_rate: false });
        }
        let earlier = sum(before.metric(&metric.name)?, is_one)?;
        let value = (value - earlier).max(0.0) / self.time_since(before)?;
        Some(Item { key, value, unit, is_rate: true })
    }

    fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| &*metric.name == name)
    }
}

impl Encoder {
    /// Appends the line of a reading; nothing, and `false`, if the snapshot has no new one.
    pub(crate) fn poll(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> bool {
        let Some(items) = self.last_poll.read(snapshot) else { return false };
        if self.style == Style::Logfmt {
            let pairs = items.iter().map(|item| (item.key.as_str(), item.value));
            self.logfmt_poll(snapshot.unix_ns, pairs, out);
            return true;
        }
        let begin = out.len();
        self.begin_metrics(snapshot.unix_ns, "poll", out);
        for (n, item) in items.iter().enumerate() {
            let before = out.len();
            out.push(b' ');
            self.palette.begin(out, Role::Key);
            put_word(out, &item.key);
            self.palette.end(out);
            out.push(b'=');
            put_item(out, item);
            if out.len() - begin > SNAPSHOT_BYTES_MAX {
                out.truncate(before);
                let _ = write!(out, " …+{} more", items.len() - n);
                break;
            }
        }
        out.push(b'\n');
        true
    }
}

fn put_item(out: &mut Vec<u8>, item: &Item) {
    match (item.unit.as_str(), item.is_rate) {
        // Seconds of work in a second.
        ("s", true) => drop(write!(out, "{:.1}%", item.value * 100.0)),
        // As exact as people want to know it.
        ("s", false) if item.value >= 10.0 => {
            put_rounded(out, item.value.round());
            out.push(b's');
        }
        (unit, true) => {
            put_quantity(out, rounded(item.value, unit), unit);
            out.extend_from_slice(b"/s");
        }
        (unit, false) => put_quantity(out, item.value, unit),
    }
}

/// A rate of things is told whole where it is large.
fn rounded(value: f64, unit: &str) -> f64 {
    if unit == "By" || value < 10.0 { (value * 10.0).round() / 10.0 } else { value.round() }
}
