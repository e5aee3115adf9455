//! What exporters are tested with: a place for lines, outcomes, errors with sources.

use crate::batch::Batch;
use crate::export::{Ack, Exporter, Outcome};
use crate::ledger::{Signal, Units};
use crate::metric::Snapshot;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// A writer that keeps what is written; clones share it.
///
/// ```
/// use std::io::Write;
/// use telemetry_core::testing::Lines;
///
/// let lines = Lines::default();
/// writeln!(lines.clone(), "hello")?;
/// assert_eq!(lines.text(), "hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All that was written.
    ///
    /// # Panics
    ///
    /// If it is no UTF-8: lines are.
    pub fn text(&self) -> String {
        text_of(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// As [`text`](Self::text), and forgets it.
    ///
    /// # Panics
    ///
    /// If it is no UTF-8.
    pub fn take(&self) -> String {
        text_of(std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[expect(clippy::expect_used, reason = "a failed test may say so")]
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("lines are UTF-8")
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Exports a batch, and returns what the exporter says of it.
///
/// # Panics
///
/// If it says nothing before `export` returns.
pub fn export(exporter: &mut dyn Exporter, batch: Batch) -> Outcome {
    let units = batch.units();
    outcome_of(units, |ack| exporter.export(batch, ack))
}

/// Exports a snapshot, and returns what the exporter says of it.
///
/// # Panics
///
/// If it says nothing before `metrics` returns.
pub fn export_metrics(exporter: &mut dyn Exporter, snapshot: Snapshot) -> Outcome {
    let units = Units::of(Signal::Metric, snapshot.points() as u64);
    outcome_of(units, |ack| exporter.metrics(&Arc::new(snapshot), ack))
}

#[expect(clippy::expect_used, reason = "a failed test may say so")]
fn outcome_of(units: Units, export: impl FnOnce(Ack)) -> Outcome {
    let said = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&said);
    export(Ack::for_tests(units, move |outcome| {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }));
    let outcome = said.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome.expect("an outcome before the exporter returns")
}

/// An error with sources.
///
/// ```
/// use std::error::Error;
/// use telemetry_core::testing::ErrorFixture;
///
/// let error = ErrorFixture::of(["cannot store", "disk is full"]).unwrap();
/// assert_eq!(error.to_string(), "cannot store");
/// assert_eq!(error.source().unwrap().to_string(), "disk is full");
/// ```
#[derive(Debug, Clone)]
pub struct ErrorFixture {
    text: String,
    source: Option<Box<ErrorFixture>>,
}

impl ErrorFixture {
    /// An error of the first text, whose sources have the others; `None` without a text.
    pub fn of<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut texts: Vec<T> = texts.into_iter().collect();
        let mut error = None;
        while let Some(text) = texts.pop() {
            error = Some(Self { text: text.into(), source: error.map(Box::new) });
        }
        error
    }
}

impl fmt::Display for ErrorFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ErrorFixture {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
