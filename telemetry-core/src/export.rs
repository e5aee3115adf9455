//! The way out: what an exporter is, and how it says what became of a batch.
//!
//! # Invariants
//!
//! - Each exporter has a thread of its own; its methods are never called concurrently.
//! - Every batch ends in exactly one outcome. An [`Ack`] dropped without one counts as a loss.
//! - Outcomes may come late and from any thread; one that comes after the shutdown's deadline
//!   changes nothing any more, because its batch is already counted.

use crate::batch::Batch;
use crate::ledger::{Cause, SinkLedger, Units};
use crate::metric::Snapshot;
use crate::resource::Resource;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A destination of telemetry.
///
/// ```
/// use telemetry_core::export::{Ack, Exporter, Outcome};
/// use telemetry_core::batch::Batch;
///
/// struct Count(usize);
///
/// impl Exporter for Count {
///     fn name(&self) -> &str {
///         "count"
///     }
///     fn export(&mut self, batch: Batch, ack: Ack) {
///         self.0 += batch.records().count();
///         ack.finish(Outcome::Delivered);
///     }
/// }
/// ```
pub trait Exporter: Send + 'static {
    /// The name in reports and diagnostics, unique in a pipeline: `file`, `otlp`.
    fn name(&self) -> &str;

    /// Which signals it takes; logs and spans unless it says otherwise.
    fn signals(&self) -> Signals {
        Signals::LOGS | Signals::SPANS
    }

    /// Called once, on the exporter's thread, before anything else.
    fn start(&mut self, context: &Context) {
        let _ = context;
    }

    /// Takes a batch. It may return before the work is done, and finish `ack` later.
    ///
    /// A panic is caught: the batch is lost and counted, and the exporter rests for a while.
    fn export(&mut self, batch: Batch, ack: Ack);

    /// Takes a reading of all metrics. Called only if [`Exporter::signals`] has metrics.
    fn metrics(&mut self, snapshot: &Arc<Snapshot>, ack: Ack) {
        let _ = snapshot;
        ack.finish(Outcome::Rejected(Cause::Rejected));
    }

    /// Opens its files anew, if it has any: they may have been moved away. Called after SIGHUP, if
    /// the program wants that.
    fn reopen(&mut self) {}

    /// Brings what it holds to its destination, as far as possible before `deadline`.
    fn flush(&mut self, deadline: Instant) {
        let _ = deadline;
    }

    /// Called once, last; nothing is exported after it.
    fn shutdown(&mut self, deadline: Instant) {
        let _ = deadline;
    }
}

/// What an exporter may want to know of its pipeline.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// Who tells.
    pub resource: Arc<Resource>,
}

impl Context {
    /// A context for tests of an exporter.
    pub fn new(resource: Resource) -> Self {
        Self { resource: Arc::new(resource) }
    }
}

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signals(u8);

impl Signals {
    /// None.
    pub const NONE: Self = Self(0);
    /// Log events.
    pub const LOGS: Self = Self(1);
    /// Finished spans.
    pub const SPANS: Self = Self(2);
    /// Metric snapshots.
    pub const METRICS: Self = Self(4);
    /// All.
    pub const ALL: Self = Self(7);

    /// Are all of `other` in the set?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set with `other` if it is wanted, else without it.
    #[must_use]
    pub const fn set(self, other: Self, is_wanted: bool) -> Self {
        if is_wanted { Self(self.0 | other.0) } else { self.without(other) }
    }

    /// The set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Signals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What became of a batch or snapshot.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The destination has all of it.
    Delivered,
    /// The destination has all but these, which are lost.
    Partial {
        /// What is lost; what exceeds the batch is ignored.
        lost: Units,
        /// Why.
        cause: Cause,
    },
    /// All of it is lost.
    Rejected(Cause),
    /// The exporter wants it again after a while; it stays in the queue.
    ///
    /// Ends as [`Cause::RetriesExhausted`] when the batch has been in the queue for more than
    /// five minutes.
    RetryAfter(Duration),
}

/// The duty to say what became of a batch or snapshot.
#[must_use = "an Ack that is dropped counts its batch as lost"]
pub struct Ack {
    delivery: Arc<Delivery>,
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").field("units", &self.delivery.units).finish_non_exhaustive()
    }
}

impl Ack {
    pub(crate) fn new(delivery: Arc<Delivery>) -> Self {
        Self { delivery }
    }

    /// What the ack is for.
    pub fn units(&self) -> Units {
        self.delivery.units
    }

    /// Says what became of it.
    pub fn finish(self, outcome: Outcome) {
        self.delivery.finish(outcome);
    }

    /// An ack outside of a pipeline, whose outcome the test receives.
    pub fn for_tests(units: Units, outcome: impl Fn(Outcome) + Send + Sync + 'static) -> Self {
        Self::new(Arc::new(Delivery::new(units, Box::new(outcome))))
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        let cause =
            if std::thread::panicking() { Cause::ExporterPanicked } else { Cause::AckDropped };
        // Nothing happens when the outcome is known already.
        self.delivery.finish(Outcome::Rejected(cause));
    }
}

/// One batch on its way through one exporter.
pub(crate) struct Delivery {
    pub(crate) units: Units,
    state: AtomicU8,
    settle: Box<dyn Fn(Outcome) + Send + Sync>,
}

const OPEN: u8 = 0;
const SETTLED: u8 = 1;

impl Delivery {
    pub(crate) fn new(units: Units, settle: Box<dyn Fn(Outcome) + Send + Sync>) -> Self {
        Self { units, state: AtomicU8::new(OPEN), settle }
    }

    /// Settles it, unless it is settled already.
    pub(crate) fn finish(&self, outcome: Outcome) {
        // AcqRel: whoever settles sees all that the exporter did before, and only one settles.
        if self.state.compare_exchange(OPEN, SETTLED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            (self.settle)(outcome);
        }
    }
}

impl SinkLedger {
    /// Counts an outcome that ends a delivery (every one but [`Outcome::RetryAfter`]).
    pub(crate) fn settle(&self, units: Units, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.delivered(units),
            Outcome::Partial { lost, cause } => {
                let lost = lost.min(units);
                self.delivered(units.minus(lost));
                self.dropped(*cause, lost);
            }
            Outcome::Rejected(cause) => self.dropped(*cause, units),
            Outcome::RetryAfter(_) => self.dropped(Cause::RetriesExhausted, units),
        }
        self.settled(units);
    }
}
