//! The exporter and its builder.

use crate::encode::{Encoder, LINE_BYTES_MIN, Location};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use telemetry_core::Error;
use telemetry_core::batch::{Batch, Record};
use telemetry_core::export::{Ack, Exporter, Signals};
use telemetry_core::ledger::Signal;
use telemetry_core::metric::Snapshot;
use telemetry_core::output::{Destination, LineWriter};

/// The longest line of a file unless set: more than any record without spans needs.
const FILE_LINE_BYTES_MAX: usize = 1024 * 1024;
/// The longest line elsewhere unless set: container runtimes split lines at 16 KiB.
const STREAM_LINE_BYTES_MAX: usize = 16 * 1024;

/// Writes records as lines of JSON.
///
/// See the [crate's documentation](crate) for the format and for what is promised.
#[derive(Debug)]
pub struct JsonExporter {
    name: String,
    signals: Signals,
    encoder: Encoder,
    output: LineWriter,
}

impl JsonExporter {
    /// Begins to build one: to the standard output, all signals, unless told otherwise.
    pub fn builder() -> JsonExporterBuilder {
        JsonExporterBuilder::default()
    }
}

impl Exporter for JsonExporter {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> Signals {
        self.signals
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        self.encoder.begin();
        let put = |record: &Record<'_>, out: &mut Vec<u8>| self.encoder.record(record, out);
        ack.finish(self.output.write_batch(&batch, self.signals, put));
    }

    fn reopen(&mut self) {
        self.output.reopen();
    }

    fn metrics(&mut self, snapshot: &Arc<Snapshot>, ack: Ack) {
        self.output.begin();
        for metric in &snapshot.metrics {
            for index in 0..metric.data.points() {
                if self.encoder.point(snapshot, metric, index, self.output.line()) {
                    self.output.end_line(Signal::Metric);
                }
            }
        }
        ack.finish(self.output.finish());
    }
}

/// Builds a [`JsonExporter`].
#[must_use = "nothing is exported before `build`"]
#[derive(Debug)]
pub struct JsonExporterBuilder {
    name: String,
    destination: Destination,
    signals: Signals,
    line_bytes_max: Option<usize>,
    location: Location,
}

impl Default for JsonExporterBuilder {
    fn default() -> Self {
        Self {
            name: "json".to_owned(),
            destination: Destination::Stdout,
            signals: Signals::ALL,
            line_bytes_max: None,
            location: Location::LeftOut,
        }
    }
}

impl JsonExporterBuilder {
    /// Appends to a file, made if there is none; its directory has to exist.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.destination = Destination::File(path.into());
        self
    }

    /// Writes to the standard output. This is the default.
    pub fn stdout(mut self) -> Self {
        self.destination = Destination::Stdout;
        self
    }

    /// Writes to the standard error.
    pub fn stderr(mut self) -> Self {
        self.destination = Destination::Stderr;
        self
    }

    /// Writes to any writer, flushed after every batch: for tests, and for destinations of your
    /// own. It is called on the exporter's thread and should take whole buffers.
    pub fn writer(mut self, writer: Box<dyn Write + Send>) -> Self {
        self.destination = Destination::Writer(writer);
        self
    }

    /// The name in reports, unique in a pipeline; `json` unless set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Are finished spans written? Yes, unless set.
    pub fn spans(mut self, spans: bool) -> Self {
        self.signals = self.signals.set(Signals::SPANS, spans);
        self
    }

    /// Are metrics written, a line per data point and interval? Yes, unless set.
    pub fn metrics(mut self, metrics: bool) -> Self {
        self.signals = self.signals.set(Signals::METRICS, metrics);
        self
    }

    /// Are source file and line written? No, unless set.
    pub fn location(mut self, location: bool) -> Self {
        self.location = if location { Location::Told } else { Location::LeftOut };
        self
    }

    /// The longest line in bytes, newline included; at least 1,024. Unless set, 1 MiB in a file
    /// and 16 KiB elsewhere.
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.line_bytes_max = Some(bytes);
        self
    }

    /// Opens the destination.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened for appending, when a standard stream cannot be used, or
    /// when `line_bytes_max` is less than 1,024.
    pub fn build(self) -> Result<JsonExporter, Error> {
        let is_file = matches!(self.destination, Destination::File(_));
        let usual = if is_file { FILE_LINE_BYTES_MAX } else { STREAM_LINE_BYTES_MAX };
        let line_bytes_max = self.line_bytes_max.unwrap_or(usual);
        if line_bytes_max < LINE_BYTES_MIN {
            return Err(Error::setting("json.line_bytes_max", line_bytes_max, "at least 1024"));
        }
        let output = self.destination.open()?;
        Ok(JsonExporter {
            name: self.name,
            signals: self.signals,
            encoder: Encoder::new(line_bytes_max, self.location),
            output,
        })
    }
}
