//! One metric of a registry: what is known of its name, and its series.
//!
//! # Invariants
//!
//! - A measurement is in exactly one series: its own, or the overflow series.
//! - No two series are exported under the same labels.
//! - What a sweep drops, nobody has a handle of: handles are given out under the same lock.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::conflict::{Kind, Reason};
use super::histogram::Buckets;
use super::idle::{Fate, Sweep};
use super::labels::Labels;
use super::lookup::{LabelSet, are_equal};
use super::series::{Instrument, Series, points};
use super::settings::Settings;
use super::snapshot::Metric;
use super::table::Table;

/// One metric.
pub(crate) struct Family {
    pub(super) name: Arc<str>,
    pub(super) state: RwLock<State>,
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) kind: Option<Kind>,
    pub(super) description: Arc<str>,
    pub(super) unit: Arc<str>,
    /// The buckets that were set for this very name.
    pub(super) given: Option<Buckets>,
    /// The buckets of the series that there are, or were.
    pub(super) taken: Option<Buckets>,
    /// By their own labels.
    series: Table,
    overflow: Option<Series>,
    /// Did a series begin with labels that all series have since?
    has_early_series: bool,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Swept {
    pub(super) hidden: usize,
    pub(super) dropped: usize,
}

impl Family {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), state: RwLock::default() }
    }

    pub(super) fn read(&self) -> Option<Metric> {
        let state = read(&self.state);
        let mut series: Vec<_> =
            state.series.iter().filter(|(_, series)| !series.is_hidden()).collect();
        series.sort_unstable_by_key(|(labels, _)| *labels);
        let overflow = state.overflow.iter().filter(|series| !series.is_hidden());
        Some(Metric {
            name: Arc::clone(&self.name),
            description: Arc::clone(&state.description),
            unit: Arc::clone(&state.unit),
            data: points(
                state.kind?,
                series.into_iter().map(|(_, series)| series).chain(overflow),
            )?,
        })
    }

    /// Stops exporting a series; returns whether there was one.
    pub(super) fn remove(&self, labels: &Labels, settings: &Settings) -> bool {
        let mut state = write(&self.state);
        let Some(own) = state.spelling(labels, settings) else { return false };
        let removed = state.series.remove(&own);
        removed.inspect(Series::set_removed).is_some()
    }

    /// Looks for series that are idle.
    pub(super) fn sweep(&self, sweep: Sweep) -> Swept {
        let mut swept = Swept::default();
        let mut goes = |series: &mut Series| {
            let fate = series.sweep(sweep);
            swept.hidden += usize::from(fate == Fate::Hides);
            swept.dropped += usize::from(fate == Fate::Goes);
            fate == Fate::Goes
        };
        let mut state = write(&self.state);
        state.series.retain(|series| !goes(series));
        state.overflow.take_if(goes);
        swept
    }

    /// Exports all series under the labels of new settings; returns what is at odds with them.
    pub(super) fn configure(&self, settings: &Settings) -> Vec<Reason> {
        let mut state = write(&self.state);
        let mut conflicts = Vec::new();
        if state.series.len() == 0 && state.overflow.is_none() {
            state.taken = None;
        }
        if let (Some(taken), None) = (&state.taken, &state.given)
            && state.kind == Some(Kind::Histogram)
            && settings.buckets(&self.name).is_some_and(|wanted| wanted != taken)
        {
            conflicts.push(Reason::Buckets);
        }
        if !state.relabel(settings) {
            conflicts.push(Reason::Label);
        }
        conflicts
    }
}

impl State {
    /// Finds the series that measurements with `labels` go into.
    #[inline]
    pub(super) fn find(&self, labels: &impl LabelSet, limit: usize) -> Option<&Series> {
        let own = self.series.get(labels);
        own.or_else(|| self.overflow.as_ref().filter(|_| self.overflows(labels, limit)))
    }

    pub(super) fn has_overflow(&self) -> bool {
        self.overflow.is_some()
    }

    /// Finds the series that would be exported as one with `labels`, and returns the labels it is
    /// kept under.
    fn spelling(&self, labels: &Labels, settings: &Settings) -> Option<Labels> {
        let own = settings.own(labels);
        let known = [labels, &own].into_iter().find(|labels| self.series.get(*labels).is_some());
        if known.is_some() || !self.has_early_series {
            return known.cloned();
        }
        let exported = settings.exported(labels);
        let early = self.series.iter().find(|(_, series)| series.exported == exported);
        early.map(|(labels, _)| labels.clone())
    }

    /// Finds the series that measurements with `labels` go into, or makes it with a handle of
    /// `make`.
    pub(super) fn find_or_insert<T: Instrument>(
        &mut self,
        labels: &Labels,
        (settings, limit): (&Settings, usize),
        make: impl FnOnce(&mut Self) -> (T, u64),
    ) -> &Series {
        let own = self.spelling(labels, settings).unwrap_or_else(|| settings.own(labels));
        if self.find(&own, limit).is_none() {
            let (handle, start_unix_ns) = make(self);
            let overflows = self.overflows(&own, limit);
            let own = if overflows { overflow_labels() } else { own.clone() };
            let exported = settings.exported(&own);
            let series = Series::new(start_unix_ns, exported, handle.into_cell());
            match overflows {
                true => drop(self.overflow.insert(series)),
                false => self.series.insert(own, series),
            }
        }
        self.find(&own, limit).expect("it was there, or was made above")
    }

    /// Returns whether a set without series has none to come: no room, or it names the overflow
    /// series itself.
    pub(super) fn overflows(&self, labels: &impl LabelSet, limit: usize) -> bool {
        self.series.len() >= limit || names_overflow(labels)
    }

    /// Returns the buckets of a series that is made now.
    pub(super) fn take_buckets(&mut self, name: &str, settings: &Settings) -> Buckets {
        let given = self.given.as_ref().or_else(|| settings.buckets(name)).cloned();
        let suiting = || Buckets::suiting(name, &self.unit);
        self.taken.get_or_insert_with(|| given.unwrap_or_else(suiting)).clone()
    }

    pub(super) fn redact_again(&mut self, settings: &Settings) {
        let labels = self.series.iter().map(|(labels, _)| labels);
        let changed: Vec<_> =
            labels.filter_map(|labels| Some((labels.clone(), labels.redacted_again()?))).collect();
        for (labels, clean) in changed {
            let Some(mut series) = self.series.remove(&labels) else { continue };
            let numbered = (2..).map(|n: i64| clean.clone().with("redacted", n));
            let mut free = std::iter::once(clean.clone()).chain(numbered);
            if let Some(free) = free.find(|labels| self.series.get(labels).is_none()) {
                series.exported = settings.exported(&free);
                self.series.insert(free, series);
            }
        }
    }

    /// Returns whether all series could have the labels.
    fn relabel(&mut self, settings: &Settings) -> bool {
        // Those come first that have all the labels of themselves.
        let (whole, mut others): (Vec<_>, Vec<_>) = self
            .series
            .iter_mut()
            .map(|(own, series)| (own, settings.exported(own), series))
            .partition(|(own, exported, _)| *own == exported);
        others.sort_unstable_by_key(|(own, ..)| *own);
        self.has_early_series =
            whole.iter().chain(&others).any(|(own, ..)| settings.own(own) != **own);
        let mut taken: BTreeSet<Labels> = BTreeSet::new();
        let mut all = true;
        for (own, exported, series) in whole.into_iter().chain(others) {
            let is_free = taken.insert(exported.clone());
            series.exported = if is_free { exported } else { own.clone() };
            all &= is_free;
        }
        if let Some(series) = &mut self.overflow {
            series.exported = settings.exported(&overflow_labels());
        }
        all
    }
}

fn names_overflow(labels: &impl LabelSet) -> bool {
    labels.len() == 1 && are_equal(labels, &overflow_labels())
}

/// The attributes of the series that stands for all beyond the limit.
fn overflow_labels() -> Labels {
    Labels::new().with("otel.metric.overflow", true)
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // A panic under a lock is only possible out of memory; the maps are whole even then.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
