//! The `metrics` facade over a registry: `counter!`, `gauge!` and `histogram!` of any library.
//!
//! # Invariants
//!
//! - A measurement through a handle costs what our own handle costs, plus one virtual call.
//! - A macro that meets a key again allocates nothing: it finds the handle by the hash that the
//!   key carries. At most [`CACHED_MAX`] keys of a kind are remembered; others are looked up.
//! - A series removed from the registry is not written to by a macro that runs later.
//! - A key with a label that is redacted is not remembered, but looked up each time; so is one that
//!   is met in a scope with labels for measurements.
//! - In a fork's child nothing is looked up, and nothing is measured by handles that are asked for
//!   there: the locks may be held by threads that are not there.
//! - A handle is the series' own cell, so the registry knows who still holds one; those remembered
//!   here keep no idle series.
//!
//! # Recorders of a thread
//!
//! `metrics` can have another recorder for a thread (`metrics::with_local_recorder`), for tests. A
//! [`Recorder`] over a registry of its own is one: all that the thread measures, through `metrics`
//! and through our macros ([`counter!`](crate::counter) and its like), goes into that registry.
//! One that passes on to ours (a layer of `metrics-util`) gets what our macros measure as it gets
//! what `metrics`' do. Beside another library's recorder our macros go on to measure for the
//! process, and offer each measurement to that recorder as well; so they do where `metrics` has no
//! recorder of ours at all.
//!
//! # Other versions of `metrics`
//!
//! Each incompatible version (0.23, 0.24) has a recorder of its own, and knows nothing of the
//! others: what a library measures through another version than 0.24 does not arrive here, and
//! nothing in the process could tell. `telemetry doctor` finds such versions in a `Cargo.lock`.
//!
//! # Units
//!
//! | `metrics` | UCUM | | `metrics` | UCUM |
//! |---|---|---|---|---|
//! | `Seconds` | `s` | | `Bytes` | `By` |
//! | `Milliseconds` | `ms` | | `Kibibytes` … `Tebibytes` | `KiBy` … `TiBy` |
//! | `Microseconds` | `us` | | `BitsPerSecond` | `bit/s` |
//! | `Nanoseconds` | `ns` | | `KilobitsPerSecond` … `TerabitsPerSecond` | `kbit/s` … `Tbit/s` |
//! | `Percent` | `%` | | `Count`, `CountPerSecond` | `{count}`, `{count}/s` |
//!
//! `Count` is not `1`: that means a ratio, and Prometheus would append `_ratio` to the name.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, SharedString, Unit};

use crate::metric::{
    self, Distribution, Explicit, Exponential, Forget, Labels, Last, Registry, Sum, Value,
};
use crate::{context, router};

/// Most keys of a kind whose handles are remembered.
pub const CACHED_MAX: usize = 8192;

/// Implements [`metrics::Recorder`] over a [`Registry`].
///
/// ```
/// use telemetry_core::{bridge::metrics::Recorder, metric::Registry};
///
/// let registry = Registry::new();
/// metrics::with_local_recorder(&Recorder::new(registry.clone()), || {
///     metrics::counter!("jobs.done", "queue" => "mail").increment(2);
/// });
/// assert_eq!(registry.counter("jobs.done", [("queue", "mail")]).value(), 2);
/// ```
pub struct Recorder {
    registry: Registry,
    caches: Arc<Caches>,
    is_installed: bool,
}

#[derive(Default)]
struct Caches {
    counters: Cache<metrics::Counter>,
    gauges: Cache<metrics::Gauge>,
    histograms: Cache<metrics::Histogram>,
}

impl Forget for Caches {
    fn forget(&self) {
        self.counters.forget();
        self.gauges.forget();
        self.histograms.forget();
    }
}

impl Recorder {
    /// Makes a recorder that writes into `registry`.
    pub fn new(registry: Registry) -> Self {
        let caches = Arc::<Caches>::default();
        let weak: Weak<Caches> = Arc::downgrade(&caches);
        registry.add_cache(weak);
        Self { registry, caches, is_installed: false }
    }

    /// Makes this the recorder of the process, for good: the facade has no way back.
    ///
    /// Doing so again with the same registry changes nothing, so that a pipeline can be set up
    /// again after it was shut down.
    ///
    /// # Errors
    ///
    /// If another recorder is installed: of another crate ([`InstallError::is_foreign`]), or ours
    /// with another registry.
    ///
    /// ```standalone_crate
    /// use telemetry_core::{bridge::metrics::Recorder, metric::{self, Registry}};
    ///
    /// Recorder::new(metric::global().clone()).install()?;
    /// metrics::counter!("jobs.done").increment(1);
    /// assert_eq!(metric::global().counter("jobs.done", ()).value(), 1);
    ///
    /// Recorder::new(metric::global().clone()).install().expect("the same registry again");
    /// let other = Recorder::new(Registry::new()).install().expect_err("another registry");
    /// assert!(!other.is_foreign());
    /// # Ok::<(), telemetry_core::bridge::metrics::InstallError>(())
    /// ```
    ///
    /// ```standalone_crate
    /// use telemetry_core::{bridge::metrics::Recorder, metric::Registry};
    ///
    /// metrics::set_global_recorder(metrics::NoopRecorder).expect("the first");
    /// let error = Recorder::new(Registry::new()).install().expect_err("foreign");
    /// assert!(error.is_foreign());
    /// ```
    pub fn install(mut self) -> Result<(), InstallError> {
        static INSTALLED: OnceLock<Registry> = OnceLock::new();
        self.is_installed = true;
        let registry = self.registry.clone();
        if metrics::set_global_recorder(self).is_ok() {
            let _ = INSTALLED.set(registry);
            return Ok(());
        }
        match INSTALLED.get() {
            Some(installed) if installed.is_same(&registry) => Ok(()),
            installed => Err(InstallError { foreign: installed.is_none() }),
        }
    }
}

/// What the recorder that `metrics` has for a thread says to a macro of ours.
#[derive(Debug)]
pub(crate) enum Answer<H> {
    /// It is that of the process, and measures in the process's registry.
    Process,
    /// It is another one of ours, for a test, and measures in this registry.
    Ours(Registry),
    /// It passes on to one of ours, by this handle.
    Around(H),
    /// It is another library's, and measures by this handle; or there is none, and nothing does.
    Foreign(H),
}

/// The address of the recorder of the process, once it is known to be ours, over the process's
/// registry. It is never moved and never freed, so no other recorder has that address.
static PROCESS_RECORDER: AtomicUsize = AtomicUsize::new(0);

/// A recorder of ours that was asked.
struct Asked {
    address: usize,
    key_address: usize,
    is_installed: bool,
    registry: Registry,
}

impl Asked {
    /// Is it the recorder that was asked? Another may pass on to it: from elsewhere, from around
    /// it, or with another key.
    fn is(&self, recorder: &dyn metrics::Recorder, key: &Key) -> bool {
        self.address == address(recorder)
            && size_of_val(recorder) == size_of::<Recorder>()
            && self.key_address == std::ptr::from_ref(key).addr()
    }
}

thread_local! {
    /// Does a macro of ours ask?
    static IS_ASKING: Cell<bool> = const { Cell::new(false) };
    static ASKED: Cell<Option<Asked>> = const { Cell::new(None) };
}

/// Lets recorders of ours answer as long as it lives, also if another's panics.
struct Asking;

impl Asking {
    fn begin() -> Self {
        IS_ASKING.set(true);
        Self
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        IS_ASKING.set(false);
    }
}

impl Recorder {
    /// Answers a macro of ours, if one asks: it makes the series itself, with labels of all types.
    #[inline]
    fn answers(&self, key: &Key) -> bool {
        IS_ASKING.get() && self.answer(key)
    }

    #[cold]
    fn answer(&self, key: &Key) -> bool {
        let asked = Asked {
            address: std::ptr::from_ref(self).addr(),
            key_address: std::ptr::from_ref(key).addr(),
            is_installed: self.is_installed,
            registry: self.registry.clone(),
        };
        ASKED.try_with(|last| last.set(Some(asked))).is_ok()
    }
}

/// Is the recorder that `metrics` has for this thread that of the process, and ours?
#[inline]
pub(crate) fn is_process_recorder() -> bool {
    // Relaxed: only the number matters.
    metrics::with_recorder(|recorder| address(recorder) == PROCESS_RECORDER.load(Relaxed))
}

/// Asks the recorder that `metrics` has for this thread whose it is; `register` asks it for a
/// handle of `key`.
pub(crate) fn ask<H>(key: &Key, register: impl Fn(&dyn metrics::Recorder, &Key) -> H) -> Answer<H> {
    metrics::with_recorder(|recorder| {
        let asking = Asking::begin();
        let handle = register(recorder, key);
        drop(asking);
        match ASKED.try_with(Cell::take).ok().flatten() {
            None => Answer::Foreign(handle),
            // It got nothing from ours so far.
            Some(asked) if !asked.is(recorder, key) => Answer::Around(register(recorder, key)),
            Some(asked) if asked.is_installed && asked.registry.is_same(metric::global()) => {
                if !router::is_forked() {
                    PROCESS_RECORDER.store(asked.address, Relaxed);
                }
                Answer::Process
            }
            Some(asked) => Answer::Ours(asked.registry),
        }
    })
}

/// A fork's child: from now on macros of ours ask, and are told that nothing is measured.
///
/// Runs where [`router::turn_off`] does: it touches an atomic only.
pub(crate) fn turn_off() {
    PROCESS_RECORDER.store(0, Relaxed);
}

#[inline]
fn address(recorder: &dyn metrics::Recorder) -> usize {
    std::ptr::from_ref(recorder).addr()
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Says that the process has another `metrics` recorder already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallError {
    foreign: bool,
}

impl InstallError {
    /// Returns whether the recorder that is installed belongs to another crate.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.foreign {
            "the `metrics` facade already has a recorder of another crate"
        } else {
            "the `metrics` facade already has our recorder, over another registry"
        })
    }
}

impl std::error::Error for InstallError {}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.registry.describe(key.as_str(), unit.map_or("", ucum), &description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.registry.describe(key.as_str(), unit.map_or("", ucum), &description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.registry.describe(key.as_str(), unit.map_or("", ucum), &description);
    }

    fn register_counter(&self, key: &Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        if self.answers(key) || router::is_forked() {
            return metrics::Counter::noop();
        }
        self.caches.counters.find(&self.registry, key, |labels| {
            let counter = self.registry.counter(key.name(), labels);
            metrics::Counter::from_arc(counter.into_shared())
        })
    }

    fn register_gauge(&self, key: &Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        if self.answers(key) || router::is_forked() {
            return metrics::Gauge::noop();
        }
        self.caches.gauges.find(&self.registry, key, |labels| {
            let gauge = self.registry.gauge(key.name(), labels);
            metrics::Gauge::from_arc(gauge.into_shared())
        })
    }

    fn register_histogram(&self, key: &Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        if self.answers(key) || router::is_forked() {
            return metrics::Histogram::noop();
        }
        self.caches.histograms.find(&self.registry, key, |labels| {
            let histogram = self.registry.histogram(key.name(), labels);
            match histogram.into_shared() {
                Distribution::Explicit(cells) => metrics::Histogram::from_arc(cells),
                Distribution::Exponential(cells) => metrics::Histogram::from_arc(cells),
            }
        })
    }
}

/// Returns the UCUM code of `unit`; see the table of this module.
fn ucum(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "{count}",
        Unit::Percent => "%",
        Unit::Seconds => "s",
        Unit::Milliseconds => "ms",
        Unit::Microseconds => "us",
        Unit::Nanoseconds => "ns",
        Unit::Tebibytes => "TiBy",
        Unit::Gibibytes => "GiBy",
        Unit::Mebibytes => "MiBy",
        Unit::Kibibytes => "KiBy",
        Unit::Bytes => "By",
        Unit::TerabitsPerSecond => "Tbit/s",
        Unit::GigabitsPerSecond => "Gbit/s",
        Unit::MegabitsPerSecond => "Mbit/s",
        Unit::KilobitsPerSecond => "kbit/s",
        Unit::BitsPerSecond => "bit/s",
        Unit::CountPerSecond => "{count}/s",
    }
}

fn labels(key: &Key) -> Labels {
    let pair = |label: &metrics::Label| {
        let (name, value) = label.clone().into_parts();
        (std::borrow::Cow::from(name), Value::Str(value.into()))
    };
    key.labels().map(pair).collect()
}

/// Does the key hold a value that its series has not? It may be a secret then.
fn has_secret(key: &Key, labels: &Labels) -> bool {
    let is_kept = |label: &metrics::Label| {
        let value = labels.get(label.key());
        matches!(value, Some(Value::Str(text)) if text == label.value())
    };
    !key.labels().all(is_kept)
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        self.raise_to(value);
    }
}

impl GaugeFn for Last {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.set(value);
    }
}

impl HistogramFn for Explicit {
    fn record(&self, value: f64) {
        self.record(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.record(value, count as u64);
    }
}

impl HistogramFn for Exponential {
    fn record(&self, value: f64) {
        self.record(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.record(value, count as u64);
    }
}

/// Remembers the handles of keys met before.
struct Cache<H>(RwLock<Cached<H>>);

struct Cached<H> {
    /// The removals of the registry that the handles were found under.
    removals: u64,
    handles: HashMap<Key, H, BuildHasherDefault<KeyHash>>,
}

impl<H> Default for Cache<H> {
    fn default() -> Self {
        Self(RwLock::new(Cached { removals: 0, handles: HashMap::default() }))
    }
}

impl<H> Cache<H> {
    fn forget(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).handles.clear();
    }
}

impl<H: Clone> Cache<H> {
    fn find(&self, registry: &Registry, key: &Key, make: impl FnOnce(Labels) -> H) -> H {
        if let Some(scope) = context::metric_labels() {
            return make(scope.overridden_by(&labels(key)));
        }
        // Read first: a series removed from here on makes what is found outdated, and the next
        // look-up finds that out.
        let removals = registry.removals();
        let cached = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if cached.removals == removals
            && let Some(handle) = cached.handles.get(key)
        {
            return handle.clone();
        }
        drop(cached);
        let labels = labels(key);
        let is_secret = has_secret(key, &labels);
        let handle = make(labels);
        if is_secret {
            return handle;
        }
        let mut cached = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if cached.removals != removals {
            cached.handles.clear();
            cached.removals = removals;
        }
        if cached.handles.len() < CACHED_MAX {
            cached.handles.insert(key.to_retained(), handle.clone());
        }
        handle
    }
}

/// Passes on the hash that a [`Key`] carries.
#[derive(Default)]
struct KeyHash(u64);

impl Hasher for KeyHash {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Not used by [`Key`] today; correct if that changes.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Data, Number};

    fn through_macros(measure: impl Fn()) -> Registry {
        let registry = Registry::new();
        metrics::with_local_recorder(&Recorder::new(registry.clone()), measure);
        registry
    }

    #[test]
    fn macros_reach_the_registry() {
        let registry = through_macros(|| {
            metrics::describe_histogram!("job.duration", Unit::Seconds, "How long jobs take");
            for n in 0..3_u8 {
                metrics::counter!("jobs", "queue" => "mail", "ok" => "yes").increment(2);
                metrics::counter!("jobs", "ok" => "yes", "queue" => "mail").absolute(5);
                metrics::gauge!("load").increment(1.5);
                metrics::gauge!("load").decrement(0.5);
                metrics::histogram!("job.duration", "n" => n.to_string()).record(f64::from(n));
                metrics::histogram!("job.duration", "n" => "many").record_many(0.2, 4);
            }
        });
        let jobs = Labels::from([("ok", "yes"), ("queue", "mail")]);
        assert_eq!(registry.counter("jobs", jobs).value(), 9);
        assert_eq!(registry.gauge("load", ()).value(), Some(3.0));
        let many = registry.histogram("job.duration", [("n", "many")]).value();
        assert_eq!((many.count, many.min), (12, Some(0.2)));
        let snapshot = registry.snapshot(0);
        let duration = &snapshot.metrics[0];
        assert_eq!((&*duration.unit, &*duration.description), ("s", "How long jobs take"));
        assert_eq!((duration.data.points(), snapshot.points()), (4, 6));
    }

    #[test]
    fn macro_after_a_removal_begins_a_new_series() {
        let registry = Registry::new();
        metrics::with_local_recorder(&Recorder::new(registry.clone()), || {
            metrics::counter!("jobs").increment(5);
            registry.remove("jobs", &Labels::new());
            metrics::counter!("another").increment(1);
            metrics::counter!("jobs").increment(1);
        });
        let snapshot = registry.snapshot(0);
        let Data::Counter { points } = &snapshot.metrics[1].data else { panic!() };
        assert_eq!(points[0].value, Number::U64(1));
    }

    #[test]
    fn key_with_a_secret_is_not_remembered() {
        let registry = Registry::new();
        let recorder = Recorder::new(registry.clone());
        metrics::with_local_recorder(&recorder, || {
            for n in 0..2 {
                metrics::counter!("calls", "api_key" => format!("secret-{n}")).increment(1);
            }
        });
        assert!(recorder.caches.counters.0.read().unwrap().handles.is_empty());
        assert_eq!(registry.counter("calls", [("api_key", "[redacted]")]).value(), 2);
    }

    #[test]
    fn more_keys_than_are_remembered_lose_nothing() {
        let registry = through_macros(|| {
            for n in 0..CACHED_MAX * 2 {
                metrics::counter!("jobs", "n" => (n % (CACHED_MAX + 100)).to_string()).increment(1);
            }
        });
        let snapshot = registry.snapshot(0);
        let Data::Counter { points } = &snapshot.metrics[0].data else { panic!() };
        let total: f64 = points.iter().map(|point| point.value.as_f64()).sum();
        assert_eq!(total, (CACHED_MAX * 2) as f64);
    }

    #[test]
    fn kind_conflict_through_macros_is_listed() {
        let registry = through_macros(|| {
            metrics::counter!("jobs").increment(1);
            metrics::gauge!("jobs").set(3.0);
            metrics::histogram!("jobs").record(f64::NAN);
        });
        assert_eq!((registry.conflicts().len(), registry.rejected()), (2, 1));
        assert_eq!(registry.counter("jobs", ()).value(), 1);
    }
}
