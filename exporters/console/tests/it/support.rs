//! A place for lines, and errors with sources.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use telemetry_console::{ConsoleExporter, ConsoleExporterBuilder};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Exporter, Outcome};
use telemetry_core::ledger::{Signal, Units};
use telemetry_core::metric::Snapshot;

/// 2026-11-22T09:00:00.123456789Z.
pub(crate) const NOW: u64 = 1_795_338_000_123_456_789;

#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("lines are UTF-8")
    }
}

/// An acknowledgement, and where its outcome will stand.
fn ack(units: Units) -> (Ack, Arc<Mutex<Option<Outcome>>>) {
    let outcome = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&outcome);
    (Ack::for_tests(units, move |outcome| *seen.lock().unwrap() = Some(outcome)), outcome)
}

/// What an exporter says of a batch.
pub(crate) fn export(exporter: &mut ConsoleExporter, batch: Batch) -> Outcome {
    let (ack, outcome) = ack(batch.units());
    exporter.export(batch, ack);
    let outcome = outcome.lock().unwrap().take();
    outcome.expect("an outcome before `export` returns")
}

/// What an exporter says of a snapshot.
pub(crate) fn measure(exporter: &mut ConsoleExporter, snapshot: Snapshot) -> Outcome {
    let (ack, outcome) = ack(Units::of(Signal::Metric, snapshot.points() as u64));
    exporter.metrics(&Arc::new(snapshot), ack);
    let outcome = outcome.lock().unwrap().take();
    outcome.expect("an outcome before `metrics` returns")
}

/// The text that a batch becomes.
pub(crate) fn text_of(builder: ConsoleExporterBuilder, batch: Batch) -> String {
    let sink = Sink::default();
    let mut exporter = builder.writer(Box::new(sink.clone())).build().unwrap();
    assert_eq!(export(&mut exporter, batch), Outcome::Delivered);
    sink.text()
}

/// An error with as many sources as it has further texts.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    text: String,
    source: Option<Box<Chain>>,
}

impl Chain {
    pub(crate) fn of(texts: &[String]) -> Option<Self> {
        let (text, sources) = texts.split_first()?;
        Some(Self { text: text.clone(), source: Self::of(sources).map(Box::new) })
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Chain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
