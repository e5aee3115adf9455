//! Series that nobody touches any more: when they are left out, and when they are forgotten.
//!
//! # Invariants
//!
//! - A series whose handle somebody holds is never forgotten: it is *hidden*, that is left out of
//!   snapshots, and is back, with its value and its start, in the first snapshot after somebody
//!   measured. So a measurement that meets an expiry is never lost, and costs nothing more.
//! - A series that nobody holds is dropped, with its memory, once its last value could be read by
//!   all who read. Whoever asks for it again gets a new one, with a new start.
//! - What is added up both ways (up-down counters, gauges that were added to) stays while it is not
//!   at 0: a new series would go on from another value.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::instrument::{Counter, CounterF64, Gauge, UpDownCounter, forget};

/// What idleness asks of a handle that the registry keeps.
pub(super) trait Watch {
    /// Returns a number that another measurement changes, unless [`is_touched`](Self::is_touched)
    /// tells of it.
    fn mark(&self) -> u64;

    /// Was there a measurement that the mark does not show, since the last
    /// [`forget_touch`](Self::forget_touch)?
    fn is_touched(&self) -> bool {
        false
    }

    fn forget_touch(&self) {}

    /// Would a new series go on from another value?
    fn is_open(&self) -> bool {
        false
    }

    /// Does nobody else have a handle?
    fn is_only_handle(&mut self) -> bool;

    /// Tells those who remember the handle that its series is gone.
    fn set_removed(&self) {}
}

impl Watch for Counter {
    fn mark(&self) -> u64 {
        self.0.read()
    }

    fn is_only_handle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    fn set_removed(&self) {
        self.0.removed.set();
    }
}

impl Watch for CounterF64 {
    fn mark(&self) -> u64 {
        self.value().to_bits()
    }

    fn is_only_handle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }
}

impl Watch for UpDownCounter {
    fn mark(&self) -> u64 {
        self.0.read()
    }

    fn is_touched(&self) -> bool {
        self.0.is_touched()
    }

    fn forget_touch(&self) {
        self.0.forget_touch();
    }

    fn is_open(&self) -> bool {
        self.0.read() != 0
    }

    fn is_only_handle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }
}

impl Watch for Gauge {
    fn mark(&self) -> u64 {
        self.value().map_or(u64::MAX, f64::to_bits)
    }

    fn is_touched(&self) -> bool {
        self.0.is_touched()
    }

    fn forget_touch(&self) {
        self.0.forget_touch();
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn is_only_handle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    fn set_removed(&self) {
        self.0.removed.set();
    }
}

impl Watch for Histogram {
    fn mark(&self) -> u64 {
        self.count()
    }

    fn is_only_handle(&mut self) -> bool {
        self.is_only_handle()
    }

    fn set_removed(&self) {
        self.removed().set();
    }
}

/// One look at all series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    pub(super) now: Instant,
    pub(super) timeout: Duration,
    /// Since when everybody who reads has read.
    pub(super) read: Instant,
}

/// What a sweep makes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it is.
    Stays,
    /// From now on it is left out; somebody has a handle.
    Hides,
    /// Nobody has a handle: it can be dropped.
    Goes,
}

/// When a series was touched last, as far as sweeps have seen.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Set by who measures through the registry without changing the value.
    touched: AtomicBool,
    mark: u64,
    /// The sweep that saw the last touch; `None` = no sweep has seen the series.
    since: Option<Instant>,
    is_hidden: bool,
}

impl Idle {
    pub(super) fn touch(&self) {
        self.touched.store(true, Relaxed);
    }

    /// Is the series left out, and was it not touched since?
    pub(super) fn is_hidden(&self, cell: &dyn Watch) -> bool {
        self.is_hidden && !self.is_touched(cell)
    }

    fn is_touched(&self, cell: &dyn Watch) -> bool {
        self.touched.load(Relaxed) || cell.is_touched() || cell.mark() != self.mark
    }

    /// Looks at the series; the caller has it for itself, but not its cell.
    pub(super) fn sweep(&mut self, cell: &mut dyn Watch, sweep: Sweep) -> Fate {
        if self.since.is_none() || self.is_touched(cell) || cell.is_open() {
            forget(&self.touched);
            // Before the mark: a touch in between is seen by the next sweep, if not by this one.
            cell.forget_touch();
            let mark = cell.mark();
            *self = Self { mark, since: Some(sweep.now), ..Self::default() };
            return Fate::Stays;
        }
        let since = self.since.unwrap_or(sweep.now);
        if sweep.now.saturating_duration_since(since) < sweep.timeout || sweep.read <= since {
            return Fate::Stays;
        }
        // Nobody can get a handle from the registry meanwhile, and nobody else has one: what was
        // measured is in the cell, and seen.
        if cell.is_only_handle() && !self.is_touched(cell) {
            return Fate::Goes;
        }
        match std::mem::replace(&mut self.is_hidden, true) {
            true => Fate::Stays,
            false => Fate::Hides,
        }
    }
}
