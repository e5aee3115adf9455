//! Holds the metrics of a process: names to series, series to cells.
//!
//! # Invariants
//!
//! - A metric has at most `series_limit` series and the overflow series; a series that exists keeps
//!   its cell, whatever comes later, until it is removed or expires.
//! - The first request for a name decides its kind; a later one for another kind gets a handle
//!   that works and is not exported, and a [`Conflict`]. Nothing here panics.
//! - No lock is held while user code runs, and none is needed to measure with a handle.
//! - In a fork's child no lock is taken, since threads that are not there may hold it: handles work
//!   and are not exported, nothing is read, and settings are refused.
//!
//! # Locks
//!
//! `settings` is taken before `metrics` (names), and that before `Family::state` (one metric), and
//! released before it: a snapshot of one metric never keeps another from being used.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use super::conflict::{Conflict, Conflicts, Reason, cut};
use super::error::{Error, ErrorKind};
use super::family::{Family, read, write};
use super::histogram::{Buckets, Histogram};
use super::idle::Sweep;
use super::instrument::{Counter, CounterF64, Gauge, Rejected, UpDownCounter};
use super::labels::Labels;
use super::lookup::{Borrowed, LabelSet};
use super::name::{is_valid_unit, valid_name};
use super::series::{Instrument, Series};
use super::settings::Settings;
use super::snapshot::Snapshot;
use crate::sync::is_forked;

/// How many series a metric may have, by default, beside its overflow series (OpenTelemetry
/// metrics SDK, cardinality limits).
pub const SERIES_LIMIT: usize = 2000;

/// Most metrics a registry holds: names made from data must not take all memory.
pub const METRICS_MAX: usize = 10_000;

/// Holds metrics, and hands out the handles to measure with. Cloning gives another handle of the
/// same registry.
///
/// ```
/// use telemetry_core::metric::{Data, Registry};
///
/// let registry = Registry::new();
/// registry.describe("queue.length", "{job}", "Jobs that wait");
/// registry.up_down_counter("queue.length", [("queue", "mail")]).add(3);
///
/// let snapshot = registry.snapshot(1_700_000_000_000_000_000);
/// assert_eq!(snapshot.points(), 1);
/// assert_eq!(&*snapshot.metrics[0].unit, "{job}");
/// assert!(matches!(snapshot.metrics[0].data, Data::UpDownCounter { .. }));
/// ```
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    /// Keyed by the name in lower case: names are case-insensitive.
    metrics: RwLock<HashMap<Box<str>, Arc<Family>>>,
    settings: RwLock<Settings>,
    series_limit: usize,
    clock_unix_ns: fn() -> u64,
    start_unix_ns: u64,
    conflicts: Conflicts,
    rejected: Arc<Rejected>,
    /// Counts removals: who caches handles must forget them when it changes.
    removals: AtomicU64,
    /// Who remembers handles for others.
    caches: Mutex<Vec<Weak<dyn Forget>>>,
}

/// Remembers handles for others, and so would keep their series for ever.
pub(crate) trait Forget: Send + Sync {
    /// Lets go of all handles.
    fn forget(&self);
}

/// Holds one value read elsewhere, for [`Registry::observe`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Observation {
    /// A count that never goes down; a lower value than before changes nothing.
    Counter(u64),
    /// A sum that never goes down; a lower value than before changes nothing.
    CounterF64(f64),
    /// A number of things that come and go.
    UpDownCounter(i64),
    /// A last value.
    Gauge(f64),
}

impl Registry {
    /// Makes a registry with a limit of [`SERIES_LIMIT`] series for each metric.
    pub fn new() -> Self {
        Self::with_series_limit(SERIES_LIMIT)
    }

    /// Makes a registry in which a metric may have `series_limit` series.
    ///
    /// What is measured for further attribute sets goes, together, into the series
    /// `otel.metric.overflow=true` of the metric: nothing is lost but the attributes.
    ///
    /// ```
    /// let registry = telemetry_core::metric::Registry::with_series_limit(2);
    /// for user in ["ann", "bob", "cat", "dan"] {
    ///     registry.counter("logins", [("user", user)]).add(1);
    /// }
    /// assert_eq!(registry.counter("logins", [("otel.metric.overflow", true)]).value(), 2);
    /// ```
    pub fn with_series_limit(series_limit: usize) -> Self {
        Self::with_clock(series_limit, system_unix_ns)
    }

    /// Makes a registry that dates its series by `clock_unix_ns`, in nanoseconds since the Unix
    /// epoch: for tests.
    pub fn with_clock(series_limit: usize, clock_unix_ns: fn() -> u64) -> Self {
        Self(Arc::new(Inner {
            metrics: RwLock::default(),
            settings: RwLock::default(),
            series_limit,
            clock_unix_ns,
            start_unix_ns: clock_unix_ns(),
            conflicts: Conflicts::default(),
            rejected: Arc::default(),
            removals: AtomicU64::new(0),
            caches: Mutex::default(),
        }))
    }

    /// Sets buckets, labels and the idle timeout of all metrics, in the place of earlier settings.
    ///
    /// What was measured before stays: series that there are keep their buckets, and get the labels
    /// (a [`Conflict`] tells of those that cannot).
    ///
    /// # Errors
    ///
    /// A pattern can match no name, bounds cannot divide values, or the timeout is too short;
    /// nothing is changed then.
    pub fn configure(&self, settings: Settings) -> Result<(), Error> {
        settings.check()?;
        if is_forked() {
            return Err(forked("metrics"));
        }
        let mut held = write(&self.0.settings);
        *held = settings;
        held.redact_again();
        for family in self.families() {
            for reason in family.configure(&held) {
                self.0.conflicts.note(&family.name, reason);
            }
        }
        Ok(())
    }

    /// Gives `name` a UCUM unit (`s`, `By`, `1`, `{request}`) and a description, before or after
    /// its first use. What is empty is left open; what is given first stands, and another text is
    /// a conflict.
    pub fn describe(&self, name: &str, unit: &str, description: &str) {
        let Some(family) = self.family(name) else { return };
        let unit = if is_valid_unit(unit) {
            unit
        } else {
            self.0.conflicts.note(name, Reason::Unit { unit: cut(unit).into() });
            ""
        };
        let mut state = write(&family.state);
        let fits = [fill(&mut state.unit, unit), fill(&mut state.description, description)];
        drop(state);
        if fits.contains(&false) {
            self.0.conflicts.note(name, Reason::Description);
        }
    }

    /// Sets the buckets of the histogram `name`, whatever the [`Settings`] say of it; call it
    /// before the first use of the name.
    ///
    /// The default is [`SECONDS_BUCKETS`](super::SECONDS_BUCKETS) if by the time of the first use
    /// the unit is described as `s`, or is not described and the name ends with `_seconds` or
    /// `.seconds`; otherwise [`DEFAULT_BUCKETS`](super::DEFAULT_BUCKETS).
    ///
    /// # Errors
    ///
    /// If there are no bounds, too many, or they are not strictly ascending or not finite
    /// ([`Error::is_invalid_buckets`]), or if the metric already has series or another kind
    /// ([`Error::is_in_use`]): buckets cannot be redistributed.
    pub fn set_buckets(&self, name: &str, buckets: impl Into<Buckets>) -> Result<(), Error> {
        let buckets = buckets.into();
        buckets.check(name)?;
        if is_forked() {
            return Err(forked(name));
        }
        let full = || Error::new(ErrorKind::Full, name, "is one metric too many for its registry");
        let family = self.family(name).ok_or_else(full)?;
        let mut state = write(&family.state);
        match state.kind {
            Some(_) if state.taken.as_ref() == Some(&buckets) => return Ok(()),
            Some(kind) => {
                let text = format!("is already in use as a {kind}: set its buckets before");
                return Err(Error::new(ErrorKind::InUse, name, text));
            }
            None => state.given = Some(buckets),
        }
        Ok(())
    }

    /// Returns the counter `name` with `labels`, making it if needed; exported from now on, as 0
    /// until something is added.
    ///
    /// Keep the handle where the code is hot: finding it takes a lock and two look-ups.
    pub fn counter(&self, name: &str, labels: impl Into<Labels>) -> Counter {
        self.instrument(name, labels.into())
    }

    /// Returns the counter of floats `name` with `labels`; see [`counter`](Self::counter).
    pub fn counter_f64(&self, name: &str, labels: impl Into<Labels>) -> CounterF64 {
        self.instrument(name, labels.into())
    }

    /// Returns the up-down counter `name` with `labels`; see [`counter`](Self::counter).
    pub fn up_down_counter(&self, name: &str, labels: impl Into<Labels>) -> UpDownCounter {
        self.instrument(name, labels.into())
    }

    /// Returns the gauge `name` with `labels`, making it if needed; exported once it is set.
    pub fn gauge(&self, name: &str, labels: impl Into<Labels>) -> Gauge {
        self.instrument(name, labels.into())
    }

    /// Returns the histogram `name` with `labels`; see [`counter`](Self::counter).
    pub fn histogram(&self, name: &str, labels: impl Into<Labels>) -> Histogram {
        self.instrument(name, labels.into())
    }

    /// Sets the series `name` with `labels` to a value read elsewhere, making it if needed.
    ///
    /// The asynchronous instruments of OpenTelemetry: a series never shows before it has its
    /// value (so no snapshot sees a false 0), and it starts with the registry, so that a counter
    /// that was [removed](Self::remove) and came back is not taken for a reset. Beyond the series
    /// limit the overflow series keeps the last value, or the largest of a counter.
    ///
    /// ```
    /// use telemetry_core::metric::{Labels, Observation, Registry};
    ///
    /// let registry = Registry::new();
    /// registry.observe("disk.free", &Labels::new(), Observation::Gauge(0.7));
    /// assert!(registry.remove("disk.free", &Labels::new()), "not readable any more: absent");
    /// assert_eq!(registry.snapshot(0).points(), 0);
    /// ```
    pub fn observe(&self, name: &str, labels: &Labels, observation: Observation) {
        match observation {
            Observation::CounterF64(v) | Observation::Gauge(v) if !v.is_finite() => {
                self.0.rejected.add(1);
            }
            Observation::Counter(v) => self.observed(name, labels, |c: &Counter| c.absolute(v)),
            Observation::CounterF64(v) => {
                self.observed(name, labels, |c: &CounterF64| c.absolute(v));
            }
            Observation::UpDownCounter(v) => {
                self.observed(name, labels, |c: &UpDownCounter| c.set(v));
            }
            Observation::Gauge(v) => self.observed(name, labels, |g: &Gauge| g.set(v)),
        }
    }

    /// Stops exporting the series `name` with `labels`; returns whether there was one.
    ///
    /// For what is no longer there: missing data is absent, never 0 or the last value. Handles of
    /// the series go on working unseen; a new handle begins a new series, with a new start.
    pub fn remove(&self, name: &str, labels: &Labels) -> bool {
        let Some(family) = self.existing(&valid_name(name)) else { return false };
        let removed = family.remove(labels, &read(&self.0.settings));
        if removed {
            // Relaxed: a cache that reads the old number keeps a handle a moment longer, as if
            // its measurement had been made before the removal.
            self.0.removals.fetch_add(1, Relaxed);
        }
        removed
    }

    /// Looks for series that nobody has measured for as long as the
    /// [`idle_timeout`](Settings::idle_timeout) says, and returns how many it dropped. The worker
    /// of a pipeline calls it; without a timeout it does nothing.
    ///
    /// `now` is the time of the call, and `read` the time since when everybody who reads snapshots
    /// has taken one: the last value of a series is never dropped before it could be exported.
    ///
    /// - While somebody has a handle, an idle series is only *left out* of snapshots. The first
    ///   measurement brings it back, with its value and its start: nothing is lost, whenever it is
    ///   made. The macros [`counter!`](crate::counter), [`gauge!`](crate::gauge) and
    ///   [`histogram!`](crate::histogram) with labels that are literals have handles.
    /// - When nobody has one, it is *dropped*, and its memory is free. Who asks for it again gets a
    ///   new series, which begins at 0 with a new start.
    /// - An up-down counter, or a gauge that was ever added to, is idle at 0 only.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use telemetry_core::metric::{Registry, Settings};
    ///
    /// let registry = Registry::new();
    /// registry.configure(Settings::new().idle_timeout(Duration::from_secs(60)))?;
    /// registry.counter("logins", [("user", "ann")]).add(1);
    /// let begin = Instant::now();
    /// registry.expire(begin, begin);
    /// let later = begin + Duration::from_secs(60);
    /// assert_eq!(registry.expire(later, begin), 0, "nobody has read it");
    /// assert_eq!(registry.expire(later, later), 1);
    /// # Ok::<(), telemetry_core::metric::Error>(())
    /// ```
    pub fn expire(&self, now: Instant, read: Instant) -> usize {
        let Some(timeout) = self.idle_timeout() else { return 0 };
        let sweep = Sweep { now, timeout, read };
        let (mut hidden, mut dropped) = (0, 0);
        for family in self.families() {
            let swept = family.sweep(sweep);
            (hidden, dropped) = (hidden + swept.hidden, dropped + swept.dropped);
        }
        if hidden > 0 {
            // Handles in caches are nobody's: the next sweep finds out who else has one.
            self.forget_handles();
        }
        dropped
    }

    /// Returns how long a series may be idle; `None` = for ever.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        if is_forked() {
            return None;
        }
        read(&self.0.settings).idle_timeout
    }

    /// Reads all values. `unix_ns` is the time the snapshot is dated with.
    ///
    /// Has no side effect: several readers do not disturb each other.
    pub fn snapshot(&self, unix_ns: u64) -> Snapshot {
        let mut families = self.families();
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let metrics = families.iter().filter_map(|family| family.read()).collect();
        Snapshot { start_unix_ns: self.0.start_unix_ns, unix_ns, metrics }
    }

    /// Returns when the registry was made, in nanoseconds since the Unix epoch.
    pub fn start_unix_ns(&self) -> u64 {
        self.0.start_unix_ns
    }

    /// Returns the requests that contradicted earlier ones, or the rules: at most
    /// [`CONFLICTS_MAX`](super::CONFLICTS_MAX) different ones.
    pub fn conflicts(&self) -> Vec<Conflict> {
        if is_forked() { Vec::new() } else { self.0.conflicts.list() }
    }

    /// Returns how many requests were in conflict, those that are not listed included.
    pub fn conflicts_total(&self) -> u64 {
        if is_forked() { 0 } else { self.0.conflicts.total() }
    }

    /// Returns how many measurements were refused because they were not finite (or negative, for
    /// a counter of floats).
    pub fn rejected(&self) -> u64 {
        self.0.rejected.count()
    }

    /// Returns whether `other` is a handle of the same registry.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Redacts the labels of the series that were made under other names.
    ///
    /// Where that makes two sets equal, the later one is told apart by a number, so that the
    /// handles of both go on counting.
    pub(crate) fn redact_again(&self) {
        let mut settings = write(&self.0.settings);
        settings.redact_again();
        for family in self.families() {
            write(&family.state).redact_again(&settings);
        }
        // Caches found their handles by the labels before.
        self.0.removals.fetch_add(1, Relaxed);
    }

    /// Returns a number that changes whenever a series is removed.
    pub(crate) fn removals(&self) -> u64 {
        self.0.removals.load(Relaxed)
    }

    /// Makes `cache` let go of its handles when series are idle.
    pub(crate) fn add_cache(&self, cache: Weak<dyn Forget>) {
        if is_forked() {
            return;
        }
        let mut caches = self.0.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(cache);
    }

    fn forget_handles(&self) {
        let caches = self.0.caches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        caches.iter().filter_map(Weak::upgrade).for_each(|cache| cache.forget());
    }

    fn families(&self) -> Vec<Arc<Family>> {
        if is_forked() {
            return Vec::new();
        }
        read(&self.0.metrics).values().map(Arc::clone).collect()
    }

    fn observed<T: Instrument>(&self, name: &str, labels: &Labels, set: impl Fn(&T)) {
        if let Some(family) = self.family(name) {
            let start = Some(self.0.start_unix_ns);
            self.with_series(&family, name, labels.clone(), start, |handle, series| {
                set(handle);
                series.inspect(|series| series.touch());
            });
        }
    }

    pub(crate) fn instrument<T: Instrument>(&self, name: &str, labels: Labels) -> T {
        match self.family(name) {
            Some(family) => {
                self.with_series(&family, name, labels, None, |handle: &T, _| handle.clone())
            }
            None => self.detached(),
        }
    }

    /// Makes a handle that nothing is exported of.
    fn detached<T: Instrument>(&self) -> T {
        T::detached(&Buckets::suiting("", ""), &self.0.rejected)
    }

    /// Measures with the series of `labels`, which are those of a call site that knows its metric.
    #[inline]
    pub(crate) fn measure<T: Instrument, const N: usize>(
        &self,
        family: &Family,
        labels: &Borrowed<'_, N>,
        measure: impl Fn(&T),
    ) {
        {
            let state = read(&family.state);
            let series = state.find(labels, self.0.series_limit);
            if let Some(handle) = series.and_then(Series::handle) {
                return measure(handle);
            }
        }
        self.measure_making(family, labels.to_labels(), &measure);
    }

    #[cold]
    #[inline(never)]
    fn measure_making<T: Instrument>(&self, family: &Family, labels: Labels, measure: &dyn Fn(&T)) {
        let name = Arc::clone(&family.name);
        self.with_series(family, &name, labels, None, |handle, _| measure(handle));
    }

    /// Finds or makes a series, and does something with its handle before anyone else sees it.
    /// Without a series, because the metric has another kind, there is a handle all the same.
    fn with_series<T: Instrument, R>(
        &self,
        family: &Family,
        asked_name: &str,
        labels: Labels,
        start_unix_ns: Option<u64>,
        act: impl FnOnce(&T, Option<&Series>) -> R,
    ) -> R {
        let limit = self.0.series_limit;
        let state = read(&family.state);
        if let Some(series) = state.find(&labels, limit)
            && let Some(handle) = series.handle()
        {
            return act(handle, Some(series));
        }
        drop(state);
        let settings = read(&self.0.settings);
        let mut state = write(&family.state);
        let registered = *state.kind.get_or_insert(T::KIND);
        if registered != T::KIND {
            drop(state);
            self.0.conflicts.note(asked_name, Reason::Kind { registered, asked: T::KIND });
            return act(&self.detached(), None);
        }
        let overflowed = state.has_overflow();
        let series = state.find_or_insert(&labels, (&settings, limit), |state| {
            let buckets = state.take_buckets(&family.name, &settings);
            let start_unix_ns = start_unix_ns.unwrap_or_else(self.0.clock_unix_ns);
            (T::detached(&buckets, &self.0.rejected), start_unix_ns)
        });
        let result = match series.handle() {
            Some(handle) => act(handle, Some(series)),
            None => act(&self.detached(), None),
        };
        if state.has_overflow() && !overflowed {
            self.0.conflicts.note(&family.name, Reason::Overflow { limit });
        }
        result
    }

    /// Returns the metric of `name`, making it if there is room; none in a fork's child.
    pub(crate) fn family(&self, name: &str) -> Option<Arc<Family>> {
        if is_forked() {
            return None;
        }
        let used = valid_name(name);
        let family = self.existing(&used).or_else(|| self.make(&used));
        let Some(family) = family else {
            self.0.conflicts.note(name, Reason::TooManyMetrics);
            return None;
        };
        if *used != *name {
            self.0.conflicts.note(name, Reason::Name { used: Arc::clone(&family.name) });
        } else if *family.name != *name {
            self.0.conflicts.note(name, Reason::Case { used: Arc::clone(&family.name) });
        }
        Some(family)
    }

    fn existing(&self, name: &str) -> Option<Arc<Family>> {
        if is_forked() {
            return None;
        }
        let metrics = read(&self.0.metrics);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            metrics.get(&*name.to_ascii_lowercase()).cloned()
        } else {
            metrics.get(name).cloned()
        }
    }

    fn make(&self, name: &str) -> Option<Arc<Family>> {
        let mut metrics = write(&self.0.metrics);
        let key = name.to_ascii_lowercase().into_boxed_str();
        if metrics.len() >= METRICS_MAX && !metrics.contains_key(&key) {
            return None;
        }
        let make = || Arc::new(Family::new(name));
        Some(Arc::clone(metrics.entry(key).or_insert_with(make)))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("metrics", &self.families().len())
            .field("series_limit", &self.0.series_limit)
            .field("conflicts", &self.conflicts_total())
            .field("rejected", &self.rejected())
            .finish_non_exhaustive()
    }
}

/// The error of a fork's child.
fn forked(name: &str) -> Error {
    Error::new(ErrorKind::Forked, name, "cannot be set in a fork's child, which measures nothing")
}

/// Sets `text` to `given` if it is still open; returns whether the two agree then.
fn fill(text: &mut Arc<str>, given: &str) -> bool {
    if text.is_empty() {
        *text = given.into();
    }
    given.is_empty() || **text == *given
}

#[expect(clippy::disallowed_methods, reason = "the only clock read: when a series began")]
fn system_unix_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
