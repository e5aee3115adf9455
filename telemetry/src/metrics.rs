//! What can be set about metrics: buckets, labels, idle series.

use crate::builder::Builder;
use crate::setting::Setting;
use std::borrow::Cow;
use std::time::Duration;
use telemetry_core::metric::{self, Buckets, Labels};

/// What is set about metrics.
pub(crate) struct Metrics {
    /// `None` = those that suit the unit.
    pub(crate) default_buckets: Setting<Option<Buckets>>,
    pub(crate) histograms: Vec<(String, Buckets)>,
    pub(crate) labels: Labels,
    pub(crate) scope_labels: Setting<Vec<String>>,
    pub(crate) idle_timeout: Setting<Option<Duration>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            default_buckets: Setting::new(None),
            histograms: Vec::new(),
            labels: Labels::new(),
            scope_labels: Setting::new(Vec::new()),
            idle_timeout: Setting::new(None),
        }
    }
}

impl Metrics {
    /// Returns the same for a registry.
    pub(crate) fn settings(self) -> metric::Settings {
        let mut settings = metric::Settings::new();
        for (pattern, buckets) in self.histograms {
            settings = settings.histogram(pattern, buckets);
        }
        for (key, value) in self.labels.iter() {
            settings = settings.label(key.to_owned(), value.clone());
        }
        if let Some(buckets) = self.default_buckets.into_value() {
            settings = settings.default_buckets(buckets);
        }
        match *self.idle_timeout {
            Some(timeout) => settings.idle_timeout(timeout),
            None => settings,
        }
    }
}

/// Metrics.
impl Builder {
    /// Sets how the histograms divide their values whose name `pattern` matches (`*` stands for any
    /// characters, `?` for one); of several that match, the last one counts.
    ///
    /// ```
    /// use telemetry_toolkit::metric::Buckets;
    ///
    /// let builder = telemetry_toolkit::builder()
    ///     .histogram("http.*", Buckets::exponential())
    ///     .histogram("db.*.duration", Buckets::explicit([0.001, 0.01, 0.1]));
    /// ```
    ///
    /// Without a pattern that matches, buckets are explicit: those that OpenTelemetry advises for
    /// metrics in seconds, else those of its SDKs.
    pub fn histogram(mut self, pattern: impl Into<String>, buckets: impl Into<Buckets>) -> Self {
        self.metrics.histograms.push((pattern.into(), buckets.into()));
        self
    }

    /// Adds a label to every series of every metric; a series that has one of the same key keeps
    /// its own. Call sites pay nothing for it.
    ///
    /// What belongs to the whole process is better told by [`resource`](Self::resource), which
    /// collectors attach once to everything.
    pub fn metric_label(
        mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<metric::Value>,
    ) -> Self {
        self.metrics.labels = std::mem::take(&mut self.metrics.labels).with(key, value);
        self
    }

    /// Sets which key-values of a [scope](crate::context::scope) become labels of what is measured
    /// inside by `counter!`, `gauge!`, `histogram!` and the macros of `metrics`: none by default,
    /// because each value makes a series. A label of the measurement's own stays as it is.
    ///
    /// With such a key-value around it, a call site looks its series up, and allocates for that.
    ///
    /// ```
    /// use telemetry_toolkit::{context, counter};
    ///
    /// let builder = telemetry_toolkit::builder().metric_scope_labels(["tenant"]);
    /// let _scope = context::scope([("tenant", "acme"), ("user", "7")]);
    /// counter!("orders").add(1); // tenant=acme, once telemetry is started
    /// # drop(builder);
    /// ```
    pub fn metric_scope_labels<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        self.metrics.scope_labels.set(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves out series that nobody has measured for so long, and forgets those whose handle
    /// nobody holds: never by default, at least 1 s. Nothing that was measured is lost; see
    /// [`metric::Registry::expire`].
    pub fn metric_idle_timeout(mut self, timeout: Duration) -> Self {
        self.metrics.idle_timeout.set(Some(timeout));
        self
    }
}
