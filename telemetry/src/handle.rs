//! The handle of running telemetry.
//!
//! # Invariants
//!
//! - Its drop shuts down, at most [`SHUTDOWN_TIMEOUT`]; what is lost then is a diagnostic, because
//!   nobody reads the report.
//! - The poller stops before the pipeline, so that its last values are exported.

use crate::builder::Builder;
use crate::config::Config;
use crate::inspect::doors::{Bound, Open};
use crate::inspect::{Inspector, Snapshot};
use crate::panic;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use telemetry_core::ledger::Report;
use telemetry_core::pipeline::{Filters, Pipeline, SHUTDOWN_TIMEOUT};
use telemetry_core::{Error, Level, diagnostics};
#[cfg(feature = "poller")]
use telemetry_poller::PollerHandle;

/// Running telemetry: flushes, reports, and shuts down when dropped.
///
/// Keep it in a variable with a name until the end of `main`: `let _ = init()` drops it at once.
#[must_use = "dropping it shuts telemetry down"]
pub struct Telemetry {
    /// `None` = off by `OTEL_SDK_DISABLED`.
    pipeline: Option<Arc<Pipeline>>,
    inspector: Inspector,
    doors: Open,
    #[cfg(feature = "poller")]
    poller: Option<PollerHandle>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report();
        let exporters: Vec<_> = report.exporters.iter().map(|exporter| exporter.name()).collect();
        f.debug_struct("Telemetry")
            .field("is_on", &self.pipeline.is_some())
            .field("exporters", &exporters)
            .finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Returns the settings to start from; the same as [`builder()`](crate::builder()).
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(pipeline: Arc<Pipeline>, config: Config) -> Self {
        Self {
            inspector: Inspector::new(Arc::downgrade(&pipeline), config),
            pipeline: Some(pipeline),
            doors: Open::default(),
            #[cfg(feature = "poller")]
            poller: None,
        }
    }

    pub(crate) fn off(config: Config) -> Self {
        Self {
            pipeline: None,
            doors: Open::default(),
            inspector: Inspector::new(Weak::new(), config),
            #[cfg(feature = "poller")]
            poller: None,
        }
    }

    #[cfg(feature = "poller")]
    pub(crate) fn set_poller(&mut self, poller: PollerHandle) {
        self.inspector.set_poller(poller.values());
        self.poller = Some(poller);
    }

    pub(crate) fn open_socket(&mut self, bound: Bound) -> Result<(), Error> {
        self.doors.socket(bound, self.inspector())
    }

    pub(crate) fn open_signal(&mut self, signal: i32) -> Result<(), Error> {
        self.doors.signal(signal, self.inspector())
    }

    pub(crate) fn install_panic_hook(&self) {
        if let Some(pipeline) = &self.pipeline {
            panic::install(pipeline);
        }
    }

    pub(crate) fn install_exit_hook(&self) {
        if let Some(pipeline) = &self.pipeline {
            telemetry_core::exit::flush_at_exit(pipeline);
        }
    }

    /// Waits until everything emitted before the call is delivered or counted as lost, at most
    /// `timeout`. Metrics are read and exported, too.
    ///
    /// # Errors
    ///
    /// The call comes from one of the pipeline's own threads, which would wait for itself.
    pub fn flush(&self, timeout: Duration) -> Result<Report, Error> {
        match &self.pipeline {
            Some(pipeline) => pipeline.flush(timeout),
            None => Ok(Report::default()),
        }
    }

    /// As [`flush`](Self::flush), without blocking the thread. It needs no runtime's timer.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn flush_async(&self, timeout: Duration) -> Result<Report, Error> {
        match &self.pipeline {
            Some(pipeline) => pipeline.flush_async(timeout).await,
            None => Ok(Report::default()),
        }
    }

    /// Returns the filters of the exporters, to look at and to change while the program runs.
    ///
    /// The handle can be copied and given to whatever serves the operators.
    ///
    /// ```no_run
    /// # use telemetry_toolkit::{Error, Telemetry};
    /// # fn example(telemetry: &Telemetry) -> Result<(), Error> {
    /// use std::time::Duration;
    ///
    /// let filters = telemetry.filters();
    /// filters.set("info,app::db=debug")?;
    /// filters.add("[request{tenant=42}]=trace", Duration::from_secs(300))?; // ends by itself
    /// # Ok(())
    /// # }
    /// ```
    pub fn filters(&self) -> Filters {
        self.pipeline.as_ref().map_or_else(Filters::off, |pipeline| pipeline.filters())
    }

    /// Returns what became of everything so far: wanted, delivered, lost by cause, under way.
    pub fn report(&self) -> Report {
        self.pipeline.as_ref().map_or_else(Report::default, |pipeline| pipeline.report())
    }

    /// Returns the settings in effect, each with where it comes from.
    pub fn config(&self) -> &Config {
        self.inspector.config()
    }

    /// Looks at what the process is doing; see [`Inspector::snapshot`].
    pub fn snapshot(&self) -> Snapshot {
        self.inspector.snapshot()
    }

    /// Returns what takes snapshots elsewhere.
    pub fn inspector(&self) -> Inspector {
        self.inspector.clone()
    }

    /// Delivers what there is, ends all threads, and returns what became of everything; at most
    /// 5 s. What is left then is counted as lost, cause `shutdown_timeout`.
    ///
    /// Afterwards telemetry may be started again.
    pub fn shutdown(self) -> Report {
        self.shutdown_within(SHUTDOWN_TIMEOUT)
    }

    /// As [`shutdown`](Self::shutdown), at most `timeout`. A measurement of the poller that runs is
    /// waited for as well, at most 2 s.
    pub fn shutdown_within(mut self, timeout: Duration) -> Report {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> Report {
        self.doors = Open::default();
        #[cfg(feature = "poller")]
        drop(self.poller.take());
        let Some(pipeline) = self.pipeline.take() else { return Report::default() };
        panic::uninstall(&pipeline);
        pipeline.end(timeout)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if self.pipeline.is_none() {
            return;
        }
        let report = self.end(SHUTDOWN_TIMEOUT);
        if report.lost() > 0 || report.timed_out {
            let text = format!("not everything was delivered: {report}");
            diagnostics::report("shutdown", Level::Warn, text.replace('\n', "; "));
        }
    }
}
