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
//! - A series that was removed from the registry is not written to.

use crate::bridge::metrics::{Taker, is_process_recorder, register};
use crate::metric::{self, AsLabel, Counter, Family, Gauge, Histogram, Labels, Sorted, ValueRef};
use std::sync::{Arc, OnceLock};

/// The static of one call site.
#[doc(hidden)]
#[derive(Debug)]
pub struct MeasureSite<T> {
    name: &'static str,
    module: &'static str,
    /// Name and labels, for recorders of `metrics`; without the labels that change.
    key: &'static metrics::Key,
    labels: fn() -> Labels,
    handle: OnceLock<T>,
    family: OnceLock<Option<Arc<Family>>>,
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
        labels: fn() -> Labels,
    ) -> Self {
        Self { name, module, key, labels, handle: OnceLock::new(), family: OnceLock::new() }
    }

    /// Begins a measurement; without labels it has those of the site.
    #[doc(hidden)]
    #[inline]
    pub fn with<'a, const N: usize>(
        &'static self,
        labels: [(&'a str, ValueRef<'a>); N],
    ) -> Measured<'a, T, N> {
        Measured { site: self, labels }
    }

    /// Measures with the series of the site's own labels.
    #[cold]
    #[inline(never)]
    fn measure_finding(&self, own: &dyn Fn(&T)) {
        let find = || metric::global().instrument(self.name, (self.labels)());
        let handle = self.handle.get_or_init(find);
        if handle.is_removed() { own(&find()) } else { own(handle) }
    }

    /// Measures with the series of `labels`.
    fn measure_labelled(&self, labels: &mut [(&str, ValueRef<'_>)], own: impl Fn(&T)) {
        let registry = metric::global();
        let family = self.family.get_or_init(|| registry.family(self.name));
        let Some(family) = family else { return }; // the registry is full, and says so
        // Stable, for the last of equal keys counts. They are few, and mostly in order already.
        labels.sort_by(|a, b| a.0.cmp(b.0));
        match Sorted::new(labels) {
            Some(labels) => registry.measure(family, labels, own),
            None => own(&registry.instrument(self.name, owned(labels))),
        }
    }
}

/// Measures, at one call site: what [`counter!`](crate::counter), [`gauge!`](crate::gauge) and
/// [`histogram!`](crate::histogram) return.
#[derive(Debug)]
#[must_use = "nothing is measured yet"]
pub struct Measured<'a, T: 'static, const N: usize> {
    site: &'static MeasureSite<T>,
    labels: [(&'a str, ValueRef<'a>); N],
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
    fn measure_here(mut self, own: impl Fn(&T)) {
        if N > 0 {
            return self.site.measure_labelled(&mut self.labels, own);
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
        // By way of our own labels, which hold no secrets.
        let label = |(key, value): (&str, &metric::Value)| {
            metrics::Label::new(key.to_owned(), value.to_string())
        };
        let labels = || owned(&self.labels).iter().map(label).collect::<Vec<_>>();
        let labelled = (N > 0).then(|| metrics::Key::from_parts(self.site.name, labels()));
        let key = labelled.as_ref().unwrap_or(self.site.key);
        let module = self.site.module;
        let metadata = metrics::Metadata::new(module, metrics::Level::INFO, Some(module));
        let (handle, taker) = register(|recorder| T::register(recorder, key, &metadata));
        if taker != Taker::Process {
            foreign(&handle);
        }
        if taker != Taker::Ours {
            self.measure_here(own);
        }
    }
}

fn owned(labels: &[(&str, ValueRef<'_>)]) -> Labels {
    labels.iter().map(|(key, value)| ((*key).to_owned(), value.to_value())).collect()
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
/// The name is a constant. With labels that are literals the handle is kept at the call site, and
/// the call costs about what a [`Counter`](crate::metric::Counter) costs; other labels (text,
/// integers, floats, booleans) are borrowed, and their series is looked up each time. Labels
/// distinguish a bounded number of things: no ids, no text from outside.
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
                    || $crate::metric::Labels::new()$(.with($key, $value))*,
                );
                &SITE
            },
            [],
        )
    };
    // The labels stand outside of the block, so that what they borrow lives as long as the
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
                    $crate::metric::Labels::new,
                );
                &SITE
            },
            [$(($key, $crate::__label_value(&$value))),+],
        )
    };
}
