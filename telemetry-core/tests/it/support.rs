//! What the tests share: numbered events, an exporter that does as it is told, and the account of
//! what arrived.

use crate::face;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Exporter, Outcome, Signals};
use telemetry_core::ledger::{Counts, Report, Signal};
use telemetry_core::pipeline::{Builder, ScopedPipeline, SinkBuilder};
use telemetry_core::record::{Kind, Value};

pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Emits the `seq`th event of a `source`.
pub(crate) fn emit(source: u64, seq: u64) {
    tracing::info!(source, seq, "numbered");
}

pub(crate) fn emit_many(source: u64, count: u64) {
    (0..count).for_each(|seq| emit(source, seq));
}

/// How often each numbered event arrived: the exporter's own account.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<u64, Vec<u64>>>>);

impl Seen {
    pub(crate) fn note(&self, batch: &Batch) {
        let mut seen = self.0.lock().unwrap();
        for record in batch.records() {
            if record.kind() != Kind::Event {
                continue;
            }
            let mut numbers = [None; 2];
            for field in record.fields() {
                let place = match field.key {
                    "source" => 0,
                    "seq" => 1,
                    _ => continue,
                };
                let Value::U64(value) = field.value else { panic!("{field:?}") };
                numbers[place] = Some(value);
            }
            if let [Some(source), Some(seq)] = numbers {
                seen.entry(source).or_default().push(seq);
            }
        }
    }

    pub(crate) fn of(&self, source: u64) -> Vec<u64> {
        self.0.lock().unwrap().get(&source).cloned().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().unwrap().values().map(|seqs| seqs.len() as u64).sum()
    }

    /// In order, none twice; some may be missing.
    pub(crate) fn assert_ordered(&self) {
        for (source, seqs) in &*self.0.lock().unwrap() {
            assert!(seqs.is_sorted_by(|a, b| a < b), "source {source} out of order or twice");
        }
    }

    /// All of `0..count`, in order, none twice.
    pub(crate) fn assert_all(&self, source: u64, count: u64) {
        let seqs = self.of(source);
        assert!(seqs.iter().copied().eq(0..count), "source {source}: {} of {count}", seqs.len());
    }
}

type Script = Box<dyn FnMut(Batch, Ack) + Send>;

/// Does with each batch what its script says.
pub(crate) struct Scripted {
    name: String,
    script: Script,
}

impl Scripted {
    pub(crate) fn new(name: &str, script: impl FnMut(Batch, Ack) + Send + 'static) -> Self {
        Self { name: name.to_owned(), script: Box::new(script) }
    }

    /// Delivers everything and notes it.
    pub(crate) fn noting(name: &str, seen: &Seen) -> Self {
        let seen = seen.clone();
        Self::new(name, move |batch, ack| {
            seen.note(&batch);
            ack.finish(Outcome::Delivered);
        })
    }
}

impl Exporter for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> Signals {
        Signals::LOGS | Signals::SPANS
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        (self.script)(batch, ack);
    }
}

/// A door that exporters wait at until the test opens it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// Counts up; the test waits for a value.
#[derive(Debug, Default, Clone)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    pub(crate) fn up(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn wait_for(&self, count: u64) {
        wait_until(|| self.get() >= count);
    }
}

/// Waits for a condition, at most [`LONG`].
#[track_caller]
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let deadline = now() + LONG;
    while !condition() {
        assert!(now() < deadline, "the condition never came true");
        std::thread::yield_now();
    }
}

pub(crate) fn now() -> Instant {
    telemetry_core::clock::now()
}

pub(crate) fn builder(exporter: impl Exporter) -> Builder {
    face::builder().sink(SinkBuilder::new(exporter))
}

pub(crate) fn scoped(exporter: impl Exporter) -> ScopedPipeline {
    builder(exporter).scoped().unwrap()
}

/// The counts of the logs of an exporter.
pub(crate) fn logs(report: &Report, exporter: &str) -> Counts {
    report.exporter(exporter).unwrap().counts(Signal::Log).clone()
}

pub(crate) fn span_counts(report: &Report, exporter: &str) -> Counts {
    report.exporter(exporter).unwrap().counts(Signal::Span).clone()
}

/// Shuts down, and asserts that the ledger is balanced and nothing is under way.
#[track_caller]
pub(crate) fn shut_down(pipeline: ScopedPipeline) -> Report {
    let report = pipeline.shutdown(LONG);
    assert!(!report.timed_out, "{report}");
    assert_at_rest(&report);
    report
}

#[track_caller]
pub(crate) fn assert_at_rest(report: &Report) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!(report.buffered, 0, "{report}");
    assert!(report.exporters.iter().all(|exporter| exporter.pending() == 0), "{report}");
}
