//! A pipeline: exporters with their filters, one worker, and the ledger over it all.
//!
//! # Invariants
//!
//! - [`Pipeline::shutdown`] (or the drop) returns a report in which everything is accounted for;
//!   what its deadline left over is counted `shutdown_timeout`.
//! - Flush and shutdown need no async runtime and block on none: they wait for the pipeline's own
//!   threads. From one of those threads they are refused.
//! - After a fork, the child's copy does nothing: its threads were not copied.

use crate::clock;
use crate::error::Error;
use crate::export::{Context, Exporter, Signals};
use crate::filter::Filter;
use crate::flush::{Passed, Ticket};
use crate::intake::{BUDGET_BYTES, Intake, Ledger, Waits};
use crate::ledger::{Report, SinkLedger};
use crate::level::Level;
use crate::metric::{self, Registry};
use crate::own;
use crate::plan::{Plan, Scope};
use crate::resource::Resource;
use crate::router::{self, Reservation, Sampler};
pub use crate::runner::OnFull;
use crate::runner::Sink;
use crate::worker::{self, Command, Commands, Parts, Worker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many exporters a pipeline may have: a record's sink mask has 32 bits.
pub const EXPORTERS_MAX: usize = 32;
/// How long [`Pipeline`]'s drop waits for a complete shutdown.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often metrics are read, unless told otherwise (`OTEL_METRIC_EXPORT_INTERVAL`).
pub const METRIC_INTERVAL: Duration = Duration::from_secs(60);
/// The least budget for buffers.
const BUDGET_BYTES_MIN: usize = 256 * 1024;
/// The least size of an exporter's queue.
const QUEUE_BYTES_MIN: usize = 64 * 1024;

/// An exporter with everything the pipeline has to know of it.
pub struct SinkBuilder {
    exporter: Box<dyn Exporter>,
    filter: Filter,
    on_full: OnFull,
    queue_bytes: usize,
    metric_interval: Duration,
}

impl std::fmt::Debug for SinkBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkBuilder")
            .field("exporter", &self.exporter.name())
            .field("filter", &self.filter.to_string())
            .finish_non_exhaustive()
    }
}

impl SinkBuilder {
    /// An exporter that takes `info` and what is more severe.
    pub fn new(exporter: impl Exporter) -> Self {
        Self {
            exporter: Box::new(exporter),
            filter: Filter::level(Level::Info),
            on_full: OnFull::Wait,
            queue_bytes: 8 * 1024 * 1024,
            metric_interval: METRIC_INTERVAL,
        }
    }

    /// What it takes; [`Level::Info`] and above by default.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
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
            self.on_full,
            self.queue_bytes,
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
    sinks: Vec<SinkBuilder>,
    buffer_bytes: usize,
    waits: Waits,
    sampler: Option<Arc<dyn Sampler>>,
    registry: Registry,
    tracing: bool,
    log: bool,
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
            sinks: Vec::new(),
            buffer_bytes: BUDGET_BYTES,
            waits: Waits::default(),
            sampler: None,
            registry: metric::global().clone(),
            tracing: true,
            log: true,
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

    /// Is the global `tracing` subscriber ours? Yes by default.
    ///
    /// Without it, and with another library's beside it, an attached pipeline takes `log` records
    /// and metrics only. The subscriber cannot be taken back once it is installed.
    #[must_use]
    pub fn tracing(mut self, on: bool) -> Self {
        self.tracing = on;
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
    pub fn attach(self) -> Result<Pipeline, Error> {
        self.check()?;
        if self.tracing {
            router::install()?;
        }
        let reservation = Reservation::take()?;
        let log = self.log;
        let sampler = self.sampler.clone();
        let intake = Arc::clone(Intake::global());
        let (mut pipeline, plan) = self.start(intake, Some(reservation))?;
        pipeline.attached = true;
        // From here on the drop of `pipeline` cleans up.
        router::attach(&plan)?;
        router::set_sampler(sampler);
        crate::fork::watch();
        if log && let Err(error) = crate::bridge::log::install() {
            crate::diagnostics::report("log.bridge", Level::Warn, error.to_string());
        }
        Ok(pipeline)
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
        let scope = Arc::new(Scope { plan, intake });
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
        let filters = self.sinks.iter().map(|sink| (sink.exporter.signals(), sink.filter.clone()));
        let plan = Arc::new(Plan::new(epoch, filters.collect())?);
        intake.configure(self.buffer_bytes, self.waits);
        intake.set_ledger(&ledger);
        let context = Context { resource: Arc::new(self.resource) };
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
                process_id: std::process::id(),
                ended: AtomicBool::new(false),
            }),
            threads: Mutex::new(Vec::new()),
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
            registry,
            metric_intervals,
            takes_diagnostics: reservation.is_some(),
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

/// What a pipeline's handle and its exit hook share.
#[derive(Debug)]
pub(crate) struct Shared {
    sinks: Vec<Arc<Sink>>,
    commands: Arc<Commands>,
    intake: Arc<Intake>,
    process_id: u32,
    ended: AtomicBool,
}

impl Shared {
    /// Is this the process that started the pipeline's threads, and do they still run?
    fn is_running(&self) -> bool {
        self.process_id == std::process::id() && !self.ended.load(Ordering::Acquire)
    }

    fn report(&self, timed_out: bool) -> Report {
        let oddities = &self.intake.oddities;
        let is_ours = self.process_id == std::process::id();
        Report {
            exporters: self.sinks.iter().map(|sink| sink.ledger().read(&sink.name)).collect(),
            // In a fork's child their locks may be held by a thread that is not there.
            buffered: if is_ours { self.buffered() } else { 0 },
            blocked: if is_ours { self.intake.blocked() } else { Duration::ZERO },
            cut: oddities.cut.load(Ordering::Relaxed),
            stale_spans: oddities.stale_spans.load(Ordering::Relaxed),
            span_updates_lost: oddities.span_updates_lost.load(Ordering::Relaxed),
            own_records: oddities.own_records.load(Ordering::Relaxed),
            log_echoes: oddities.log_echoes.load(Ordering::Relaxed),
            timed_out,
        }
    }

    fn buffered(&self) -> u64 {
        self.commands.left_behind().unwrap_or_else(|| self.intake.buffered())
    }

    fn begin_flush(&self, timeout: Duration) -> Arc<Ticket> {
        // The worker passes it as well, so that a pipeline without exporters is drained too.
        let ticket = Ticket::new(self.sinks.len() + 1, after(timeout));
        self.commands.push(Command::Flush(Arc::clone(&ticket)));
        self.intake.waker.awake();
        self.intake.waker.wake();
        ticket
    }

    /// Flushes without a thread-local: for the exit hook.
    pub(crate) fn flush(&self, timeout: Duration) -> Report {
        if !self.is_running() {
            return self.report(false);
        }
        let complete = self.begin_flush(timeout).wait();
        self.report(!complete)
    }
}

/// A moment so far from now; as far as the clock goes, if that is nearer.
fn after(timeout: Duration) -> Instant {
    let now = clock::now();
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365))
}

/// A running pipeline; its drop shuts it down.
#[derive(Debug)]
pub struct Pipeline {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    scope: Option<Arc<Scope>>,
    attached: bool,
}

impl Pipeline {
    /// Sets up a pipeline.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn add_thread(&self, thread: JoinHandle<()>) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The ledger now; a live reading is at most one batch per exporter apart.
    pub fn report(&self) -> Report {
        self.shared.report(false)
    }

    /// Waits until everything emitted before the call is delivered or counted, at most `timeout`.
    ///
    /// # Errors
    ///
    /// The call comes from one of the pipeline's own threads, which would wait for itself.
    pub fn flush(&self, timeout: Duration) -> Result<Report, Error> {
        refuse_own_thread("flush")?;
        Ok(self.shared.flush(timeout))
    }

    /// As [`Pipeline::flush`], without blocking the thread; it needs no runtime's timer.
    ///
    /// # Errors
    ///
    /// The call comes from one of the pipeline's own threads.
    pub async fn flush_async(&self, timeout: Duration) -> Result<Report, Error> {
        refuse_own_thread("flush_async")?;
        if !self.shared.is_running() {
            return Ok(self.shared.report(false));
        }
        let complete = Passed(self.shared.begin_flush(timeout)).await;
        Ok(self.shared.report(!complete))
    }

    /// Detaches the pipeline, delivers what it has, and ends its threads, at most `timeout`.
    ///
    /// What is left then is counted `shutdown_timeout`. From one of the pipeline's own threads it
    /// does nothing but report.
    pub fn shutdown(self, timeout: Duration) -> Report {
        self.end(timeout)
    }

    /// As [`Pipeline::shutdown`], for a pipeline that others hold too: a panic hook, for example.
    ///
    /// A second call only reports.
    pub fn end(&self, timeout: Duration) -> Report {
        if !self.shared.is_running() || own::is_own_thread() {
            return self.shared.report(false);
        }
        if self.shared.ended.swap(true, Ordering::AcqRel) {
            return self.shared.report(false);
        }
        match &self.scope {
            Some(scope) => router::remove_scope(scope),
            None if self.attached => router::detach(),
            None => {} // it did not come to be
        }
        let deadline = after(timeout);
        self.shared.commands.push(Command::Shutdown(deadline));
        self.shared.intake.waker.awake();
        self.shared.intake.waker.wake();
        let mut complete = true;
        for sink in &self.shared.sinks {
            if !sink.wait_for_end(deadline) {
                complete = false;
            }
        }
        complete &= self.join(deadline);
        for sink in &self.shared.sinks {
            sink.abandon();
        }
        self.shared.report(!complete)
    }

    /// Waits for the threads; one that hangs in an exporter is left behind.
    fn join(&self, deadline: Instant) -> bool {
        // Threads end right after they say so: a moment is given even when the deadline is over.
        let deadline = deadline.max(clock::now() + Duration::from_millis(50));
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all = true;
        for thread in threads {
            while !thread.is_finished() && clock::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
            all &= thread.is_finished() && thread.join().is_ok();
        }
        all
    }
}

fn refuse_own_thread(call: &str) -> Result<(), Error> {
    if own::is_own_thread() {
        let text = format!(
            "`{call}` was called on one of the pipeline's own threads: it would wait for itself"
        );
        return Err(Error::not_allowed(text));
    }
    Ok(())
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.end(SHUTDOWN_TIMEOUT);
    }
}

/// A pipeline that takes the records of its scope only; its drop shuts it down.
#[derive(Debug)]
pub struct ScopedPipeline {
    pipeline: Pipeline,
    scope: Arc<Scope>,
}

impl ScopedPipeline {
    /// Runs `f` on this thread with everything it emits going to this pipeline.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        router::inside(&self.scope, f)
    }

    /// As [`Pipeline::flush`].
    ///
    /// # Errors
    ///
    /// As [`Pipeline::flush`].
    pub fn flush(&self, timeout: Duration) -> Result<Report, Error> {
        self.pipeline.flush(timeout)
    }

    /// As [`Pipeline::flush_async`].
    ///
    /// # Errors
    ///
    /// As [`Pipeline::flush_async`].
    pub async fn flush_async(&self, timeout: Duration) -> Result<Report, Error> {
        self.pipeline.flush_async(timeout).await
    }

    /// As [`Pipeline::report`].
    pub fn report(&self) -> Report {
        self.pipeline.report()
    }

    /// As [`Pipeline::shutdown`].
    pub fn shutdown(self, timeout: Duration) -> Report {
        self.pipeline.shutdown(timeout)
    }
}
