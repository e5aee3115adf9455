//! The one thread that reads all buffers, joins spans, and hands batches to the exporters.
//!
//! # Invariants
//!
//! - No user code runs on it: exporters have threads of their own.
//! - It never waits for one exporter longer than that exporter's patience.
//! - From a record's commit to its exporter's queue it takes at most two intervals while there is
//!   room; with nothing to do it sleeps up to a second at a time.

mod drain;
pub(crate) mod join;
#[expect(unsafe_code, reason = "asks the allocator to give memory back")]
mod memory;
mod noise;
mod redact;
mod report;
mod spans;
mod survey;
mod targets;

use crate::batch::Builder;
use crate::clock::{self, Anchors};
use crate::control::Control;
use crate::export::Signals;
use crate::flush::Ticket;
use crate::intake::{Intake, Ledger};
use crate::metric::{self, Registry};
use crate::own;
use crate::rate_limit::RateLimit;
use crate::redaction::Patterns;
use crate::router::{Reservation, Settling};
use crate::runner::Sink;
use drain::Drain;
use join::Mode;
use noise::{Noise, Telling};
use report::SelfReport;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
pub(crate) use survey::{OpenSpan, Question, Survey, Tally};

/// How long the worker waits before it looks for records again.
const INTERVAL: Duration = Duration::from_millis(10);
/// How many rounds without records it takes before it prepares to sleep.
const IDLE_ROUNDS: u32 = 5;
/// The longest sleep.
const SLEEP: Duration = Duration::from_secs(1);

/// How often series are looked at that may be idle: four times in their timeout, within these.
const EXPIRY_INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What others ask of the worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Deliver everything committed so far, then let the exporters flush.
    Flush(Arc<Ticket>),
    /// Deliver everything, then end.
    Shutdown(Instant),
}

/// Where commands wait for the worker; closed when it has ended.
#[derive(Debug)]
pub(crate) struct Commands {
    waiting: Mutex<Option<Vec<Command>>>,
    /// Apart from the commands: they are answered while the worker waits for an exporter, too.
    questions: Mutex<Vec<Arc<Question>>>,
    has_questions: AtomicBool,
    left_behind: OnceLock<u64>,
}

impl Default for Commands {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Some(Vec::new())),
            questions: Mutex::new(Vec::new()),
            has_questions: AtomicBool::new(false),
            left_behind: OnceLock::new(),
        }
    }
}

impl Commands {
    /// Leaves a command for the worker; one that comes after its end is refused.
    pub(crate) fn push(&self, command: Command) {
        match &mut *self.waiting() {
            Some(commands) => commands.push(command),
            None => command.refuse(),
        }
    }

    /// Asks the worker something; once it has ended, there is no answer.
    pub(crate) fn ask(&self, question: &Arc<Question>) {
        let waiting = self.waiting();
        if waiting.is_none() {
            return question.refuse();
        }
        self.questions().push(Arc::clone(question));
        // Release: whoever sees it finds the question.
        self.has_questions.store(true, Ordering::Release);
    }

    #[inline]
    fn has_questions(&self) -> bool {
        self.has_questions.load(Ordering::Acquire)
    }

    fn take_questions(&self) -> Vec<Arc<Question>> {
        self.has_questions.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.questions())
    }

    fn questions(&self) -> MutexGuard<'_, Vec<Arc<Question>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Command> {
        self.waiting().as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn close(&self) -> Vec<Command> {
        self.waiting().take().unwrap_or_default()
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<Command>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records were in the buffers when the worker ended; `None` while it runs. What is in
    /// them later is the next pipeline's.
    pub(crate) fn left_behind(&self) -> Option<u64> {
        self.left_behind.get().copied()
    }
}

impl Command {
    /// Tells whoever waits that nobody will do it.
    fn refuse(self) {
        if let Self::Flush(ticket) = self {
            ticket.expire();
        }
    }
}

/// What a worker is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) intake: Arc<Intake>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) sinks: Vec<Arc<Sink>>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) control: Arc<Control>,
    pub(crate) registry: Registry,
    /// How often metrics are read, per sink; `None` = never by itself.
    pub(crate) metric_intervals: Vec<Option<Duration>>,
    /// Do diagnostics become records of this pipeline? Of the attached one only.
    pub(crate) takes_diagnostics: bool,
    /// How many events a call site may emit.
    pub(crate) limit: Option<RateLimit>,
    /// What is taken out of texts.
    pub(crate) patterns: Arc<Patterns>,
}

/// The worker's own state.
#[derive(Debug)]
pub(crate) struct Worker {
    parts: Parts,
    drain: Drain,
    anchors: Anchors,
    /// When each sink's next snapshot is due.
    snapshots_due: Vec<Option<Instant>>,
    /// When each sink's last snapshot was taken.
    snapshots_taken: Vec<Instant>,
    /// When series are looked at that may be idle; `None` = that is not this worker's to do.
    expiry_due: Option<Instant>,
    tickets: Vec<Arc<Ticket>>,
    /// Of the attached pipeline: what `tracing` was told in haste.
    settling: Option<Settling>,
    /// Was the last batch full?
    is_behind: bool,
    self_report: SelfReport,
    noise: Noise,
    ebb: memory::Ebb,
}

/// Should the worker go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = clock::now();
        Self {
            drain: Drain::new(&parts),
            anchors: Anchors::new(),
            snapshots_due: parts
                .metric_intervals
                .iter()
                .map(|interval| interval.and_then(|interval| now.checked_add(interval)))
                .collect(),
            snapshots_taken: vec![now; parts.sinks.len()],
            // A scoped pipeline over the process's registry does not know who else reads it.
            expiry_due: (parts.takes_diagnostics || !parts.registry.is_same(metric::global()))
                .then_some(now),
            tickets: Vec::new(),
            settling: parts.takes_diagnostics.then(|| Settling::new(now)),
            is_behind: false,
            self_report: SelfReport::new(now),
            noise: Noise::new(parts.limit.clone(), now),
            ebb: memory::Ebb::default(),
            parts,
        }
    }

    /// Runs until it is told to end.
    pub(crate) fn run(mut self) {
        crate::local::mark_own_thread();
        self.parts.intake.waker.set_thread(Some(crate::sync::thread::current()));
        own::Thread::current()
            .into_iter()
            .for_each(|thread| self.parts.intake.through.pass_through(thread));
        let mut idle_rounds = 0;
        loop {
            let mut commands = self.parts.commands.take().into_iter();
            while let Some(command) = commands.next() {
                if self.obey(command) == Next::End {
                    return self.end(commands);
                }
            }
            if let Some(ticket) = self.parts.intake.through.take() {
                self.write_through(&ticket);
            }
            let round = self.round(Mode::Deliver, Telling::Due);
            self.tend();
            if round.records > 0 || round.more {
                idle_rounds = 0;
                if !round.more {
                    std::thread::park_timeout(INTERVAL);
                }
                continue;
            }
            idle_rounds += 1;
            if idle_rounds <= IDLE_ROUNDS {
                std::thread::park_timeout(INTERVAL);
            } else {
                self.sleep();
            }
        }
    }

    /// Lets go of everybody who waits for this worker.
    fn end(&self, commands: impl Iterator<Item = Command>) {
        self.parts.intake.waker.set_thread(None);
        self.parts.intake.end_through();
        let _ = self.parts.commands.left_behind.set(self.parts.intake.buffered());
        commands.chain(self.parts.commands.close()).for_each(Command::refuse);
        self.parts.commands.take_questions().iter().for_each(|question| question.refuse());
        self.tickets.iter().for_each(|ticket| ticket.expire());
    }

    /// Reads one batch and hands it out.
    fn round(&mut self, mode: Mode, telling: Telling) -> drain::Round {
        // Several batches fit every queue, so that an exporter shows its progress by them.
        let bytes_max =
            self.parts.sinks.iter().map(|sink| sink.capacity_bytes / 8).min().unwrap_or(usize::MAX);
        let mut builder =
            Builder::new(self.parts.sinks.len(), self.anchors.current()).bytes_max(bytes_max);
        if self.is_behind {
            builder = builder.with_room();
        }
        let round = self.drain.round(&mut builder, mode);
        // What was committed before the question is read, unless there is very much of it.
        attend(&self.parts, &self.drain);
        self.is_behind = builder.is_full();
        if self.parts.takes_diagnostics {
            let (ledger, redactor) = (&self.parts.ledger, &self.drain.join.redactor);
            report::write_diagnostics(&mut builder, ledger, redactor);
            self.noise.tell(&mut builder, ledger, redactor, telling);
        }
        if !builder.is_empty() {
            let content = Arc::new(builder.finish());
            let Self { parts, drain, .. } = self;
            for sink in &parts.sinks {
                sink.take_batch(&content, &mut || attend(parts, drain));
            }
        }
        if round.more && round.records == 0 {
            // A buffer is held back: the thread that owes the start may need the core.
            std::thread::yield_now();
        }
        round
    }

    fn sleep(&self) {
        let has_records =
            || self.parts.intake.buffers().iter().any(|shared| shared.consumer().peek().is_some());
        self.parts.intake.waker.sleep(
            || std::thread::park_timeout(INTERVAL),
            has_records,
            || std::thread::park_timeout(self.longest_sleep()),
        );
    }

    fn longest_sleep(&self) -> Duration {
        let now = clock::now();
        let dues = self.snapshots_due.iter().flatten().copied();
        let tickets = self.tickets.iter().map(|ticket| ticket.deadline);
        dues.chain(tickets)
            .chain(self.noise.due())
            .chain(self.parts.control.due())
            .chain(self.settling.as_ref().and_then(Settling::due))
            .map(|due| due.saturating_duration_since(now))
            .min()
            .map_or(SLEEP, |due| due.min(SLEEP))
    }

    /// What is due by the clock: snapshots, expired tickets, reports about ourselves.
    fn tend(&mut self) {
        let now = clock::now();
        self.ebb.tend(self.drain.join.spans.len(), now);
        self.tickets.retain(|ticket| {
            if ticket.deadline <= now {
                ticket.expire();
            }
            ticket.deadline > now && !ticket.is_passed()
        });
        self.parts.control.tend(now);
        if let Some(settling) = &mut self.settling {
            settling.tend(now);
        }
        if self.snapshots_due.iter().flatten().any(|due| *due <= now) {
            self.snapshot(|due| due.is_some_and(|due| due <= now), now);
        }
        self.expire_series(now);
        self.self_report.tend(&self.parts, now);
    }

    /// Looks for series that nobody touches any more, if it is time.
    fn expire_series(&mut self, now: Instant) {
        if self.expiry_due.is_none_or(|due| now < due) {
            return;
        }
        let registry = &self.parts.registry;
        let sinks = self.parts.sinks.iter().zip(&self.snapshots_taken);
        let takers = sinks.filter(|(sink, _)| sink.signals.contains(Signals::METRICS));
        let read = takers.map(|(_, taken)| *taken).min().unwrap_or(now);
        registry.expire(now, read);
        let timeout = registry.idle_timeout().unwrap_or_default();
        let (least, most) = EXPIRY_INTERVALS;
        self.expiry_due = now.checked_add((timeout / 4).clamp(least, most));
    }

    /// Reads all metrics and gives them to the sinks whose due time `wanted` accepts.
    fn snapshot(&mut self, wanted: impl Fn(Option<Instant>) -> bool, now: Instant) {
        report::publish(&self.parts, self.drain.join.spans.len());
        let snapshot = Arc::new(self.parts.registry.snapshot(clock::unix_ns()));
        let Self { parts, drain, .. } = self;
        for (n, sink) in parts.sinks.iter().enumerate() {
            let Some(due) = self.snapshots_due.get_mut(n) else { continue };
            if !sink.signals.contains(Signals::METRICS) || !wanted(*due) {
                continue;
            }
            sink.take_snapshot(&snapshot, &mut || attend(parts, drain));
            self.snapshots_taken[n] = now;
            let interval = parts.metric_intervals.get(n).copied().flatten();
            *due = interval.and_then(|interval| now.checked_add(interval));
        }
    }

    fn obey(&mut self, command: Command) -> Next {
        match command {
            Command::Flush(ticket) => {
                self.drain_to_now(ticket.deadline, Mode::Deliver);
                self.settling.iter_mut().for_each(Settling::finish);
                self.ebb.tend(self.drain.join.spans.len(), clock::now());
                self.snapshot(|due| due.is_some(), clock::now());
                for sink in &self.parts.sinks {
                    sink.flush(Arc::clone(&ticket));
                }
                ticket.pass(); // the worker's own part
                self.tickets.push(ticket);
                Next::Go
            }
            Command::Shutdown(deadline) => {
                self.drain_to_now(deadline, Mode::Count);
                self.snapshot(|due| due.is_some(), clock::now());
                for sink in &self.parts.sinks {
                    sink.shutdown(deadline);
                }
                Next::End
            }
        }
    }

    /// Lets those that write through pass a ticket behind everything committed before now.
    fn write_through(&mut self, ticket: &Arc<Ticket>) {
        self.drain_to_now(ticket.deadline, Mode::Deliver);
        for sink in self.parts.sinks.iter().filter(|sink| sink.writes_through) {
            sink.flush(Arc::clone(ticket));
        }
        ticket.pass(); // the worker's own part
    }

    /// Reads everything committed before now; what is left at the deadline is left alone, or
    /// counted in `after_deadline`'s mode `Count`.
    fn drain_to_now(&mut self, deadline: Instant, after_deadline: Mode) {
        let targets = self.drain.targets();
        loop {
            let mode = if clock::now() < deadline { Mode::Deliver } else { after_deadline };
            if mode == Mode::Deliver && clock::now() >= deadline {
                return;
            }
            // Once at least: what the pipeline has to say of itself is to be told as well.
            self.round(mode, Telling::All);
            if targets.are_reached() {
                return;
            }
        }
    }
}

/// Answers what is asked, if anything is.
#[inline]
fn attend(parts: &Parts, drain: &Drain) {
    if parts.commands.has_questions() {
        for question in parts.commands.take_questions() {
            let moves = || parts.intake.announce_work();
            survey::answer(&question, &drain.join.spans, &drain.join.tallies, moves);
        }
    }
}

/// Starts a worker's thread; the reservation ends with it.
pub(crate) fn spawn(
    worker: Worker,
    reservation: Option<Reservation>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("telemetry-worker".to_owned()).spawn(|| {
        let _reservation = reservation;
        worker.run();
    })
}
