//! What a series keeps, and how its value becomes a point.

use std::sync::Arc;

use super::conflict::Kind;
use super::histogram::Histogram;
use super::instrument::{Counter, CounterF64, Gauge, Rejected, UpDownCounter};
use super::labels::Labels;
use super::snapshot::{Data, Number, Point};

/// One series: since when it adds up, and its cell.
pub(super) struct Series {
    pub(super) start_unix_ns: u64,
    pub(super) cell: Cell,
}

/// A handle of a series, of whichever kind its metric has.
pub(super) enum Cell {
    Counter(Counter),
    CounterF64(CounterF64),
    UpDownCounter(UpDownCounter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// What the registry needs of a kind of handle.
pub(super) trait Instrument: Clone {
    const KIND: Kind;

    /// Makes a handle of a series that no registry knows.
    fn detached(bounds: &Arc<[f64]>, rejected: &Arc<Rejected>) -> Self;

    /// Returns the handle in `cell`, if it is of this kind.
    fn of(cell: &Cell) -> Option<Self>;

    fn cell(&self) -> Cell;
}

macro_rules! instrument {
    ($kind:ident, |$bounds:pat_param, $rejected:pat_param| $detached:expr) => {
        impl Instrument for $kind {
            const KIND: Kind = Kind::$kind;

            fn detached($bounds: &Arc<[f64]>, $rejected: &Arc<Rejected>) -> Self {
                $detached
            }

            fn of(cell: &Cell) -> Option<Self> {
                if let Cell::$kind(handle) = cell { Some(handle.clone()) } else { None }
            }

            fn cell(&self) -> Cell {
                Cell::$kind(self.clone())
            }
        }
    };
}

instrument!(Counter, |_, _| Counter::detached());
instrument!(CounterF64, |_, rejected| CounterF64::detached(rejected));
instrument!(UpDownCounter, |_, _| UpDownCounter::detached());
instrument!(Gauge, |_, rejected| Gauge::detached(rejected));
instrument!(Histogram, |bounds, rejected| Histogram::detached(Arc::clone(bounds), rejected));

/// Reads the series of a metric of `kind`; `None` if none of them has a value.
pub(super) fn points<'a>(
    kind: Kind,
    series: impl Iterator<Item = (Labels, &'a Series)>,
) -> Option<Data> {
    if kind == Kind::Histogram {
        return histogram_points(series);
    }
    let points: Vec<_> = series
        .filter_map(|(labels, series)| {
            let start_unix_ns = series.start_unix_ns;
            series.cell.number().map(|value| Point { labels, start_unix_ns, value })
        })
        .collect();
    (!points.is_empty()).then_some(match kind {
        Kind::Counter | Kind::CounterF64 => Data::Counter { points },
        Kind::UpDownCounter => Data::UpDownCounter { points },
        Kind::Gauge | Kind::Histogram => Data::Gauge { points },
    })
}

fn histogram_points<'a>(series: impl Iterator<Item = (Labels, &'a Series)>) -> Option<Data> {
    let mut bounds = None;
    let mut points = Vec::new();
    for (labels, series) in series {
        let Cell::Histogram(histogram) = &series.cell else { continue };
        bounds.get_or_insert_with(|| histogram.shared_bounds());
        let value = histogram.value();
        points.push(Point { labels, start_unix_ns: series.start_unix_ns, value });
    }
    Some(Data::Histogram { bounds: bounds?, points })
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
}
