//! The exporter and its builder.

use crate::colours::Colours;
use crate::encode::{Encoder, without_polled};
use crate::style::Style;
use crate::time::Time;
use std::io::Write;
use std::sync::Arc;
use telemetry_core::batch::{Batch, Record};
use telemetry_core::export::{Ack, Exporter, Outcome, Signals};
use telemetry_core::ledger::{Cause, Signal};
use telemetry_core::metric::Snapshot;
use telemetry_core::output::{Destination, LineWriter};
use telemetry_core::{Error, clock};

/// So much is gathered for one write(2): what a pipe takes at once.
const GATHER_BYTES: usize = 64 * 1024;

/// Writes records as lines that people read, or as `logfmt`.
///
/// See the [crate's documentation](crate) for the format and for what is promised.
#[derive(Debug)]
pub struct ConsoleExporter {
    name: String,
    signals: Signals,
    polls: bool,
    encoder: Encoder,
    output: LineWriter,
}

impl ConsoleExporter {
    /// Begins to build one: log events to the standard error, unless told otherwise.
    pub fn builder() -> ConsoleExporterBuilder {
        ConsoleExporterBuilder::default()
    }
}

impl ConsoleExporter {
    /// Writes the line of all metrics but for those that have a line of their own.
    fn put_metrics(&mut self, snapshot: &Snapshot) {
        let others = self.polls.then(|| without_polled(snapshot));
        let snapshot = others.as_ref().unwrap_or(snapshot);
        if snapshot.points() > 0 {
            self.encoder.snapshot(snapshot, self.output.line());
            self.output.end_line(Signal::Metric);
        }
    }
}

impl Exporter for ConsoleExporter {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> Signals {
        self.signals.set(Signals::METRICS, self.signals.contains(Signals::METRICS) || self.polls)
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        self.encoder.begin();
        let put = |record: &Record<'_>, out: &mut Vec<u8>| self.encoder.record(record, out);
        ack.finish(self.output.write_batch(&batch, self.signals, put));
    }

    fn metrics(&mut self, snapshot: &Arc<Snapshot>, ack: Ack) {
        if snapshot.points() == 0 {
            return ack.finish(Outcome::Delivered);
        }
        self.output.begin();
        if self.polls && self.encoder.poll(snapshot, self.output.line()) {
            self.output.end_line(Signal::Metric);
        }
        if self.signals.contains(Signals::METRICS) {
            self.put_metrics(snapshot);
        }
        // All points are one unit of output.
        ack.finish(match self.output.finish() {
            Outcome::Delivered => Outcome::Delivered,
            _ => Outcome::Rejected(Cause::WriteFailed),
        });
    }
}

/// Builds a [`ConsoleExporter`].
#[must_use = "nothing is exported before `build`"]
#[derive(Debug)]
pub struct ConsoleExporterBuilder {
    name: String,
    destination: Destination,
    style: Option<Style>,
    colours: Colours,
    signals: Signals,
    time: Time,
    polls: bool,
}

impl Default for ConsoleExporterBuilder {
    fn default() -> Self {
        Self {
            name: "console".to_owned(),
            destination: Destination::Stderr,
            style: None,
            colours: Colours::Auto,
            signals: Signals::LOGS,
            time: Time::Utc,
            polls: false,
        }
    }
}

impl ConsoleExporterBuilder {
    /// Writes to the standard output.
    pub fn stdout(mut self) -> Self {
        self.destination = Destination::Stdout;
        self
    }

    /// Writes to the standard error. This is the default.
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

    /// The name in reports, unique in a pipeline; `console` unless set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How a record is laid out; unless set, [`Style::Pretty`] on a terminal and
    /// [`Style::Compact`] elsewhere.
    pub fn style(mut self, style: Style) -> Self {
        self.style = Some(style);
        self
    }

    /// When colours are used, in styles that have any; [`Colours::Auto`] unless set.
    pub fn colours(mut self, colours: Colours) -> Self {
        self.colours = colours;
        self
    }

    /// Are finished spans written, a record each? No, unless set.
    pub fn spans(mut self, spans: bool) -> Self {
        self.signals = self.signals.set(Signals::SPANS, spans);
        self
    }

    /// Are metrics written, a line per interval, or per point in [`Style::Logfmt`]? No, unless set.
    pub fn metrics(mut self, metrics: bool) -> Self {
        self.signals = self.signals.set(Signals::METRICS, metrics);
        self
    }

    /// Is the poller's reading written, a short line for each that is new when metrics come: what
    /// the process uses of processor, memory, threads, files? No, unless set.
    ///
    /// A counter is told as its rate since the line before. What stands there is left out of the
    /// lines of [`metrics`](Self::metrics). For a line a poll, the exporter's
    /// [metric interval](telemetry_core::pipeline::SinkBuilder::metric_interval) is to be the
    /// poller's period.
    pub fn polls(mut self, polls: bool) -> Self {
        self.polls = polls;
        self
    }

    /// How a record's time is told; [`Time::Utc`] unless set, and never in [`Style::Journald`].
    pub fn time(mut self, time: Time) -> Self {
        self.time = time;
        self
    }

    /// Opens the destination, and reads the environment for colours.
    ///
    /// # Errors
    ///
    /// When the standard stream cannot be used.
    pub fn build(self) -> Result<ConsoleExporter, Error> {
        let output = self.destination.open()?;
        let usual = if output.is_terminal() { Style::Pretty } else { Style::Compact };
        let style = self.style.unwrap_or(usual);
        let colours = if style.has_colours() { self.colours } else { Colours::Never };
        let palette = colours.palette(output.is_terminal(), |name| std::env::var_os(name));
        Ok(ConsoleExporter {
            name: self.name,
            signals: self.signals,
            polls: self.polls,
            encoder: Encoder::new(style, palette, self.time, clock::unix_ns()),
            output: output.gather(GATHER_BYTES),
        })
    }
}
