//! What a series keeps, and how its value becomes a point.

use std::sync::Arc;

use super::conflict::Kind;
use super::histogram::{Buckets, Histogram};
use super::idle::{Fate, Idle, Sweep, Watch};
use super::instrument::{Counter, CounterF64, Gauge, Rejected, UpDownCounter};
use super::labels::Labels;
use super::snapshot::{Data, Number, Point};

/// One series: its cell, since when it adds up, and under which labels it is exported.
pub(super) struct Series {
    pub(super) start_unix_ns: u64,
    /// Its own labels and those of all series.
    pub(super) exported: Labels,
    cell: Cell,
    idle: Idle,
}

/// A handle of a series, of whichever kind its metric has.
pub(crate) enum Cell {
    Counter(Counter),
    CounterF64(CounterF64),
    UpDownCounter(UpDownCounter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// What the registry needs of a kind of handle.
pub(crate) trait Instrument: Clone {
    const KIND: Kind;

    /// Makes a handle of a series that no registry knows.
    fn detached(buckets: &Buckets, rejected: &Arc<Rejected>) -> Self;

    /// Returns the handle in `cell`, if it is of this kind.
    fn of(cell: &Cell) -> Option<&Self>;

    fn into_cell(self) -> Cell;
}

macro_rules! instrument {
    ($kind:ident, |$buckets:pat_param, $rejected:pat_param| $detached:expr) => {
        impl Instrument for $kind {
            const KIND: Kind = Kind::$kind;

            fn detached($buckets: &Buckets, $rejected: &Arc<Rejected>) -> Self {
                $detached
            }

            fn of(cell: &Cell) -> Option<&Self> {
                if let Cell::$kind(handle) = cell { Some(handle) } else { None }
            }

            fn into_cell(self) -> Cell {
                Cell::$kind(self)
            }
        }
    };
}

instrument!(Counter, |_, _| Counter::detached());
instrument!(CounterF64, |_, rejected| CounterF64::detached(rejected));
instrument!(UpDownCounter, |_, _| UpDownCounter::detached());
instrument!(Gauge, |_, rejected| Gauge::detached(rejected));
instrument!(Histogram, |buckets, rejected| Histogram::detached(buckets, rejected));

impl Series {
    pub(super) fn new(start_unix_ns: u64, exported: Labels, cell: Cell) -> Self {
        Self { start_unix_ns, exported, cell, idle: Idle::default() }
    }

    /// Returns its handle, if it is of this kind.
    pub(super) fn handle<T: Instrument>(&self) -> Option<&T> {
        T::of(&self.cell)
    }

    /// Notes that it was measured, though the value may be the same.
    pub(super) fn touch(&self) {
        self.idle.touch();
    }

    pub(super) fn sweep(&mut self, sweep: Sweep) -> Fate {
        self.idle.sweep(self.cell.watch_mut(), sweep)
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.idle.is_hidden(self.cell.watch())
    }

    /// Tells those who remember its handle that it is gone.
    pub(super) fn set_removed(&self) {
        self.cell.watch().set_removed();
    }

    fn point<V>(&self, value: V) -> Point<V> {
        let (labels, start_unix_ns) = (self.exported.clone(), self.start_unix_ns);
        Point { labels, start_unix_ns, value }
    }
}

/// Reads the series of a metric of `kind`; `None` if none of them has a value.
pub(super) fn points<'a>(kind: Kind, series: impl Iterator<Item = &'a Series>) -> Option<Data> {
    if kind == Kind::Histogram {
        return histogram_points(series);
    }
    let number = |series: &Series| series.cell.number().map(|value| series.point(value));
    let points: Vec<_> = series.filter_map(number).collect();
    (!points.is_empty()).then_some(match kind {
        Kind::Counter | Kind::CounterF64 => Data::Counter { points },
        Kind::UpDownCounter => Data::UpDownCounter { points },
        Kind::Gauge | Kind::Histogram => Data::Gauge { points },
    })
}

/// The series of one metric have the same buckets, explicit or exponential.
fn histogram_points<'a>(series: impl Iterator<Item = &'a Series>) -> Option<Data> {
    let mut bounds = None;
    let (mut explicit, mut exponential) = (Vec::new(), Vec::new());
    for series in series {
        let Cell::Histogram(histogram) = &series.cell else { continue };
        if let Some((its_bounds, value)) = histogram.explicit() {
            bounds.get_or_insert(its_bounds);
            explicit.push(series.point(value));
        }
        exponential.extend(histogram.exponential().map(|value| series.point(value)));
    }
    match bounds {
        Some(bounds) => Some(Data::Histogram { bounds, points: explicit }),
        None if exponential.is_empty() => None,
        None => Some(Data::ExponentialHistogram { points: exponential }),
    }
}

impl Cell {
    fn number(&self) -> Option<Number> {
        match self {
            Self::Counter(counter) => Some(Number::U64(counter.value())),
            Self::CounterF64(counter) => Some(Number::F64(counter.value())),
            Self::UpDownCounter(counter) => Some(Number::I64(counter.value())),
            Self::Gauge(gauge) => gauge.value().map(Number::F64),
            Self::Histogram(_) => None,
        }
    }

    fn watch(&self) -> &dyn Watch {
        match self {
            Self::Counter(handle) => handle,
            Self::CounterF64(handle) => handle,
            Self::UpDownCounter(handle) => handle,
            Self::Gauge(handle) => handle,
            Self::Histogram(handle) => handle,
        }
    }

    fn watch_mut(&mut self) -> &mut dyn Watch {
        match self {
            Self::Counter(handle) => handle,
            Self::CounterF64(handle) => handle,
            Self::UpDownCounter(handle) => handle,
            Self::Gauge(handle) => handle,
            Self::Histogram(handle) => handle,
        }
    }
}
