//! Everything that can be set, and from where.
//!
//! # Invariants
//!
//! - Whatever is said later stands above what was said before; [`Builder::from_env`] takes its
//!   place in that order.
//! - A setting that is wrong is kept as an error until [`Builder::init`] returns it.

use crate::environment::{self, Console, Format, Settings, Warning};
#[cfg(feature = "otlp-http")]
use crate::otlp::Otlp;
use crate::outputs::{ConsoleOutput, JsonOutput, Origin, Shown};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env::VarError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use telemetry_core::context::Propagators;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{METRIC_INTERVAL, SinkBuilder};
use telemetry_core::redaction::Redaction;
#[cfg(feature = "otlp-http")]
use telemetry_core::redaction::Secret;
use telemetry_core::resource::Resource;
use telemetry_core::{Error, Level, Sampler, Waits};
#[cfg(feature = "poller")]
use telemetry_poller::{Measure, MeasureError};

/// A measurement that the poller runs.
#[cfg(feature = "poller")]
pub(crate) type Measurement = Box<dyn FnMut(&mut Measure) -> Result<(), MeasureError> + Send>;

/// Filters of single exporters; `None` = the common one.
#[derive(Default)]
pub(crate) struct Filters {
    pub(crate) console: Option<Filter>,
    pub(crate) json: Option<Filter>,
    pub(crate) otlp: Option<Filter>,
}

/// What of the process is taken over.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "five independent switches")]
pub(crate) struct Globals {
    pub(crate) tracing: bool,
    pub(crate) log: bool,
    pub(crate) metrics: bool,
    pub(crate) panic_hook: bool,
    pub(crate) exit_hook: bool,
}

/// Sets up telemetry; [`init`](Self::init) starts it.
///
/// ```no_run
/// use telemetry_toolkit::Telemetry;
///
/// let telemetry = Telemetry::builder()
///     .service("shop", "1.4.2")
///     .filter("info,shop=debug") // what `RUST_LOG` replaces, because it is read later
///     .from_env()
///     .json_file("/var/log/shop.jsonl") // whatever the environment says
///     .json_filter("debug")
///     .init()?;
/// # drop(telemetry);
/// # Ok::<(), telemetry_toolkit::Error>(())
/// ```
#[must_use = "nothing happens before `init`"]
pub struct Builder {
    pub(crate) resource: Resource,
    pub(crate) filter: Filter,
    pub(crate) filters: Filters,
    pub(crate) console: ConsoleOutput,
    pub(crate) shown: Shown,
    pub(crate) json: JsonOutput,
    #[cfg(feature = "otlp-http")]
    pub(crate) otlp: Otlp,
    pub(crate) exporters: Vec<SinkBuilder>,
    pub(crate) metric_interval: Duration,
    pub(crate) buffer_bytes: Option<usize>,
    pub(crate) waits: Waits,
    pub(crate) sampler: Option<Arc<dyn Sampler>>,
    pub(crate) propagators: Propagators,
    pub(crate) baggage_fields: Vec<String>,
    pub(crate) redaction: Redaction,
    #[cfg(feature = "poller")]
    pub(crate) poller: Option<Duration>,
    #[cfg(feature = "poller")]
    pub(crate) measurements: Vec<(String, Measurement)>,
    pub(crate) globals: Globals,
    pub(crate) errors: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) is_strict: bool,
    pub(crate) is_disabled: bool,
    pub(crate) diagnostics: Option<Option<Level>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            resource: Resource::default(),
            filter: Filter::level(Level::Info),
            filters: Filters::default(),
            console: ConsoleOutput::Standard(Console::default()),
            shown: Shown::default(),
            json: JsonOutput::Off,
            #[cfg(feature = "otlp-http")]
            otlp: Otlp::default(),
            exporters: Vec::new(),
            metric_interval: METRIC_INTERVAL,
            buffer_bytes: None,
            waits: Waits::default(),
            sampler: None,
            propagators: Propagators::default(),
            baggage_fields: Vec::new(),
            redaction: Redaction::default(),
            #[cfg(feature = "poller")]
            poller: Some(Duration::from_secs(10)),
            #[cfg(feature = "poller")]
            measurements: Vec::new(),
            globals: Globals {
                tracing: true,
                log: true,
                metrics: true,
                panic_hook: true,
                exit_hook: true,
            },
            errors: Vec::new(),
            warnings: Vec::new(),
            is_strict: false,
            is_disabled: false,
            diagnostics: None,
        }
    }
}

impl fmt::Debug for Builder {
    /// Leaves out endpoints and headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("resource", &self.resource.clone().redacted(&self.redaction))
            .field("filter", &self.filter.to_string())
            .field("exporters", &self.exporters)
            .field("globals", &self.globals)
            .finish_non_exhaustive()
    }
}

/// Who tells, and what.
impl Builder {
    /// Sets `service.name` and `service.version`; the name is `unknown_service:` and the
    /// executable's name by default.
    pub fn service(self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.resource("service.name", name).resource("service.version", version)
    }

    /// Adds a resource attribute, such as `deployment.environment.name`; one of the same key is
    /// replaced. `service.instance.id` is a random UUID unless set.
    pub fn resource(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource = self.resource.with(key, value);
        self
    }

    /// Sets what all exporters take that have no filter of their own: `info,app::db=debug`. By
    /// default `info`.
    pub fn filter(mut self, filter: &str) -> Self {
        if let Some(filter) = self.parsed(filter) {
            self.filter = filter;
        }
        self
    }

    /// Sets which traces are exported: all by default. Log events are not sampled.
    pub fn sampler(mut self, sampler: impl Sampler) -> Self {
        self.sampler = Some(Arc::new(sampler));
        self
    }

    /// Sets what [`context::extract`](crate::context::extract) and
    /// [`context::inject`](crate::context::inject) read and write: trace context and baggage by
    /// default. `OTEL_PROPAGATORS` says the same.
    pub fn propagators(mut self, propagators: Propagators) -> Self {
        self.propagators = propagators;
        self
    }

    /// Sets which members of the baggage become fields of the records inside: none by default,
    /// because callers say what is in it.
    pub fn baggage_fields<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.baggage_fields = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Redacts the values of further fields: those with one of these names at the end of a word
    /// (`iban` also means `customer.iban` and `customerIban`), beside
    /// [those that always are](crate::redaction::DENIED). It holds for fields of events and spans,
    /// keys of `log` records and scopes, baggage, metric labels and resource attributes.
    /// `TELEMETRY_REDACT` says the same.
    ///
    /// ```
    /// let builder = telemetry_toolkit::builder()
    ///     .redact_names(["iban", "session_id"])
    ///     .keep_names(["page_token"]) // that very field, which is none of a secret
    ///     .redact_values([r"\bsk-[A-Za-z0-9]{16,}"]);
    /// ```
    pub fn redact_names<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.redact(names, |redaction, name| redaction.name(name))
    }

    /// Keeps fields that would be redacted by their names; each is named as a whole.
    pub fn keep_names<N: AsRef<str>>(self, fields: impl IntoIterator<Item = N>) -> Self {
        self.redact(fields, |redaction, field| redaction.keep(field))
    }

    /// Redacts what these regular expressions match in any text of a record: none by default, but
    /// for the user information of URLs, which always is. The worker does it, not the call site:
    /// at most 32 patterns, 64 KiB compiled each.
    pub fn redact_values<P: AsRef<str>>(self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.redact(patterns, |redaction, pattern| redaction.value(pattern))
    }

    fn redact<T: AsRef<str>>(
        mut self,
        parts: impl IntoIterator<Item = T>,
        add: impl Fn(Redaction, &str) -> Result<Redaction, Error>,
    ) -> Self {
        for part in parts {
            match add(self.redaction.clone(), part.as_ref()) {
                Ok(redaction) => self.redaction = redaction,
                Err(error) => self.errors.push(error),
            }
        }
        self
    }

    fn parsed(&mut self, filter: &str) -> Option<Filter> {
        filter.parse().map_err(|error| self.errors.push(error)).ok()
    }
}

/// The exporters.
impl Builder {
    /// Replaces the console's exporter, which suits where the output goes by default.
    #[cfg(feature = "console")]
    pub fn console(mut self, exporter: telemetry_console::ConsoleExporter) -> Self {
        self.console = ConsoleOutput::Exporter(SinkBuilder::new(exporter));
        self
    }

    /// Leaves the console out.
    pub fn no_console(mut self) -> Self {
        self.console = ConsoleOutput::Standard(Console { format: Format::Off, stream: None });
        self
    }

    /// Sets what the console takes.
    pub fn console_filter(mut self, filter: &str) -> Self {
        self.filters.console = self.parsed(filter);
        self
    }

    /// Appends logs, spans and metrics to a file, as lines of JSON.
    #[cfg(feature = "json")]
    pub fn json_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.json = JsonOutput::File(path.into(), Origin::Program);
        self
    }

    /// Adds a JSON exporter, instead of that of [`json_file`](Self::json_file).
    #[cfg(feature = "json")]
    pub fn json(mut self, exporter: telemetry_json::JsonExporter) -> Self {
        self.json = JsonOutput::Exporter(SinkBuilder::new(exporter));
        self
    }

    /// Sets what the JSON file takes.
    #[cfg(feature = "json")]
    pub fn json_filter(mut self, filter: &str) -> Self {
        self.filters.json = self.parsed(filter);
        self
    }

    /// Sends logs, spans and metrics to a collector with this exporter.
    #[cfg(feature = "otlp-http")]
    pub fn otlp(mut self, exporter: telemetry_otlp::OtlpExporter) -> Self {
        self.otlp.set_exporter(exporter);
        self
    }

    /// Sends logs, spans and metrics to a collector: `http://localhost:4318`.
    #[cfg(feature = "otlp-http")]
    pub fn otlp_endpoint(mut self, url: impl Into<Secret<String>>) -> Self {
        self.otlp.set_url(url.into().into_inner());
        self
    }

    /// Sets what the collector gets.
    #[cfg(feature = "otlp-http")]
    pub fn otlp_filter(mut self, filter: &str) -> Self {
        self.filters.otlp = self.parsed(filter);
        self
    }

    /// Adds an exporter of your own, with its filter, queue and metric interval.
    pub fn exporter(mut self, exporter: SinkBuilder) -> Self {
        self.exporters.push(exporter);
        self
    }

    /// Sets how often console, JSON file and collector get the metrics: 60 s by default, at least
    /// 10 ms. A flush and the shutdown bring them, too.
    pub fn metric_interval(mut self, interval: Duration) -> Self {
        self.metric_interval = interval;
        self
    }
}

/// Buffers, waits, measurements.
impl Builder {
    /// Sets how many bytes of records may wait in the threads' buffers: 16 MiB by default, at
    /// least 256 KiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = Some(bytes);
        self
    }

    /// Sets how long call sites wait for room before they drop: 100 ms on a thread and 10 ms in an
    /// async worker by default; zero = never.
    pub fn waits(mut self, waits: Waits) -> Self {
        self.waits = waits;
        self
    }

    /// Sets whether the poller runs, which measures the process every 10 s: it does by default.
    #[cfg(feature = "poller")]
    pub fn poller(mut self, on: bool) -> Self {
        self.poller = on.then(|| self.poller.unwrap_or(Duration::from_secs(10)));
        self
    }

    /// Sets how often the poller measures: from 10 ms to a day, 10 s by default.
    #[cfg(feature = "poller")]
    pub fn poll_period(mut self, period: Duration) -> Self {
        self.poller = Some(period);
        self
    }

    /// Adds a measurement, which the poller's thread takes every period.
    ///
    /// ```
    /// let builder = telemetry_toolkit::builder().measure("queue", |measure| {
    ///     measure.up_down_counter("queue.length", [("queue", "mail")], 3);
    ///     Ok(())
    /// });
    /// ```
    #[cfg(feature = "poller")]
    pub fn measure<F>(mut self, name: impl Into<String>, measurement: F) -> Self
    where
        F: FnMut(&mut Measure) -> Result<(), MeasureError> + Send + 'static,
    {
        self.measurements.push((name.into(), Box::new(measurement)));
        self
    }
}

/// What of the process is taken over; all of it by default.
impl Builder {
    /// Sets whether the global `tracing` subscriber is ours. Without it, events and spans go to
    /// another library's subscriber only.
    pub fn tracing(mut self, on: bool) -> Self {
        self.globals.tracing = on;
        self
    }

    /// Sets whether records of the `log` crate are taken.
    pub fn log(mut self, on: bool) -> Self {
        self.globals.log = on;
        self
    }

    /// Sets whether the `metrics` facade writes into our registry.
    pub fn metrics(mut self, on: bool) -> Self {
        self.globals.metrics = on;
        self
    }

    /// Sets whether a panic is told as an event of target `panic`, and flushed (200 ms at most),
    /// before the hook that was there.
    pub fn panic_hook(mut self, on: bool) -> Self {
        self.globals.panic_hook = on;
        self
    }

    /// Sets whether `std::process::exit` and a return from `main` flush, 2 s at most. `abort` and
    /// `SIGKILL` run no hook.
    pub fn exit_hook(mut self, on: bool) -> Self {
        self.globals.exit_hook = on;
        self
    }
}

/// The environment.
impl Builder {
    /// Takes over what the environment says: it replaces what was set before this call, and what
    /// is set after it replaces the environment's. The [crate's documentation](crate) lists the
    /// variables.
    ///
    /// A variable that cannot be used is a warning and counts as unset, unless
    /// `TELEMETRY_STRICT=1`, which makes it an error of [`init`](Self::init).
    pub fn from_env(self) -> Self {
        let unreadable = RefCell::new(BTreeSet::new());
        let mut builder = self.from_variables(|name| match std::env::var(name) {
            Ok(value) => Some(value),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => {
                unreadable.borrow_mut().insert(name.to_owned());
                None
            }
        });
        // The value is left out: it may be a secret.
        let error = |name: String| ("environment", Error::setting(&name, "…", "UTF-8"));
        builder.warnings.extend(unreadable.into_inner().into_iter().map(error));
        builder
    }

    /// As [`from_env`](Self::from_env), with other variables than the process's.
    pub fn from_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let (mut settings, warnings) = environment::read(&variable);
        self.warnings.extend(warnings);
        #[cfg(feature = "otlp-http")]
        self.otlp.read(&settings, &variable, &mut self.warnings);
        #[cfg(not(feature = "otlp-http"))]
        if settings.exporters.otlp(settings.endpoints.0) != telemetry_core::export::Signals::NONE {
            let error =
                Error::setting("exporter", "otlp", "another: the feature `otlp-http` is off");
            self.warnings.push(("OTEL_EXPORTER_OTLP_ENDPOINT", error));
        }
        self.is_strict |= settings.strict;
        self.is_disabled |= settings.disabled;
        for (key, value) in std::mem::take(&mut settings.resource) {
            self.resource = self.resource.with(key, value);
        }
        self.take(settings);
        self
    }

    fn take(&mut self, settings: Settings) {
        if let Some(filter) = settings.filter {
            self.filter = filter;
        }
        if let Some(console) = settings.console {
            self.console = ConsoleOutput::Standard(console);
        }
        if let Some(path) = settings.json_file {
            self.json = JsonOutput::File(path, Origin::Environment);
        }
        if let Some(interval) = settings.metric_interval {
            self.metric_interval = interval;
        }
        if let Some(propagators) = settings.propagators {
            self.propagators = propagators;
        }
        if let Some(sampler) = settings.sampler {
            self.sampler = Some(Arc::new(sampler));
        }
        for name in settings.redact {
            match self.redaction.clone().name(&name) {
                Ok(redaction) => self.redaction = redaction,
                Err(error) => self.warnings.push(("TELEMETRY_REDACT", error)),
            }
        }
        self.diagnostics = settings.diagnostics.or(self.diagnostics);
        if let Some(said) = settings.exporters.spans {
            self.shown.spans = Some(said.console);
        }
        if let Some(said) = settings.exporters.metrics {
            self.shown.metrics = Some(said.console);
        }
    }
}
