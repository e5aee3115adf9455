//! What a pipeline is made of, and its start.

use super::{Pipeline, ScopedPipeline, Shared};
use crate::clock::Anchors;
use crate::control::{Control, Filtered, Settings};
use crate::error::Error;
use crate::export::{Context, Exporter, Signals};
use crate::filter::Filter;
use crate::filter_file::FilterFile;
use crate::intake::{BUDGET_BYTES, Extent, Intake, Ledger, Waits};
use crate::ledger::SinkLedger;
use crate::level::Level;
use crate::metric::{self, Registry};
use crate::plan::{Plan, Scope};
use crate::rate_limit::RateLimit;
#[cfg(feature = "layer")]
use crate::recorder::layer::BoxedLayer;
use crate::redaction::Redaction;
use crate::resource::Resource;
use crate::router::{self, Reservation};
use crate::runner::{OnFull, Policy, Sink};
use crate::sampler::{self, Sampler};
use crate::worker::{self, Commands, Parts, Worker};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many exporters a pipeline may have: a record's sink mask has 32 bits.
pub const EXPORTERS_MAX: usize = 32;
/// How often metrics are read, unless told otherwise (`OTEL_METRIC_EXPORT_INTERVAL`).
pub const METRIC_INTERVAL: Duration = Duration::from_secs(60);
/// How many bytes of records may wait in the threads' buffers, unless told otherwise.
pub const BUFFER_BYTES: usize = BUDGET_BYTES;
/// The least budget for buffers.
const BUDGET_BYTES_MIN: usize = 256 * 1024;
/// The least size of an exporter's queue.
const QUEUE_BYTES_MIN: usize = 64 * 1024;

/// An exporter with everything the pipeline has to know of it.
pub struct SinkBuilder {
    exporter: Box<dyn Exporter>,
    filter: Option<Filter>,
    on_full: OnFull,
    queue_bytes: usize,
    metric_interval: Duration,
    write_through: bool,
}

impl std::fmt::Debug for SinkBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkBuilder")
            .field("exporter", &self.exporter.name())
            .field("filter", &self.filter.as_ref().map(Filter::to_string))
            .finish_non_exhaustive()
    }
}

impl SinkBuilder {
    /// An exporter that takes what the pipeline's filter lets through.
    pub fn new(exporter: impl Exporter) -> Self {
        Self {
            exporter: Box::new(exporter),
            filter: None,
            on_full: OnFull::Wait,
            queue_bytes: 8 * 1024 * 1024,
            metric_interval: METRIC_INTERVAL,
            write_through: false,
        }
    }

    /// The exporter's name.
    pub fn name(&self) -> &str {
        self.exporter.name()
    }

    /// What it takes; by default what [`Builder::filter`] says.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// What happens when its queue is full; [`OnFull::Wait`] by default.
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// How many bytes may be queued or under way; 8 MiB by default, at least 64 KiB.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// How often it gets a reading of the metrics; 60 s by default, at least 10 ms.
    #[must_use]
    pub fn metric_interval(mut self, interval: Duration) -> Self {
        self.metric_interval = interval;
        self
    }

    /// Does a call site wait until the exporter has its event, or its finished span? No by
    /// default.
    ///
    /// With it, what a call of `info!` has returned from is out: delivered, or counted as lost.
    /// `abort` and `SIGKILL` lose nothing that they would not lose with an exporter that writes
    /// at the call site. The price is two changes of threads and a wait at each event, tens of
    /// microseconds; threads that wait at the same time share a batch.
    ///
    /// A call waits as [`Waits`](crate::Waits) says, without movement of the exporter, up to 2 s
    /// while its thread computes or waits for a core or a disk. After a wait in vain no call waits
    /// until the exporter has caught up. The pipeline's own threads and what a `Debug` emits do
    /// not wait; nor do async workers where their wait is zero.
    #[must_use]
    pub fn write_through(mut self, on: bool) -> Self {
        self.write_through = on;
        self
    }

    fn filtered(&self) -> Filtered {
        Filtered {
            name: self.exporter.name().to_owned(),
            signals: self.exporter.signals(),
            own: self.filter.clone(),
        }
    }

    /// How often it gets a reading of the metrics; `None` if it takes none.
    fn reading_interval(&self) -> Option<Duration> {
        self.exporter.signals().contains(Signals::METRICS).then_some(self.metric_interval)
    }

    fn into_parts(
        self,
        index: usize,
        ledger: &Arc<Ledger>,
        intake: &Arc<Intake>,
    ) -> (Arc<Sink>, Box<dyn Exporter>) {
        let sink = Sink::new(
            self.exporter.name().to_owned(),
            index,
            self.exporter.signals(),
            Policy {
                on_full: self.on_full,
                capacity_bytes: self.queue_bytes,
                writes_through: self.write_through,
            },
            (Arc::clone(ledger), Arc::clone(intake)),
        );
        (sink, self.exporter)
    }

    fn check(&self) -> Result<(), Error> {
        if self.queue_bytes < QUEUE_BYTES_MIN {
            let right = format!("at least {QUEUE_BYTES_MIN} bytes");
            return Err(Error::setting("queue_bytes", self.queue_bytes, &right));
        }
        if self.metric_interval < Duration::from_millis(10) {
            let value = format!("{:?}", self.metric_interval);
            return Err(Error::setting("metric_interval", value, "at least 10 ms"));
        }
        Ok(())
    }
}

/// Sets up a pipeline.
pub struct Builder {
    resource: Resource,
    filter: Filter,
    filter_file: Option<PathBuf>,
    reload_at_hangup: bool,
    sinks: Vec<SinkBuilder>,
    buffer_bytes: usize,
    waits: Waits,
    sampler: Option<Arc<dyn Sampler>>,
    registry: Registry,
    redaction: Redaction,
    rate_limit: Option<RateLimit>,
    tracing: bool,
    log: bool,
    #[cfg(feature = "layer")]
    layers: Vec<BoxedLayer>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            resource: Resource::default(),
            filter: Filter::level(Level::Info),
            filter_file: None,
            reload_at_hangup: false,
            sinks: Vec::new(),
            buffer_bytes: BUFFER_BYTES,
            waits: Waits::default(),
            sampler: None,
            registry: metric::global().clone(),
            redaction: Redaction::default(),
            rate_limit: None,
            tracing: true,
            log: true,
            #[cfg(feature = "layer")]
            layers: Vec::new(),
        }
    }
}

impl Builder {
    /// Who tells; see [`Resource`].
    #[must_use]
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resource = resource;
        self
    }

    /// What the exporters take that have no filter of their own; [`Level::Info`] and above by
    /// default. It can be changed later: [`Pipeline::filters`].
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// A file with the common filter ([`Filter::read`]), which is looked at once a second: it
    /// stands above [`filter`](Self::filter) while it is there. For an attached pipeline only.
    ///
    /// A file that is missing or is no filter leaves the filter as it was, with a warning.
    #[must_use]
    pub fn filter_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.filter_file = Some(path.into());
        self
    }

    /// Is the filter file read again at SIGHUP, and do exporters open their files anew? No by
    /// default. For an attached pipeline only; see [`signal::watch`](crate::signal::watch).
    #[must_use]
    pub fn reload_at_hangup(mut self, on: bool) -> Self {
        self.reload_at_hangup = on;
        self
    }

    /// Adds an exporter; at most [`EXPORTERS_MAX`].
    #[must_use]
    pub fn sink(mut self, sink: SinkBuilder) -> Self {
        self.sinks.push(sink);
        self
    }

    /// How many bytes of records may wait in the threads' buffers; 16 MiB by default, at least
    /// 256 KiB.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How long call sites wait for room; zero = never (real-time callers).
    #[must_use]
    pub fn waits(mut self, waits: Waits) -> Self {
        self.waits = waits;
        self
    }

    /// Which traces are exported; all by default. For an attached pipeline only.
    #[must_use]
    pub fn sampler(mut self, sampler: impl Sampler) -> Self {
        self.sampler = Some(Arc::new(sampler));
        self
    }

    /// Where metrics are read; the process's registry by default.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// What is taken for a secret, and replaced by `[redacted]`; see [`Redaction`].
    ///
    /// Its names hold for the process while the pipeline is attached, and after it until the next
    /// one; a scoped pipeline takes those that hold.
    #[must_use]
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// How many events a call site may emit; as many as it likes by default. For an attached
    /// pipeline only.
    #[must_use]
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.rate_limit = limit.into();
        self
    }

    /// Is the global `tracing` subscriber ours? Yes by default.
    ///
    /// Without it, and with another library's beside it, an attached pipeline takes `log` records
    /// and metrics only. The subscriber cannot be taken back once it is installed.
    #[must_use]
    pub fn tracing(mut self, on: bool) -> Self {
        self.tracing = on;
        self
    }

    /// Adds a layer of somebody else's. With it, the global `tracing` subscriber is a `Registry`
    /// with a [`TelemetryLayer`](crate::TelemetryLayer) and the layers given, in this order.
    ///
    /// For the first pipeline of a process that is attached. A filter belongs to its layer
    /// (`with_filter`): one that stands alone here filters for all.
    #[cfg(feature = "layer")]
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync + 'static,
    {
        self.layers.push(Box::new(layer));
        self
    }

    /// Are records of the `log` crate taken? Yes by default.
    #[must_use]
    pub fn log(mut self, on: bool) -> Self {
        self.log = on;
        self
    }

    fn check(&self) -> Result<(), Error> {
        if self.sinks.len() > EXPORTERS_MAX {
            let right = format!("at most {EXPORTERS_MAX}");
            return Err(Error::setting("exporters", self.sinks.len(), &right));
        }
        if self.buffer_bytes < BUDGET_BYTES_MIN {
            let right = format!("at least {BUDGET_BYTES_MIN} bytes");
            return Err(Error::setting("buffer_bytes", self.buffer_bytes, &right));
        }
        #[cfg(feature = "layer")]
        if !self.layers.is_empty() && !self.tracing {
            let right = "`true` where layers are given: they have no other place";
            return Err(Error::setting("tracing", false, right));
        }
        if let Some(limit) = &self.rate_limit {
            limit.check()?;
        }
        if self.waits.blocking.is_zero()
            && let Some(sink) = self.sinks.iter().find(|sink| sink.write_through)
        {
            let right = format!("more than 0 where an exporter writes through: `{}`", sink.name());
            return Err(Error::setting("waits.blocking", "0ns", &right));
        }
        for (n, sink) in self.sinks.iter().enumerate() {
            sink.check()?;
            let name = sink.exporter.name();
            if self.sinks[..n].iter().any(|other| other.exporter.name() == name) {
                return Err(Error::setting("exporter name", name, "unique in its pipeline"));
            }
        }
        Ok(())
    }

    /// Starts the pipeline and attaches it to the process: everything that `tracing`, `log` and
    /// our macros emit goes to it.
    ///
    /// # Errors
    ///
    /// A setting is wrong; another pipeline is attached; another library's subscriber is global;
    /// a thread cannot be started.
    pub fn attach(mut self) -> Result<Pipeline, Error> {
        self.check()?;
        self.install()?;
        let reservation = Reservation::take()?;
        router::redact(&self.redaction)?;
        self.registry.redact_again();
        let (log, reload_at_hangup) = (self.log, self.reload_at_hangup);
        let file = self.filter_file.take().map(FilterFile::open);
        let file = file.map(|(file, filter)| {
            self.filter = filter.unwrap_or_else(|| self.filter.clone());
            file
        });
        let sampler = self.sampler.clone();
        let intake = Arc::clone(Intake::global());
        let (mut pipeline, plan) = self.start(intake, Some(reservation))?;
        pipeline.attached = true;
        // From here on the drop of `pipeline` cleans up.
        router::attach(&plan)?;
        sampler::set(sampler);
        crate::fork::watch();
        pipeline.watch(file, reload_at_hangup)?;
        if log && let Err(error) = crate::bridge::log::install() {
            crate::diagnostics::report("log.bridge", Level::Warn, error.to_string());
        }
        Ok(pipeline)
    }

    /// Gives the recorder its face towards `tracing`.
    fn install(&mut self) -> Result<(), Error> {
        #[cfg(feature = "layer")]
        if !self.layers.is_empty() && self.tracing {
            return crate::recorder::layer::install(std::mem::take(&mut self.layers));
        }
        if self.tracing { router::install() } else { Ok(()) }
    }

    /// Starts the pipeline for the threads that enter its scope only, beside any other: for tests.
    ///
    /// # Errors
    ///
    /// As [`Builder::attach`], but for another pipeline.
    pub fn scoped(self) -> Result<ScopedPipeline, Error> {
        self.check()?;
        router::install()?;
        let intake = Arc::new(Intake::new());
        let (mut pipeline, plan) = self.start(Arc::clone(&intake), None)?;
        let scope = Arc::new(Scope::new(plan, intake, None));
        pipeline.shared.control.set_scope(&scope);
        router::add_scope(&scope);
        pipeline.scope = Some(Arc::clone(&scope));
        Ok(ScopedPipeline { pipeline, scope })
    }

    fn start(
        self,
        intake: Arc<Intake>,
        reservation: Option<Reservation>,
    ) -> Result<(Pipeline, Arc<Plan>), Error> {
        let epoch = router::next_epoch();
        let ledger = Arc::new(self.ledger(epoch));
        let filters = self.sinks.iter().map(SinkBuilder::filtered).collect();
        let limit = self.rate_limit.filter(|_| reservation.is_some());
        if limit.is_some() {
            router::renew_meters();
        }
        let settings = Settings::new(self.filter, filters, limit.clone());
        let plan = Arc::new(settings.plan(epoch, None)?);
        let control = Arc::new(Control::new(settings, Arc::clone(&plan), Arc::clone(&intake)));
        intake.configure(self.buffer_bytes, self.waits, extent(&self.sinks));
        intake.set_ledger(&ledger);
        let context = Context { resource: Arc::new(self.resource.redacted(&self.redaction)) };
        let metric_intervals: Vec<_> =
            self.sinks.iter().map(SinkBuilder::reading_interval).collect();
        let (sinks, exporters): (Vec<_>, Vec<_>) = self
            .sinks
            .into_iter()
            .enumerate()
            .map(|(index, sink)| sink.into_parts(index, &ledger, &intake))
            .unzip();
        let commands = Arc::new(Commands::default());
        let pipeline = Pipeline {
            shared: Arc::new(Shared {
                sinks: sinks.clone(),
                commands: Arc::clone(&commands),
                intake: Arc::clone(&intake),
                control: Arc::clone(&control),
                process_id: std::process::id(),
                ended: AtomicBool::new(false),
                anchors: Mutex::new(Anchors::new()),
            }),
            threads: Mutex::new(Vec::new()),
            watches: Mutex::default(),
            scope: None,
            attached: false,
        };
        for (sink, exporter) in sinks.iter().zip(exporters) {
            let (sink, context) = (Arc::clone(sink), context.clone());
            let thread = std::thread::Builder::new()
                .name(format!("telemetry-{}", sink.name))
                .spawn(move || sink.run(exporter, &context))
                .map_err(|error| {
                    Error::resource("an exporter's thread cannot be started", error)
                })?;
            pipeline.add_thread(thread);
        }
        let registry = self.registry;
        let parts = Parts {
            intake,
            ledger,
            sinks,
            commands,
            control,
            registry,
            metric_intervals,
            takes_diagnostics: reservation.is_some(),
            limit,
            patterns: Arc::new(self.redaction.patterns),
        };
        let worker = worker::spawn(Worker::new(parts), reservation)
            .map_err(|error| Error::resource("the worker's thread cannot be started", error))?;
        pipeline.add_thread(worker);
        Ok((pipeline, plan))
    }

    fn ledger(&self, epoch: u8) -> Ledger {
        let takers = |signals: Signals| {
            let sinks = self.sinks.iter().enumerate();
            sinks
                .filter(|(_, sink)| sink.exporter.signals().contains(signals))
                .fold(0, |mask, (n, _)| mask | 1 << n)
        };
        Ledger {
            epoch,
            log_sinks: takers(Signals::LOGS),
            span_sinks: takers(Signals::SPANS),
            sinks: self.sinks.iter().map(|_| SinkLedger::default()).collect(),
        }
    }
}

/// Which exporters write through, if any do.
fn extent(sinks: &[SinkBuilder]) -> Option<Extent> {
    let through = sinks.iter().filter(|sink| sink.write_through);
    let spans = through.clone().any(|sink| sink.exporter.signals().contains(Signals::SPANS));
    let sinks = through.count();
    (sinks > 0).then_some(Extent { sinks, spans })
}
