//! `counter!`, `gauge!`, `histogram!`: measurements of the process, with the handle at the call site.
//!
//! # Invariants
//!
//! - With labels that are literals the handle is found once, and kept in the call site's static. It
//!   is one of the process's registry, which lives as long as the process: before a pipeline is set
//!   up, after one was shut down, in the next one.
//! - With other labels the series is found each time, by borrowed labels: nothing is allocated for
//!   a series that is there, and none is kept from expiring.
//! - Where `metrics` has a recorder for the thread ([`metrics::with_local_recorder`]), it takes the
//!   measurement: alone if it is ours, beside the process's registry if it is another's.
//! - In a scope with key-values that measurements get (`context::set_metric_labels`), the series is
//!   looked up by all labels, and the handle of the call site stays that of its own ones.
//! - A series that was removed from the registry is not written to.
//! - In a fork's child nothing is measured: locks and cells that are set once may be held by threads
//!   that are not there.

use crate::bridge::metrics::{Answer, ask, is_process_recorder};
use crate::metric::{self, AsLabel, Borrowed, Counter, Family, Gauge, Histogram, Labels, ValueRef};
use crate::{context, router};
use std::array;
use std::sync::{Arc, OnceLock};

/// The static of one call site.
#[doc(hidden)]
#[derive(Debug)]
pub struct MeasureSite<T> {
    name: &'static str,
    module: &'static str,
    /// Name and labels, for recorders of `metrics`; without the labels that change.
    key: &'static metrics::Key,
    labels: SiteLabels,
    handle: OnceLock<T>,
    /// `None` = there is no room for the metric.
    found: OnceLock<Option<Found>>,
}

/// What a call site with values that change has found out.
#[derive(Debug)]
struct Found {
    family: Arc<Family>,
    /// The places of the keys in ascending order; `None` = a key comes twice.
    order: Option<Box<[usize]>>,
}

/// The labels that a call site has by itself.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum SiteLabels {
    /// All of them.
    Whole(fn() -> Labels),
    /// Their keys.
    Keys(&'static [&'static str]),
}

/// A kind of handle that a macro measures with.
#[expect(private_bounds, reason = "there are three, and nobody else makes one")]
pub trait Measurable: metric::Instrument + 'static {
    /// The handle that `metrics` has for it.
    type Foreign;

    fn register(
        recorder: &dyn metrics::Recorder,
        key: &metrics::Key,
        metadata: &metrics::Metadata<'_>,
    ) -> Self::Foreign;

    fn is_removed(&self) -> bool;
}

macro_rules! measurable {
    ($($kind:ident, $register:ident;)*) => {$(
        impl Measurable for $kind {
            type Foreign = metrics::$kind;

            fn register(
                recorder: &dyn metrics::Recorder,
                key: &metrics::Key,
                metadata: &metrics::Metadata<'_>,
            ) -> Self::Foreign {
                recorder.$register(key, metadata)
            }

            #[inline]
            fn is_removed(&self) -> bool {
                $kind::is_removed(self)
            }
        }
    )*};
}

measurable! {
    Counter, register_counter;
    Gauge, register_gauge;
    Histogram, register_histogram;
}

impl<T: Measurable> MeasureSite<T> {
    /// Describes a call site; the macros call it.
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        module: &'static str,
        key: &'static metrics::Key,
        labels: SiteLabels,
    ) -> Self {
        Self { name, module, key, labels, handle: OnceLock::new(), found: OnceLock::new() }
    }

    /// Begins a measurement; `values` are those of the site's keys.
    #[doc(hidden)]
    #[inline]
    pub fn with<'a, const N: usize>(
        &'static self,
        values: [ValueRef<'a>; N],
    ) -> Measured<'a, T, N> {
        Measured { site: self, values }
    }

    /// Measures with the series of the site's own labels.
    #[cold]
    #[inline(never)]
    fn measure_finding(&self, own: &dyn Fn(&T)) {
        let find = || metric::global().instrument(self.name, self.owned(&[]));
        let handle = self.handle.get_or_init(find);
        if handle.is_removed() { own(&find()) } else { own(handle) }
    }

    /// Measures with labels of the scope beside the site's own; returns whether it has any.
    #[cold]
    #[inline(never)]
    fn measure_in_scope(&self, values: &[ValueRef<'_>], own: &dyn Fn(&T)) -> bool {
        let Some(scope) = context::metric_labels() else { return false };
        let labels = self.owned_in(Some(&scope), values);
        own(&metric::global().instrument(self.name, labels));
        true
    }

    /// Measures with the series of the site's keys and `values`.
    #[inline]
    fn measure_labelled<const N: usize>(&self, values: &[ValueRef<'_>; N], own: impl Fn(&T)) {
        let registry = metric::global();
        let keys = self.keys();
        let find = || {
            let family = registry.family(self.name)?;
            Some(Found { family, order: ascending(keys) })
        };
        let Some(found) = self.found.get_or_init(find) else { return }; // the registry says so
        match found.order.as_deref() {
            Some(order) if order.len() == N => {
                let pairs = array::from_fn::<_, N, _>(|n| (keys[order[n]], values[order[n]]));
                registry.measure(&found.family, &Borrowed(pairs), own);
            }
            _ => own(&registry.instrument(self.name, self.owned(values))),
        }
    }

    fn keys(&self) -> &'static [&'static str] {
        match self.labels {
            SiteLabels::Whole(_) => &[],
            SiteLabels::Keys(keys) => keys,
        }
    }

    /// Returns the labels of the site and those of a scope, which stand back.
    fn owned_in(&self, scope: Option<&Labels>, values: &[ValueRef<'_>]) -> Labels {
        let own = self.owned(values);
        match scope {
            Some(scope) => scope.overridden_by(&own),
            None => own,
        }
    }

    /// Returns the labels of the site; of equal keys the last one counts.
    fn owned(&self, values: &[ValueRef<'_>]) -> Labels {
        match self.labels {
            SiteLabels::Whole(labels) => labels(),
            SiteLabels::Keys(keys) => {
                keys.iter().copied().zip(values.iter().map(|value| value.to_value())).collect()
            }
        }
    }
}

/// The places of `keys` in ascending order; `None` if one comes twice.
fn ascending(keys: &[&str]) -> Option<Box<[usize]>> {
    let mut order: Box<[usize]> = (0..keys.len()).collect();
    order.sort_by_key(|at| keys[*at]);
    order.windows(2).all(|two| keys[two[0]] != keys[two[1]]).then_some(order)
}

/// Measures, at one call site: what [`counter!`](crate::counter), [`gauge!`](crate::gauge) and
/// [`histogram!`](crate::histogram) return.
#[derive(Debug)]
#[must_use = "nothing is measured yet"]
pub struct Measured<'a, T: 'static, const N: usize> {
    site: &'static MeasureSite<T>,
    values: [ValueRef<'a>; N],
}

impl<T: Measurable, const N: usize> Measured<'_, T, N> {
    #[inline]
    fn measure(self, own: impl Fn(&T), foreign: impl Fn(&T::Foreign)) {
        if !is_process_recorder() {
            return self.measure_elsewhere(&own, &foreign);
        }
        self.measure_here(own);
    }

    /// Measures in the process's registry.
    #[inline]
    fn measure_here(&self, own: impl Fn(&T)) {
        // Without values nothing of `self` has to be in memory.
        let values: &[ValueRef<'_>] = if N > 0 { &self.values } else { &[] };
        if context::has_metric_labels() && self.site.measure_in_scope(values, &own) {
            return;
        }
        if N > 0 {
            return self.site.measure_labelled(&self.values, own);
        }
        match self.site.handle.get() {
            Some(handle) if !handle.is_removed() => own(handle),
            _ => self.site.measure_finding(&own),
        }
    }

    /// Measures with the recorder that `metrics` has here, and perhaps in the process's registry.
    #[cold]
    #[inline(never)]
    fn measure_elsewhere(self, own: &dyn Fn(&T), foreign: &dyn Fn(&T::Foreign)) {
        let (site, scope) = (self.site, context::metric_labels());
        let values: &[ValueRef<'_>] = if N > 0 { &self.values } else { &[] };
        let labels = || site.owned_in(scope.as_ref(), values);
        let labelled = (N > 0 || scope.is_some()).then(|| key(site.name, &labels()));
        let key = labelled.as_ref().unwrap_or(site.key);
        let module = site.module;
        let metadata = metrics::Metadata::new(module, metrics::Level::INFO, Some(module));
        // A fork's child comes here always, and takes no lock of the registry.
        let measure_here = || {
            if !router::is_forked() {
                self.measure_here(own);
            }
        };
        match ask(key, |recorder, key| T::register(recorder, key, &metadata)) {
            Answer::Process => measure_here(),
            Answer::Ours(registry) => own(&registry.instrument(site.name, labels())),
            Answer::Around(handle) => foreign(&handle),
            Answer::Foreign(handle) => {
                foreign(&handle);
                measure_here();
            }
        }
    }
}

/// The key that `metrics` has for a series; our labels hold no secrets.
fn key(name: &'static str, labels: &Labels) -> metrics::Key {
    let label = |(key, value): (&str, &metric::Value)| {
        metrics::Label::new(key.to_owned(), value.to_string())
    };
    metrics::Key::from_parts(name, labels.iter().map(label).collect::<Vec<_>>())
}

impl<const N: usize> Measured<'_, Counter, N> {
    /// Adds `value`, as [`Counter::add`].
    #[inline]
    pub fn add(self, value: u64) {
        self.measure(|counter| counter.add(value), |counter| counter.increment(value));
    }

    /// Raises the count to `value`, as [`Counter::absolute`].
    pub fn absolute(self, value: u64) {
        self.measure(|counter| counter.absolute(value), |counter| counter.absolute(value));
    }
}

impl<const N: usize> Measured<'_, Gauge, N> {
    /// Replaces the value, as [`Gauge::set`].
    #[inline]
    pub fn set(self, value: f64) {
        self.measure(|gauge| gauge.set(value), |gauge| gauge.set(value));
    }

    /// Adds `value`, as [`Gauge::add`].
    pub fn add(self, value: f64) {
        self.measure(|gauge| gauge.add(value), |gauge| gauge.increment(value));
    }
}

impl<const N: usize> Measured<'_, Histogram, N> {
    /// Records `value`, as [`Histogram::record`].
    #[inline]
    pub fn record(self, value: f64) {
        self.measure(|histogram| histogram.record(value), |histogram| histogram.record(value));
    }

    /// Records `value`, `count` times, as [`Histogram::record_many`].
    pub fn record_many(self, value: f64, count: u64) {
        let many = usize::try_from(count).unwrap_or(usize::MAX);
        self.measure(
            |histogram| histogram.record_many(value, count),
            |histogram| histogram.record_many(value, many),
        );
    }
}

/// Borrows a label's value; the macros call it.
#[doc(hidden)]
#[inline]
pub fn label_value<T: AsLabel + ?Sized>(value: &T) -> ValueRef<'_> {
    value.as_label()
}

/// Counts, in the registry of the process: a name, and labels.
///
/// The name and the keys are constants. With values that are literals the handle is kept at the
/// call site, and the call costs about what a [`Counter`](crate::metric::Counter) costs; other
/// values (text, integers, floats, booleans) are borrowed, and the series is looked up each time.
/// Labels distinguish a bounded number of things: no ids, no text from outside.
///
/// ```
/// use telemetry_core::{counter, metric};
///
/// # fn handle(route: &str, status: u16) {
/// counter!("http.requests").add(1);
/// counter!("jobs.done", "queue" => "mail", "retried" => false).add(1);
/// counter!("http.responses", "route" => route, "status" => status).add(1);
/// # }
/// # handle("/users", 200);
/// let labels = metric::Labels::new().with("route", "/users").with("status", 200);
/// assert_eq!(metric::global().counter("http.responses", labels).value(), 1);
/// ```
///
/// It may be called before telemetry is set up, and after. If `metrics` has a recorder for the
/// thread, for a test, the measurement goes there; see [`bridge::metrics`](crate::bridge::metrics).
#[macro_export]
macro_rules! counter {
    ($($site:tt)+) => { $crate::__measure!(Counter, $($site)+) };
}

/// Sets a last value, in the registry of the process; name and labels as for
/// [`counter!`](crate::counter).
///
/// ```
/// use telemetry_core::gauge;
///
/// gauge!("queue.fill", "queue" => "mail").set(0.25);
/// gauge!("requests.in.flight").add(1.0);
/// ```
#[macro_export]
macro_rules! gauge {
    ($($site:tt)+) => { $crate::__measure!(Gauge, $($site)+) };
}

/// Records a value of a distribution, in the registry of the process; name and labels as for
/// [`counter!`](crate::counter).
///
/// ```
/// use telemetry_core::histogram;
///
/// histogram!("http.server.request.duration", "http.route" => "/users").record(0.012);
/// ```
#[macro_export]
macro_rules! histogram {
    ($($site:tt)+) => { $crate::__measure!(Histogram, $($site)+) };
}

/// Makes the static of a measuring call site.
#[doc(hidden)]
#[macro_export]
macro_rules! __measure {
    ($kind:ident, $name:expr $(, $key:literal => $value:literal)* $(,)?) => {
        $crate::MeasureSite::with(
            {
                static LABELS: &[$crate::__metrics::Label] = &[$(
                    $crate::__metrics::Label::from_static_parts($key, ::core::concat!($value))
                ),*];
                static KEY: $crate::__metrics::Key =
                    $crate::__metrics::Key::from_static_parts($name, LABELS);
                static SITE: $crate::MeasureSite<$crate::metric::$kind> = $crate::MeasureSite::new(
                    $name,
                    ::core::module_path!(),
                    &KEY,
                    $crate::SiteLabels::Whole(
                        || $crate::metric::Labels::new()$(.with($key, $value))*
                    ),
                );
                &SITE
            },
            [],
        )
    };
    // The values stand outside of the block, so that what they borrow lives as long as the
    // statement.
    ($kind:ident, $name:expr, $($key:expr => $value:expr),+ $(,)?) => {
        $crate::MeasureSite::with(
            {
                static KEY: $crate::__metrics::Key =
                    $crate::__metrics::Key::from_static_name($name);
                static SITE: $crate::MeasureSite<$crate::metric::$kind> = $crate::MeasureSite::new(
                    $name,
                    ::core::module_path!(),
                    &KEY,
                    $crate::SiteLabels::Keys(&[$($key),+]),
                );
                &SITE
            },
            [$($crate::__label_value(&$value)),+],
        )
    };
}
