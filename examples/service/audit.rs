//! Does everybody have what the ledger says? The exporters' counts, the receiver's, the file's.

use crate::client::Requests;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::Ordering;
use telemetry_toolkit::Report;
use telemetry_toolkit::ledger::{ExporterReport, Signal};
use telemetry_toolkit::receiver::Receiver;

/// Log events, finished spans, metric points.
pub(crate) type Counts = [u64; 3];

pub(crate) struct Audit {
    report: Report,
    receiver: Option<Counts>,
    lines: Counts,
    file: String,
    requests: Requests,
}

impl Audit {
    /// Counts what arrived.
    pub(crate) fn new(
        report: &Report,
        receiver: Option<&Receiver>,
        (file, before): (&Path, Counts),
        requests: Requests,
    ) -> std::io::Result<Self> {
        let receiver = receiver.map(|receiver| {
            let counts = receiver.counts();
            Signal::ALL.map(|signal| counts.get(signal))
        });
        let after = count_lines(file)?;
        let lines = std::array::from_fn(|n| after[n] - before[n]);
        let file = file.display().to_string();
        Ok(Self { report: report.clone(), receiver, lines, file, requests })
    }

    /// Is every record accounted for, and is it where the ledger says?
    pub(crate) fn agrees(&self) -> bool {
        let delivered = |name| self.report.exporter(name).map(delivered);
        let receiver = self.receiver.is_none() || self.receiver == delivered("otlp");
        self.report.is_balanced() && receiver && delivered("json") == Some(self.lines)
    }

    pub(crate) fn to_json(&self) -> Value {
        let exporters: Map<String, Value> =
            self.report.exporters.iter().map(|e| (e.name().to_owned(), exporter(e))).collect();
        json!({
            "agrees": self.agrees(),
            "balanced": self.report.is_balanced(),
            "complete": self.report.is_complete(),
            "requests": {
                "answered": self.requests.answered.load(Ordering::Relaxed),
                "failed": self.requests.failed.load(Ordering::Relaxed),
            },
            "exporters": exporters,
            "receiver": self.receiver.map(counts),
            "json_lines": counts(self.lines),
            "json_file": self.file,
        })
    }
}

fn delivered(exporter: &ExporterReport) -> Counts {
    Signal::ALL.map(|signal| exporter.counts(signal).delivered)
}

fn counts(counts: Counts) -> Value {
    let named = Signal::ALL.map(Signal::as_str).map(str::to_owned).into_iter().zip(counts);
    named.map(|(name, count)| (name, Value::from(count))).collect::<Map<_, _>>().into()
}

fn exporter(report: &ExporterReport) -> Value {
    let signals = Signal::ALL.map(|signal| {
        let counts = report.counts(signal);
        let dropped: Map<String, Value> = counts
            .dropped
            .iter()
            .map(|(cause, count)| (cause.as_str().to_owned(), (*count).into()))
            .collect();
        let counts = json!({
            "emitted": counts.emitted,
            "delivered": counts.delivered,
            "pending": counts.pending,
            "dropped": dropped,
        });
        (signal.as_str().to_owned(), counts)
    });
    signals.into_iter().collect::<Map<_, _>>().into()
}

/// The lines of the file by their kind; one that is no JSON is an error.
pub(crate) fn count_lines(file: &Path) -> std::io::Result<Counts> {
    let mut counts = [0; 3];
    let file = match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(counts),
        file => file?,
    };
    for line in BufReader::new(file).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        match line["kind"].as_str() {
            Some("log") => counts[Signal::Log as usize] += 1,
            Some("span") => counts[Signal::Span as usize] += 1,
            Some("metric") => counts[Signal::Metric as usize] += 1,
            _ => {}
        }
    }
    Ok(counts)
}
