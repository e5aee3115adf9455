//! Who got what: per exporter and signal, what was wanted, delivered, and lost by cause.
//!
//! The unit is one log event, one finished span, one metric point.
//!
//! # Invariants
//!
//! - `emitted = delivered + dropped + pending` for every exporter and signal, exactly, whenever
//!   the pipeline is at rest (after a flush or a shutdown). While it runs, a live reading is at
//!   most one batch per exporter apart, because its counters are read one after the other.
//! - A loss is counted on the line where it happens, under its cause.
//! - `pending` is counted up and down by the queues; it is never computed as a remainder.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which kind of telemetry a count is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Signal {
    /// Log events.
    Log = 0,
    /// Finished spans.
    Span = 1,
    /// Metric data points.
    Metric = 2,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Log, Self::Span, Self::Metric];

    /// The plural noun that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "logs",
            Self::Span => "spans",
            Self::Metric => "metrics",
        }
    }
}

/// Why something was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Cause {
    /// The buffers' byte budget was used up for longer than the caller may wait.
    BufferFull = 0,
    /// The exporter's queue was full, and it drops at once or had made no progress.
    QueueFull = 1,
    /// The exporter or its peer refused it.
    Rejected = 2,
    /// The exporter gave up after its retries.
    RetriesExhausted = 3,
    /// Writing failed (a full disk, a closed stdout).
    WriteFailed = 4,
    /// The exporter panicked while it had it.
    ExporterPanicked = 5,
    /// The exporter rests after panics.
    Quarantined = 6,
    /// The exporter dropped its acknowledgement without an outcome.
    AckDropped = 7,
    /// The deadline of the shutdown came first.
    ShutdownTimeout = 8,
    /// The start of the span was lost, so there is no span to deliver.
    StartLost = 9,
    /// A value's `Debug` emitted it, too deep or too much.
    Reentrant = 10,
    /// It was taken under a filter of a pipeline that is gone.
    AlreadyShutdown = 11,
    /// Its call site emits more events than it may ([`RateLimit`](crate::pipeline::RateLimit)).
    RateLimited = 12,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 13] = [
        Self::BufferFull,
        Self::QueueFull,
        Self::Rejected,
        Self::RetriesExhausted,
        Self::WriteFailed,
        Self::ExporterPanicked,
        Self::Quarantined,
        Self::AckDropped,
        Self::ShutdownTimeout,
        Self::StartLost,
        Self::Reentrant,
        Self::AlreadyShutdown,
        Self::RateLimited,
    ];

    /// The name in reports and as `error.type` of the `otel.sdk.*` metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::RetriesExhausted => "retries_exhausted",
            Self::WriteFailed => "write_failed",
            Self::ExporterPanicked => "exporter_panicked",
            Self::Quarantined => "quarantined",
            Self::AckDropped => "ack_dropped",
            Self::ShutdownTimeout => "shutdown_timeout",
            Self::StartLost => "start_lost",
            Self::Reentrant => "reentrant",
            Self::AlreadyShutdown => "already_shutdown",
            Self::RateLimited => "rate_limited",
        }
    }
}

const CAUSES: usize = Cause::ALL.len();

/// Numbers of units per signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units([u64; 3]);

impl Units {
    /// So many of one signal.
    pub fn of(signal: Signal, count: u64) -> Self {
        let mut units = Self::default();
        units.0[signal as usize] = count;
        units
    }

    /// How many of a signal.
    pub fn get(self, signal: Signal) -> u64 {
        self.0[signal as usize]
    }

    /// One more of a signal.
    #[inline]
    pub fn add(&mut self, signal: Signal, count: u64) {
        self.0[signal as usize] += count;
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] + other.0[n]))
    }

    /// What is left of `self` without `other`; 0 where `other` is larger.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n].saturating_sub(other.0[n])))
    }

    /// The smaller of both, per signal.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n].min(other.0[n])))
    }

    /// Of all signals together.
    pub fn total(self) -> u64 {
        self.0.iter().sum()
    }
}

/// The live counts of one exporter.
#[derive(Debug, Default)]
pub(crate) struct SinkLedger {
    emitted: [AtomicU64; 3],
    delivered: [AtomicU64; 3],
    dropped: [[AtomicU64; CAUSES]; 3],
    pending: [AtomicU64; 3],
}

// Relaxed, all of it: counts order nothing; exact readings happen at rest, behind the locks and
// joins of flush and shutdown.
impl SinkLedger {
    pub(crate) fn emitted(&self, units: Units) {
        add(&self.emitted, units);
    }

    pub(crate) fn delivered(&self, units: Units) {
        add(&self.delivered, units);
    }

    pub(crate) fn dropped(&self, cause: Cause, units: Units) {
        for signal in Signal::ALL {
            let count = units.get(signal);
            if count > 0 {
                self.dropped[signal as usize][cause as usize].fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn enqueued(&self, units: Units) {
        add(&self.pending, units);
    }

    pub(crate) fn settled(&self, units: Units) {
        for signal in Signal::ALL {
            self.pending[signal as usize].fetch_sub(units.get(signal), Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self, name: &str) -> ExporterReport {
        ExporterReport {
            name: name.to_owned(),
            counts: Signal::ALL.map(|signal| {
                let n = signal as usize;
                Counts {
                    emitted: self.emitted[n].load(Ordering::Relaxed),
                    delivered: self.delivered[n].load(Ordering::Relaxed),
                    pending: self.pending[n].load(Ordering::Relaxed),
                    dropped: Cause::ALL
                        .into_iter()
                        .map(|cause| {
                            (cause, self.dropped[n][cause as usize].load(Ordering::Relaxed))
                        })
                        .filter(|(_, count)| *count > 0)
                        .collect(),
                }
            }),
        }
    }
}

fn add(counters: &[AtomicU64; 3], units: Units) {
    for signal in Signal::ALL {
        let count = units.get(signal);
        if count > 0 {
            counters[signal as usize].fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// What became of one signal at one exporter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// What the exporter's filter and sampler wanted.
    pub emitted: u64,
    /// What the exporter acknowledged.
    pub delivered: u64,
    /// What is queued or under way.
    pub pending: u64,
    /// What was lost, by cause; causes without a loss are left out.
    pub dropped: Vec<(Cause, u64)>,
}

impl Counts {
    /// What was lost for one cause.
    pub fn dropped_for(&self, cause: Cause) -> u64 {
        self.dropped.iter().find(|(other, _)| *other == cause).map_or(0, |(_, count)| *count)
    }

    /// What was lost for any cause.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }

    /// Is every emitted unit accounted for?
    pub fn is_balanced(&self) -> bool {
        self.emitted == self.delivered + self.pending + self.dropped_total()
    }
}

/// What became of everything at one exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExporterReport {
    name: String,
    counts: [Counts; 3],
}

impl ExporterReport {
    /// The exporter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The counts of one signal.
    pub fn counts(&self, signal: Signal) -> &Counts {
        &self.counts[signal as usize]
    }

    /// Is every emitted unit of every signal accounted for?
    pub fn is_balanced(&self) -> bool {
        self.counts.iter().all(Counts::is_balanced)
    }

    /// What was lost, of all signals and causes.
    pub fn lost(&self) -> u64 {
        self.counts.iter().map(Counts::dropped_total).sum()
    }

    /// What is still under way, of all signals.
    pub fn pending(&self) -> u64 {
        self.counts.iter().map(|counts| counts.pending).sum()
    }
}

/// The ledger of a pipeline at one moment: what flush, shutdown and live reads return.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// One entry per exporter, in the order in which they were added.
    pub exporters: Vec<ExporterReport>,
    /// Records in the threads' buffers that the worker has not read yet.
    pub buffered: u64,
    /// How long call sites have waited, all threads together: for room, or where exporters write
    /// through.
    pub blocked: std::time::Duration,
    /// Values and records that were cut at a limit.
    pub cut: u64,
    /// Span handles that named no live span (stale or forged ids), and were ignored.
    pub stale_spans: u64,
    /// Attributes recorded on spans whose record found no room.
    pub span_updates_lost: u64,
    /// Events of our own transport threads, which go to diagnostics only.
    pub own_records: u64,
    /// Records of the `log` crate that were taken for `tracing`'s own account of the event before
    /// them (its feature `log-always`), and left out.
    pub log_echoes: u64,
    /// Secrets that patterns matched in texts, and that were replaced
    /// ([`redaction`](crate::redaction)).
    pub redacted: u64,
    /// Did the call end at its deadline instead of completely?
    pub timed_out: bool,
}

impl Report {
    /// The report of one exporter.
    pub fn exporter(&self, name: &str) -> Option<&ExporterReport> {
        self.exporters.iter().find(|exporter| exporter.name == name)
    }

    /// Is every emitted unit of every exporter accounted for?
    pub fn is_balanced(&self) -> bool {
        self.exporters.iter().all(ExporterReport::is_balanced)
    }

    /// What was lost, of all exporters, signals and causes.
    pub fn lost(&self) -> u64 {
        self.exporters.iter().map(ExporterReport::lost).sum()
    }

    /// Was everything delivered: nothing lost, nothing pending, no deadline passed?
    pub fn is_complete(&self) -> bool {
        !self.timed_out
            && self.buffered == 0
            && self.exporters.iter().all(|exporter| exporter.lost() + exporter.pending() == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, exporter) in self.exporters.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", exporter.name)?;
            let mut separator = " ";
            for signal in Signal::ALL {
                let counts = exporter.counts(signal);
                if counts.emitted == 0 {
                    continue;
                }
                write!(f, "{separator}{} {}", counts.emitted, signal.as_str())?;
                write!(f, " emitted, {} delivered", counts.delivered)?;
                for (cause, count) in &counts.dropped {
                    write!(f, ", {count} dropped ({})", cause.as_str())?;
                }
                if counts.pending > 0 {
                    write!(f, ", {} pending", counts.pending)?;
                }
                separator = "; ";
            }
            if separator == " " {
                write!(f, " nothing emitted")?;
            }
        }
        if self.buffered > 0 {
            write!(f, "\n{} records in the threads' buffers", self.buffered)?;
        }
        if self.timed_out {
            write!(f, "\nended at its deadline")?;
        }
        if !self.blocked.is_zero() {
            write!(f, "\ncall sites waited {:.1} ms", self.blocked.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_balances_only_when_every_unit_is_accounted_for() {
        let ledger = SinkLedger::default();
        ledger.emitted(Units::of(Signal::Log, 10));
        ledger.enqueued(Units::of(Signal::Log, 6));
        assert!(!ledger.read("file").is_balanced(), "4 of 10 are nowhere");
        ledger.dropped(Cause::QueueFull, Units::of(Signal::Log, 4));
        assert!(ledger.read("file").is_balanced());
        ledger.settled(Units::of(Signal::Log, 6));
        ledger.delivered(Units::of(Signal::Log, 6));
        let report = ledger.read("file");
        assert!(report.is_balanced());
        assert_eq!((report.lost(), report.pending()), (4, 0));
        assert_eq!(report.counts(Signal::Log).dropped_for(Cause::QueueFull), 4);
    }

    #[test]
    fn report_prints_one_line_per_exporter() {
        let ledger = SinkLedger::default();
        ledger.emitted(Units::of(Signal::Span, 2));
        ledger.delivered(Units::of(Signal::Span, 1));
        ledger.dropped(Cause::Rejected, Units::of(Signal::Span, 1));
        let report = Report {
            exporters: vec![ledger.read("otlp"), SinkLedger::default().read("file")],
            ..Report::default()
        };
        assert_eq!(
            report.to_string(),
            "otlp: 2 spans emitted, 1 delivered, 1 dropped (rejected)\nfile: nothing emitted"
        );
    }
}
