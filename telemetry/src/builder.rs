//! Everything that can be set, and from where.
//!
//! # Invariants
//!
//! - Whatever is said later stands above what was said before; [`Builder::from_env`] takes its
//!   place in that order.
//! - A setting that is wrong is kept as an error until [`Builder::init`] returns it.

use crate::attributes::{self, Attributes};
use crate::environment::{self, Console, Format, Settings, Warning};
use crate::inspect::doors::Doors;
use crate::metrics::Metrics;
#[cfg(feature = "otlp-http")]
use crate::otlp::Otlp;
use crate::outputs::{ConsoleOutput, JsonOutput, Shown};
use crate::setting::{Origin, Setting};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telemetry_core::context::Propagators;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{BUFFER_BYTES, METRIC_INTERVAL, RateLimit, SinkBuilder};
use telemetry_core::redaction::Redaction;
#[cfg(feature = "otlp-http")]
use telemetry_core::redaction::Secret;
use telemetry_core::{Error, Level, Sampler, Waits, variables};
#[cfg(feature = "poller")]
use telemetry_poller::{Measure, MeasureError};

/// How often the poller measures, unless told otherwise.
#[cfg(feature = "poller")]
const POLL_PERIOD: Duration = Duration::from_secs(10);

/// A measurement that the poller runs.
#[cfg(feature = "poller")]
pub(crate) type Measurement = Box<dyn FnMut(&mut Measure) -> Result<(), MeasureError> + Send>;

/// Filters of single exporters; `None` = the common one.
pub(crate) struct Filters {
    pub(crate) console: Setting<Option<Filter>>,
    pub(crate) json: Setting<Option<Filter>>,
    pub(crate) otlp: Setting<Option<Filter>>,
}

/// A sampler with what settings call it.
pub(crate) struct NamedSampler {
    pub(crate) name: String,
    /// `None` = all traces.
    pub(crate) sampler: Option<Arc<dyn Sampler>>,
}

impl NamedSampler {
    fn all() -> Self {
        Self { name: "all".to_owned(), sampler: None }
    }

    fn of(name: impl fmt::Display, sampler: impl Sampler) -> Self {
        Self { name: name.to_string(), sampler: Some(Arc::new(sampler)) }
    }
}

/// How something was added to the redaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redacted {
    Name,
    Kept,
    Value,
}

/// What of the process is taken over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Globals {
    pub(crate) tracing: Setting<bool>,
    pub(crate) log: Setting<bool>,
    pub(crate) metrics: Setting<bool>,
    pub(crate) hangup: Setting<bool>,
    pub(crate) panic_hook: Setting<bool>,
    pub(crate) exit_hook: Setting<bool>,
    #[cfg(feature = "opentelemetry")]
    pub(crate) opentelemetry: Setting<bool>,
    /// Does a layer run on the tracer of another SDK?
    #[cfg(all(feature = "opentelemetry", feature = "layer"))]
    pub(crate) has_foreign_tracer: bool,
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
    pub(crate) resource: Attributes,
    pub(crate) filter: Setting<Filter>,
    pub(crate) filter_file: Setting<Option<PathBuf>>,
    pub(crate) filters: Filters,
    pub(crate) console: Setting<ConsoleOutput>,
    pub(crate) shown: Shown,
    pub(crate) json: Setting<JsonOutput>,
    #[cfg(feature = "otlp-http")]
    pub(crate) otlp: Otlp,
    pub(crate) exporters: Vec<SinkBuilder>,
    pub(crate) metric_interval: Setting<Duration>,
    pub(crate) metrics: Metrics,
    pub(crate) rate_limit: Setting<Option<RateLimit>>,
    pub(crate) buffer_bytes: Setting<usize>,
    pub(crate) waits: Setting<Waits>,
    pub(crate) write_through: Setting<bool>,
    pub(crate) sampler: Setting<NamedSampler>,
    pub(crate) propagators: Setting<Propagators>,
    pub(crate) baggage_fields: Setting<Vec<String>>,
    pub(crate) redaction: Redaction,
    /// What `redaction` consists of beside the usual names.
    pub(crate) redacted: Vec<(Redacted, Setting<String>)>,
    #[cfg(feature = "poller")]
    pub(crate) poller: Setting<Option<Duration>>,
    #[cfg(feature = "poller")]
    pub(crate) measurements: Vec<(String, Measurement)>,
    pub(crate) globals: Globals,
    pub(crate) doors: Doors,
    pub(crate) errors: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) is_strict: Setting<bool>,
    pub(crate) is_disabled: Setting<bool>,
    /// `None` = nothing goes to standard error.
    pub(crate) diagnostics: Setting<Option<Level>>,
    #[cfg(feature = "layer")]
    pub(crate) layers: Vec<crate::layer::BoxedLayer>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            resource: Attributes::default(),
            filter: Setting::new(Filter::level(Level::Info)),
            filter_file: Setting::new(None),
            filters: Filters {
                console: Setting::new(None),
                json: Setting::new(None),
                otlp: Setting::new(None),
            },
            console: Setting::new(ConsoleOutput::Standard(Console::default())),
            shown: Shown::default(),
            json: Setting::new(JsonOutput::Off),
            #[cfg(feature = "otlp-http")]
            otlp: Otlp::default(),
            exporters: Vec::new(),
            metric_interval: Setting::new(METRIC_INTERVAL),
            metrics: Metrics::default(),
            rate_limit: Setting::new(Some(RateLimit::default())),
            buffer_bytes: Setting::new(BUFFER_BYTES),
            waits: Setting::new(Waits::default()),
            write_through: Setting::new(false),
            sampler: Setting::new(NamedSampler::all()),
            propagators: Setting::new(Propagators::default()),
            baggage_fields: Setting::new(Vec::new()),
            redaction: Redaction::default(),
            redacted: Vec::new(),
            #[cfg(feature = "poller")]
            poller: Setting::new(Some(POLL_PERIOD)),
            #[cfg(feature = "poller")]
            measurements: Vec::new(),
            globals: Globals {
                tracing: Setting::new(true),
                log: Setting::new(true),
                metrics: Setting::new(true),
                hangup: Setting::new(false),
                panic_hook: Setting::new(true),
                exit_hook: Setting::new(true),
                #[cfg(feature = "opentelemetry")]
                opentelemetry: Setting::new(true),
                #[cfg(all(feature = "opentelemetry", feature = "layer"))]
                has_foreign_tracer: false,
            },
            doors: Doors::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            is_strict: Setting::new(false),
            is_disabled: Setting::new(false),
            diagnostics: Setting::new(Some(Level::Info)),
            #[cfg(feature = "layer")]
            layers: Vec::new(),
        }
    }
}

impl fmt::Debug for Builder {
    /// Leaves out endpoints and headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("resource", &self.resource.resource().redacted(&self.redaction))
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
        self.resource.set(key.into(), value.into(), Origin::Program);
        self
    }

    /// Sets what all exporters take that have no filter of their own: `info,app::db=debug`. By
    /// default `info`.
    pub fn filter(mut self, filter: &str) -> Self {
        if let Some(filter) = self.parsed(filter) {
            self.filter.set(filter);
        }
        self
    }

    /// Follows the filter in a file, which is looked at once a second: while it is there it stands
    /// above [`filter`](Self::filter) and `RUST_LOG`. Its directives stand on one line or on
    /// several; lines that begin with `#` are comments.
    ///
    /// A file that is missing, empty or no filter leaves the filter as it was, with a warning.
    pub fn filter_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.filter_file.set(Some(path.into()));
        self
    }

    /// Sets which traces are exported: all by default. Log events are not sampled.
    pub fn sampler<S: Sampler>(mut self, sampler: S) -> Self {
        self.sampler.set(NamedSampler::of(std::any::type_name::<S>(), sampler));
        self
    }

    /// Sets what [`context::extract`](crate::context::extract) and
    /// [`context::inject`](crate::context::inject) read and write: trace context and baggage by
    /// default. `OTEL_PROPAGATORS` says the same.
    pub fn propagators(mut self, propagators: Propagators) -> Self {
        self.propagators.set(propagators);
        self
    }

    /// Sets which members of the baggage become fields of the records inside: none by default,
    /// because callers say what is in it.
    pub fn baggage_fields<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.baggage_fields.set(keys.into_iter().map(Into::into).collect());
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
        self.redact(Redacted::Name, names)
    }

    /// Keeps fields that would be redacted by their names; each is named as a whole.
    pub fn keep_names<N: AsRef<str>>(self, fields: impl IntoIterator<Item = N>) -> Self {
        self.redact(Redacted::Kept, fields)
    }

    /// Redacts what these regular expressions match in any text of a record: none by default, but
    /// for the user information of URLs, which always is. The worker does it, not the call site:
    /// at most 32 patterns, 64 KiB compiled each.
    pub fn redact_values<P: AsRef<str>>(self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.redact(Redacted::Value, patterns)
    }

    fn redact<T: AsRef<str>>(mut self, how: Redacted, parts: impl IntoIterator<Item = T>) -> Self {
        for part in parts {
            if let Err(error) = self.add_redacted(how, part.as_ref(), Origin::Program) {
                self.errors.push(error);
            }
        }
        self
    }

    fn add_redacted(&mut self, how: Redacted, part: &str, origin: Origin) -> Result<(), Error> {
        let before = self.redaction.clone();
        self.redaction = match how {
            Redacted::Name => before.name(part)?,
            Redacted::Kept => before.keep(part)?,
            Redacted::Value => before.value(part)?,
        };
        self.redacted.push((how, Setting::from(part.to_owned(), origin)));
        Ok(())
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
        self.console.set(ConsoleOutput::Exporter(SinkBuilder::new(exporter)));
        self
    }

    /// Leaves the console out.
    pub fn no_console(mut self) -> Self {
        self.console.set(ConsoleOutput::Standard(Console { format: Format::Off, stream: None }));
        self
    }

    /// Sets whether the console tells the ends of spans, a line each with its duration: JSON lines
    /// do unless set, lines for people do not. `OTEL_TRACES_EXPORTER=console` says the same. An
    /// exporter of [`console`](Self::console) has a setting of its own.
    pub fn console_spans(mut self, on: bool) -> Self {
        self.shown.spans.set(Some(on));
        self
    }

    /// Sets whether the console tells what the poller reads, a short line a poll: it does not
    /// unless set. JSON lines have all metrics as often then. An exporter of
    /// [`console`](Self::console) has a setting of its own for the line; this one gives it the
    /// interval.
    #[cfg(feature = "poller")]
    pub fn console_polls(mut self, on: bool) -> Self {
        self.shown.polls.set(on);
        self
    }

    /// Sets what the console takes.
    pub fn console_filter(mut self, filter: &str) -> Self {
        if let Some(filter) = self.parsed(filter) {
            self.filters.console.set(Some(filter));
        }
        self
    }

    /// Appends logs, spans and metrics to a file, as lines of JSON.
    #[cfg(feature = "json")]
    pub fn json_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.json.set(JsonOutput::File(path.into()));
        self
    }

    /// Adds a JSON exporter, instead of that of [`json_file`](Self::json_file).
    #[cfg(feature = "json")]
    pub fn json(mut self, exporter: telemetry_json::JsonExporter) -> Self {
        self.json.set(JsonOutput::Exporter(SinkBuilder::new(exporter)));
        self
    }

    /// Sets what the JSON file takes.
    #[cfg(feature = "json")]
    pub fn json_filter(mut self, filter: &str) -> Self {
        if let Some(filter) = self.parsed(filter) {
            self.filters.json.set(Some(filter));
        }
        self
    }

    /// Sends logs, spans and metrics to a collector with this exporter.
    #[cfg(feature = "otlp-http")]
    pub fn otlp(mut self, exporter: telemetry_otlp::OtlpExporter) -> Self {
        self.otlp.set_exporter(exporter);
        self
    }

    /// Sends logs, spans and metrics to a collector: `http://localhost:4318`. Over gRPC if
    /// `OTEL_EXPORTER_OTLP_PROTOCOL` says so; a program that is to decide it makes an
    /// [`OtlpExporter`](crate::OtlpExporter).
    #[cfg(feature = "otlp-http")]
    pub fn otlp_endpoint(mut self, url: impl Into<Secret<String>>) -> Self {
        self.otlp.set_url(url.into().into_inner());
        self
    }

    /// Sets what the collector gets.
    #[cfg(feature = "otlp-http")]
    pub fn otlp_filter(mut self, filter: &str) -> Self {
        if let Some(filter) = self.parsed(filter) {
            self.filters.otlp.set(Some(filter));
        }
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
        self.metric_interval.set(interval);
        self
    }
}

/// Buffers, waits, measurements.
impl Builder {
    /// Sets how many events a call site may emit: 1,000 a second and 10,000 at once by default, not
    /// counting errors; `None` = as many as it likes. What is beyond is counted, and told.
    ///
    /// ```
    /// use telemetry_toolkit::{RateLimit, builder};
    ///
    /// let more = builder().rate_limit(RateLimit::per_second(5_000).except("access_log"));
    /// let any = builder().rate_limit(None);
    /// ```
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.rate_limit.set(limit.into());
        self
    }

    /// Sets how many bytes of records may wait in the threads' buffers: 16 MiB by default, at
    /// least 256 KiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes.set(bytes);
        self
    }

    /// Sets how long call sites wait for room before they drop: 100 ms on a thread and 10 ms in an
    /// async worker by default; zero = never.
    pub fn waits(mut self, waits: Waits) -> Self {
        self.waits.set(waits);
        self
    }

    /// Sets whether an event's call returns only when console and JSON file have its line: it does
    /// not by default. For programs on the command line: `abort`, `_exit` and `SIGKILL` then lose
    /// no more than with a logger that writes at the call site. An event costs tens of microseconds
    /// and two changes of threads. [`crate::SinkBuilder::write_through`] says more, and the same
    /// for an exporter of your own.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("run.jsonl");
    /// let telemetry =
    ///     telemetry_toolkit::builder().no_console().json_file(&file).write_through(true).init()?;
    /// tracing::info!("about to touch the disk");
    /// assert!(std::fs::read_to_string(&file)?.contains("about to touch the disk"));
    /// telemetry.shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_through(mut self, on: bool) -> Self {
        self.write_through.set(on);
        self
    }

    /// Sets whether the poller runs, which measures the process every 10 s: it does by default.
    #[cfg(feature = "poller")]
    pub fn poller(mut self, on: bool) -> Self {
        self.poller.set(on.then(|| self.poller.unwrap_or(POLL_PERIOD)));
        self
    }

    /// Sets how often the poller measures: from 10 ms to a day, 10 s by default.
    #[cfg(feature = "poller")]
    pub fn poll_period(mut self, period: Duration) -> Self {
        self.poller.set(Some(period));
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

/// Who may look at what the process is doing; nobody by default.
impl Builder {
    /// Lets `telemetry inspect` look, through a Unix socket of mode 600 at `path`; in it, if that
    /// is a directory. `"auto"` is a directory of the user's, and `"off"` takes back what was said
    /// before. `TELEMETRY_INSPECT` says the same.
    ///
    /// Wherever it is, the number of the process leads to it: `telemetry inspect 4711`. It must not
    /// lie in a directory that everybody may write to, unless that is sticky, as `/tmp` is.
    pub fn inspect_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.doors.socket.set(Some(path.into()));
        self
    }

    /// Lets the process tell what it is doing when it gets a signal (`libc::SIGUSR1`): on standard
    /// error, and, shortened to 15 KiB of JSON, as a record of target `telemetry`. A handler that
    /// was there is called, too.
    pub fn inspect_signal(mut self, signal: i32) -> Self {
        self.doors.signal.set(Some(signal));
        self
    }
}

/// What of the process is taken over; all of it by default.
impl Builder {
    /// Sets whether the global `tracing` subscriber is ours. Without it, events and spans go to
    /// another library's subscriber only.
    pub fn tracing(mut self, on: bool) -> Self {
        self.globals.tracing.set(on);
        self
    }

    /// Sets whether records of the `log` crate are taken.
    pub fn log(mut self, on: bool) -> Self {
        self.globals.log.set(on);
        self
    }

    /// Sets whether the `metrics` facade writes into our registry.
    pub fn metrics(mut self, on: bool) -> Self {
        self.globals.metrics.set(on);
        self
    }

    /// Sets whether SIGHUP lets the filter file be read again and JSON files be opened anew: it
    /// does not by default. Handlers that were there are called, too; without this, SIGHUP ends a
    /// process that has none.
    pub fn reload_at_hangup(mut self, on: bool) -> Self {
        self.globals.hangup.set(on);
        self
    }

    /// Sets whether a panic is told as an event of target `panic`, and flushed (200 ms at most),
    /// before the hook that was there.
    pub fn panic_hook(mut self, on: bool) -> Self {
        self.globals.panic_hook.set(on);
        self
    }

    /// Sets whether the global tracer provider and propagator of the crate `opentelemetry` are
    /// ours, and its current context the thread's span; see
    /// [`opentelemetry`](crate::opentelemetry).
    #[cfg(feature = "opentelemetry")]
    pub fn opentelemetry(mut self, on: bool) -> Self {
        self.globals.opentelemetry.set(on);
        self
    }

    /// Sets whether `std::process::exit` and a return from `main` flush, 2 s at most. `abort` and
    /// `SIGKILL` run no hook.
    pub fn exit_hook(mut self, on: bool) -> Self {
        self.globals.exit_hook.set(on);
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
        let (mut builder, errors) = variables::read(|variable| self.from_variables(variable));
        builder.warnings.extend(errors.into_iter().map(|error| ("environment", error)));
        builder
    }

    /// As [`from_env`](Self::from_env), with other variables than the process's.
    pub fn from_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let (settings, warnings) = environment::read(&variable);
        self.warnings.extend(warnings);
        #[cfg(feature = "otlp-http")]
        self.otlp.read(&settings, &variable, &mut self.warnings);
        #[cfg(not(feature = "otlp-http"))]
        if settings.exporters.otlp(settings.endpoints.0) != telemetry_core::export::Signals::NONE {
            let error =
                Error::setting("exporter", "otlp", "another: the feature `otlp-http` is off");
            self.warnings.push(("OTEL_EXPORTER_OTLP_ENDPOINT", error));
        }
        self.take(settings);
        self
    }

    fn take(&mut self, settings: Settings) {
        self.is_strict.read(settings.strict.then_some(true), "TELEMETRY_STRICT");
        self.is_disabled.read(settings.disabled.then_some(true), "OTEL_SDK_DISABLED");
        self.filter.read(settings.filter, "RUST_LOG");
        self.doors.socket.read(settings.inspect.map(Some), "TELEMETRY_INSPECT");
        self.filter_file.read(settings.filter_file.map(Some), "TELEMETRY_FILTER_FILE");
        let console = settings.console.map(ConsoleOutput::Standard);
        self.console.read(console, "TELEMETRY_CONSOLE");
        self.json.read(settings.json_file.map(JsonOutput::File), "TELEMETRY_JSON_FILE");
        self.rate_limit.read(settings.rate_limit, "TELEMETRY_RATE_LIMIT");
        self.write_through.read(settings.write_through, "TELEMETRY_WRITE_THROUGH");
        self.metric_interval.read(settings.metric_interval, "OTEL_METRIC_EXPORT_INTERVAL");
        self.metrics.default_buckets.read(settings.default_buckets, environment::AGGREGATION);
        self.propagators.read(settings.propagators, "OTEL_PROPAGATORS");
        let sampler = settings.sampler.map(|sampler| NamedSampler::of(sampler, sampler));
        self.sampler.read(sampler, "OTEL_TRACES_SAMPLER");
        self.diagnostics.read(settings.diagnostics, "OTEL_LOG_LEVEL");
        let said = settings.exporters;
        self.shown.spans.read(said.spans.map(|said| Some(said.console)), "OTEL_TRACES_EXPORTER");
        let metrics = said.metrics.map(|said| Some(said.console));
        self.shown.metrics.read(metrics, "OTEL_METRICS_EXPORTER");
        for (key, value) in settings.resource {
            self.resource.set(key, value, Origin::Variable(attributes::VARIABLE));
        }
        // Said by itself, it stands above `service.name` among the attributes.
        if let Some(name) = settings.service_name {
            let origin = Origin::Variable("OTEL_SERVICE_NAME");
            self.resource.set("service.name".to_owned(), name, origin);
        }
        for name in settings.redact {
            const VARIABLE: &str = "TELEMETRY_REDACT";
            let added = self.add_redacted(Redacted::Name, &name, Origin::Variable(VARIABLE));
            let warning = added.err().map(|error| (VARIABLE, error.of_setting(VARIABLE)));
            self.warnings.extend(warning);
        }
    }
}
