//! Settings, start and handle of the poller.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use telemetry_core::metric::{Registry, global};

use crate::engine::{Callback, Engine};
use crate::error::{Error, ErrorKind};
use crate::measure::{Measure, MeasureError, Measurement, Run};
use crate::process;
use crate::report::{MeasurementInfo, PollReport, PolledValue};
use crate::worker::{self, Shared, Unanswered};

/// The shortest period.
pub const PERIOD_MIN: Duration = Duration::from_millis(10);

/// The longest period: a day.
pub const PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const PERIOD_DEFAULT: Duration = Duration::from_secs(10);

/// How long [`PollerHandle::poll_now`] waits.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How long [`PollerHandle::shutdown`] waits.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// Polls measurements periodically; see the [crate] for an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Poller;

impl Poller {
    /// Returns the settings to start from: every 10 s, process statistics, the global registry.
    pub fn builder() -> Builder {
        Builder {
            period: PERIOD_DEFAULT,
            registry: None,
            process: true,
            measurements: Vec::new(),
            callbacks: Vec::new(),
        }
    }
}

/// Holds the settings of a poller.
#[must_use = "nothing is polled before `start`"]
pub struct Builder {
    period: Duration,
    registry: Option<Registry>,
    process: bool,
    measurements: Vec<(String, Run)>,
    callbacks: Vec<Callback>,
}

impl Builder {
    /// Sets how often to poll: from [`PERIOD_MIN`] to [`PERIOD_MAX`], 10 s by default.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// Sets the registry to write to: [`telemetry_core::metric::global`] by default.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Sets whether the [`process`] metrics are measured: they are by default.
    pub fn process(mut self, on: bool) -> Self {
        self.process = on;
        self
    }

    /// Adds a measurement. It runs on the poller's thread, at every poll; one that takes long
    /// delays the others.
    ///
    /// One that returns an error or panics is tried again after 1, 2, 4, … at most 64 polls; until
    /// then its series are absent. (Under `panic = "abort"` a panic ends the process, as anywhere.)
    pub fn measure<F>(mut self, name: impl Into<String>, measurement: F) -> Self
    where
        F: FnMut(&mut Measure) -> Result<(), MeasureError> + Send + 'static,
    {
        self.measurements.push((name.into(), Box::new(measurement)));
        self
    }

    /// Adds a callback that is told of every poll, on the poller's thread.
    pub fn on_poll<F>(mut self, callback: F) -> Self
    where
        F: FnMut(&PollReport) + Send + 'static,
    {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Starts the thread `telemetry-poller`, which polls at once, then every period.
    ///
    /// # Errors
    ///
    /// If the period is out of its range or a measurement has no name of its own
    /// ([`Error::is_setting`]), or if the system has no thread to give.
    ///
    /// ```
    /// use std::time::Duration;
    /// use telemetry_poller::Poller;
    ///
    /// let error = Poller::builder().period(Duration::ZERO).start().expect_err("too short");
    /// assert_eq!(error.to_string(), "`poller.period` is 0ns, but must be at least 10ms");
    /// ```
    pub fn start(self) -> Result<PollerHandle, Error> {
        if !(PERIOD_MIN..=PERIOD_MAX).contains(&self.period) {
            return Err(Error(ErrorKind::Period(self.period)));
        }
        let registry = self.registry.unwrap_or_else(|| global().clone());
        let mut measurements = Vec::new();
        if self.process {
            process::describe(&registry);
            measurements.extend(process::measurements());
        }
        for (name, run) in self.measurements {
            let taken = measurements.iter().any(|m: &Measurement| *m.info.name == *name);
            if taken || name.is_empty() {
                return Err(Error(ErrorKind::Name(name)));
            }
            measurements.push(Measurement::new(&name, run));
        }
        let engine = Engine::new(registry, measurements, self.callbacks);
        let shared = Arc::new(Shared::new(engine.infos()));
        let (for_thread, period) = (Arc::clone(&shared), self.period);
        let thread = std::thread::Builder::new()
            .name("telemetry-poller".to_owned())
            .spawn(move || worker::run(&for_thread, engine, period))
            .map_err(|error| Error(ErrorKind::Thread(error)))?;
        let process_id = std::process::id();
        Ok(PollerHandle { shared, thread: Some(thread), period, process_id })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.measurements.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Builder")
            .field("period", &self.period)
            .field("registry", &self.registry)
            .field("process", &self.process)
            .field("measurements", &names)
            .field("callbacks", &self.callbacks.len())
            .finish()
    }
}

/// Reads the last values of a poller.
#[derive(Clone)]
pub struct PolledValues(Arc<Shared>);

impl PolledValues {
    /// Returns what each measurement observed the last time it ran, 512 values at most; one that
    /// failed has none. It waits for no measurement.
    pub fn read(&self) -> Vec<PolledValue> {
        self.0.values()
    }
}

impl fmt::Debug for PolledValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolledValues").finish_non_exhaustive()
    }
}

/// Controls a running poller, and stops it when dropped.
///
/// Stopping leaves the values of the last poll in the registry, for the last export.
#[must_use = "dropping the handle stops the poller"]
pub struct PollerHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    period: Duration,
    process_id: u32,
}

impl PollerHandle {
    /// Polls once, now, and returns the report; measurements that wait after a failure run too.
    /// The ticks stay where they are; one that is due at this moment is this poll.
    ///
    /// # Errors
    ///
    /// If a measurement runs for longer than 10 s ([`Error::is_timeout`]), if the poller has ended
    /// ([`Error::is_stopped`]), or from the poller's own thread ([`Error::is_own_thread`]).
    pub fn poll_now(&self) -> Result<PollReport, Error> {
        self.refuse_own_thread()?;
        self.shared.ask(ANSWER_WAIT).map_err(|unanswered| {
            Error(match unanswered {
                Unanswered::Finished => ErrorKind::Stopped,
                Unanswered::Late => ErrorKind::Timeout(ANSWER_WAIT),
            })
        })
    }

    /// Returns how each measurement fares, in the order they run in.
    pub fn list_measurements(&self) -> Vec<MeasurementInfo> {
        self.shared.infos()
    }

    /// Returns what reads the last values, whoever holds this handle.
    pub fn values(&self) -> PolledValues {
        PolledValues(Arc::clone(&self.shared))
    }

    /// Stops the poller, and waits up to 2 s for the measurement that runs.
    ///
    /// # Errors
    ///
    /// If the thread has not ended by then ([`Error::is_timeout`]): it ends when its measurement
    /// does. From the poller's own thread ([`Error::is_own_thread`]) the poller stops too, but
    /// nobody waits. In a fork's child, which has no such thread, nothing is done.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), Error> {
        if self.process_id != std::process::id() {
            // A fork's child: the thread was not copied, and may have held the lock.
            std::mem::forget(self.thread.take());
            return Ok(());
        }
        self.shared.stop();
        self.refuse_own_thread()?;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if !self.shared.wait_finished(SHUTDOWN_WAIT) {
            return Err(Error(ErrorKind::Timeout(SHUTDOWN_WAIT)));
        }
        // A panic of the thread itself (a destructor of the user's) is no concern of who stops it.
        let _ = thread.join();
        Ok(())
    }

    fn refuse_own_thread(&self) -> Result<(), Error> {
        let own = self.thread.as_ref().map(|thread| thread.thread().id());
        if own == Some(std::thread::current().id()) {
            return Err(Error(ErrorKind::OwnThread));
        }
        Ok(())
    }
}

impl Drop for PollerHandle {
    fn drop(&mut self) {
        // A thread that does not end in time is left to itself: there is nobody to tell.
        let _ = self.stop();
    }
}

impl fmt::Debug for PollerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollerHandle")
            .field("period", &self.period)
            .field("measurements", &self.shared.infos().len())
            .finish_non_exhaustive()
    }
}
