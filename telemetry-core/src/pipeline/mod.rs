//! A pipeline: exporters with their filters, one worker, and the ledger over it all.
//!
//! # Invariants
//!
//! - [`Pipeline::shutdown`] (or the drop) returns a report in which everything is accounted for;
//!   what its deadline left over is counted `shutdown_timeout`.
//! - Flush and shutdown need no async runtime and block on none: they wait for the pipeline's own
//!   threads. From one of those threads they are refused.
//! - After a fork, the child's copy does nothing: its threads were not copied.

mod builder;

use crate::clock::{self, Anchor, Anchors};
use crate::control::{By, Control};
pub use crate::control::{Filters, TEMPORARY_LIFE_MAX, TEMPORARY_MAX, TemporaryFilter};
use crate::error::Error;
use crate::filter_file::FilterFile;
use crate::flush::{Passed, Ticket};
use crate::intake::Intake;
use crate::ledger::Report;
use crate::own;
use crate::plan::Scope;
pub use crate::rate_limit::RateLimit;
use crate::router;
pub use crate::runner::OnFull;
use crate::runner::Sink;
use crate::scope;
use crate::signal;
use crate::worker::{Command, Commands, Question};
pub use builder::{BUFFER_BYTES, Builder, EXPORTERS_MAX, METRIC_INTERVAL, SinkBuilder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long [`Pipeline`]'s drop waits for a complete shutdown.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a pipeline's handle and its exit hook share.
#[derive(Debug)]
pub(crate) struct Shared {
    sinks: Vec<Arc<Sink>>,
    commands: Arc<Commands>,
    intake: Arc<Intake>,
    control: Arc<Control>,
    process_id: u32,
    ended: AtomicBool,
    /// Of their own: the worker's are busy, and may not answer.
    anchors: Mutex<Anchors>,
}

impl Shared {
    /// Is this the process that started the pipeline's threads, and do they still run?
    fn is_running(&self) -> bool {
        self.is_of_this_process() && !self.ended.load(Ordering::Acquire)
    }

    /// In a fork's child, any lock may be held by a thread that is not there.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process_id == std::process::id()
    }

    pub(crate) fn sinks(&self) -> &[Arc<Sink>] {
        &self.sinks
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Ties the ticks of now to wall time.
    pub(crate) fn anchor(&self) -> Anchor {
        self.anchors.lock().unwrap_or_else(PoisonError::into_inner).current()
    }

    /// Asks the worker; in a fork's child, or after the end, there is no answer.
    pub(crate) fn ask(&self, question: &Arc<Question>) {
        if !self.is_running() {
            return question.refuse();
        }
        self.commands.ask(question);
        self.intake.waker.awake();
        self.intake.waker.wake();
    }

    /// The ledger without what is in the buffers, whose locks the worker may hold.
    pub(crate) fn report_without_buffers(&self) -> Report {
        self.read_report(0, false)
    }

    pub(crate) fn report(&self, timed_out: bool) -> Report {
        let is_ours = self.is_of_this_process();
        self.read_report(if is_ours { self.buffered() } else { 0 }, timed_out)
    }

    fn read_report(&self, buffered: u64, timed_out: bool) -> Report {
        let oddities = &self.intake.oddities;
        let is_ours = self.is_of_this_process();
        Report {
            exporters: self.sinks.iter().map(|sink| sink.ledger().read(&sink.name)).collect(),
            buffered,
            blocked: if is_ours { self.intake.blocked() } else { Duration::ZERO },
            cut: oddities.cut.load(Ordering::Relaxed),
            stale_spans: oddities.stale_spans.load(Ordering::Relaxed),
            span_updates_lost: oddities.span_updates_lost.load(Ordering::Relaxed),
            own_records: oddities.own_records.load(Ordering::Relaxed),
            log_echoes: oddities.log_echoes.load(Ordering::Relaxed),
            redacted: oddities.redacted.load(Ordering::Relaxed),
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

/// What may change a running pipeline from outside.
#[derive(Debug, Default)]
struct Watches {
    file: Option<Arc<FilterFile>>,
    hangup: Option<signal::Watch>,
}

/// The number of SIGHUP in signal(7).
const HANGUP: i32 = 1;

/// A running pipeline; its drop shuts it down.
#[derive(Debug)]
pub struct Pipeline {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watches: Mutex<Watches>,
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

    /// Watches the filter file, and SIGHUP if that is wanted.
    fn watch(&self, file: Option<Arc<FilterFile>>, at_hangup: bool) -> Result<(), Error> {
        let control = &self.shared.control;
        if let Some(file) = &file {
            let watched = file.watch(Arc::clone(control));
            let failed = "the thread that watches the filter file cannot be started";
            self.add_thread(watched.map_err(|error| Error::resource(failed, error))?);
        }
        self.watches().file.clone_from(&file);
        if at_hangup {
            let (control, sinks) = (Arc::clone(control), self.shared.sinks.clone());
            let hangup = signal::watch(HANGUP, move || {
                sinks.iter().for_each(|sink| sink.reopen());
                if let Some(file) = &file {
                    file.look(&control, By::Signal);
                }
            })?;
            self.watches().hangup = Some(hangup);
        }
        Ok(())
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The filters of the exporters, and how to change them.
    pub fn filters(&self) -> Filters {
        Filters::new(&self.shared.control)
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
        let Watches { file, hangup } = std::mem::take(&mut *self.watches());
        drop(hangup);
        file.iter().for_each(|file| file.end());
        self.shared.control.wait_until_told();
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
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Runs `f` on this thread with everything it emits going to this pipeline.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = scope::enter(&self.scope);
        f()
    }

    /// As [`Pipeline::filters`].
    pub fn filters(&self) -> Filters {
        self.pipeline.filters()
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
