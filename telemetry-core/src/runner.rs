//! One exporter, its queue and its thread.
//!
//! # Invariants
//!
//! - What is queued or under way is bounded in bytes. When it is full, [`OnFull`] decides; an
//!   exporter that made no progress for [`PATIENCE`] is stalled and loses only its own data, until
//!   its queue is half empty. Progress is a batch that is settled, and a part of one that was
//!   written ([`progressed`]): a slow disk is waited for.
//! - Every delivery that was enqueued is settled exactly once: by its ack, by a panic, or by the
//!   deadline of the shutdown.
//! - A shutdown waits for the retries that are due before its deadline; a runner that is still
//!   busy then ends as soon as its exporter returns.
//! - A panic of the exporter costs the batch it had; then it rests, 1 s at first, doubling up to
//!   60 s, and what comes meanwhile is counted `quarantined`.

use crate::batch::{Batch, Content};
use crate::clock;
use crate::diagnostics;
use crate::error::discard_panic;
use crate::export::{Ack, Context, Delivery, Exporter, Outcome, Signals};
use crate::flush::Ticket;
use crate::intake::{Intake, Ledger};
use crate::ledger::{Cause, Signal, SinkLedger, Units};
use crate::level::Level;
use crate::metric::Snapshot;
use crate::own;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long an exporter may make no progress before its full queue makes it lose. Shorter than the
/// call sites' patience (100 ms), so that what one exporter holds up is not lost to the others.
const PATIENCE: Duration = Duration::from_millis(80);
/// How much of it the worker must have seen: after a standstill of the whole process (a CPU quota,
/// SIGSTOP) the exporter gets its chance first.
const PATIENCE_AWAKE: Duration = Duration::from_millis(15);
/// How long the worker waits at a time.
const WAIT: Duration = Duration::from_millis(2);
/// How long an exporter may make no progress although it computes, or waits for a core or a disk.
const PATIENCE_RUNNING: Duration = Duration::from_secs(2);
/// How long a batch may go on being retried.
const RETRY_MAX: Duration = Duration::from_secs(300);
const REST_MAX: Duration = Duration::from_secs(60);

/// What happens when an exporter's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// The worker waits while the exporter makes progress, so that back-pressure reaches the
    /// callers; a stalled exporter loses its own data.
    #[default]
    Wait,
    /// What does not fit is lost at once, and counted.
    Drop,
}

/// What waits in the queue.
#[derive(Clone)]
enum Work {
    Batch(Batch),
    Metrics(Arc<Snapshot>),
    Reopen,
    Flush(Arc<Ticket>),
    Shutdown(Instant),
}

struct Item {
    sequence: u64,
    work: Work,
    delivery: Option<Arc<Delivery>>,
    not_before: Option<Instant>,
}

impl Item {
    /// The end, for a runner whose shutdown was given up.
    fn end(now: Instant) -> Self {
        Self { sequence: u64::MAX, work: Work::Shutdown(now), delivery: None, not_before: None }
    }
}

struct Queue {
    items: VecDeque<Item>,
    /// Of what is queued and under way.
    bytes: usize,
    next: u64,
    /// What is not settled: queued or under way.
    open: BTreeMap<u64, Arc<Delivery>>,
    flushes: Vec<(u64, Arc<Ticket>)>,
    progressed_at: Instant,
    stalled: bool,
    /// When the shutdown ends; a retry that would come later is not waited for.
    ends_at: Option<Instant>,
    ended: bool,
}

/// How an exporter's queue is served, and how long callers wait for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) on_full: OnFull,
    pub(crate) capacity_bytes: usize,
    /// Do call sites wait until it has their records?
    pub(crate) writes_through: bool,
}

/// An exporter's place in a pipeline.
pub(crate) struct Sink {
    pub(crate) name: String,
    pub(crate) index: usize,
    pub(crate) signals: Signals,
    pub(crate) on_full: OnFull,
    pub(crate) capacity_bytes: usize,
    /// Do call sites wait until it has their records?
    pub(crate) writes_through: bool,
    ledger: Arc<Ledger>,
    intake: Arc<Intake>,
    thread: OnceLock<own::Thread>,
    queue: Mutex<Queue>,
    work: Condvar,
    progress: Condvar,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How full an exporter's queue is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    /// Of what is queued and under way.
    pub(crate) bytes: usize,
    pub(crate) deliveries: usize,
    /// How long nothing was taken, delivered or lost; of no meaning without deliveries.
    pub(crate) idle: Duration,
    pub(crate) is_stalled: bool,
    pub(crate) is_ended: bool,
}

/// What a delivery needs to know to be settled.
#[derive(Clone)]
struct Parcel {
    sequence: u64,
    units: Units,
    bytes: usize,
    queued_at: Instant,
    work: Work,
}

impl Sink {
    pub(crate) fn new(
        name: String,
        index: usize,
        signals: Signals,
        Policy { on_full, capacity_bytes, writes_through }: Policy,
        (ledger, intake): (Arc<Ledger>, Arc<Intake>),
    ) -> Arc<Self> {
        let queue = Queue {
            items: VecDeque::new(),
            bytes: 0,
            next: 0,
            open: BTreeMap::new(),
            flushes: Vec::new(),
            progressed_at: clock::now(),
            stalled: false,
            ends_at: None,
            ended: false,
        };
        Arc::new(Self {
            name,
            index,
            signals,
            on_full,
            capacity_bytes,
            writes_through,
            ledger,
            intake,
            thread: OnceLock::new(),
            queue: Mutex::new(queue),
            work: Condvar::new(),
            progress: Condvar::new(),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger(&self) -> &SinkLedger {
        &self.ledger.sinks[self.index]
    }

    /// Enqueues what this sink wants of a batch; called by the worker, which does `meanwhile` while
    /// it waits for room.
    pub(crate) fn take_batch(
        self: &Arc<Self>,
        content: &Arc<Content>,
        meanwhile: &mut dyn FnMut(),
    ) {
        let units = content.units(self.index);
        if units.total() > 0 {
            self.ledger().emitted(units);
            let batch = Batch::new(Arc::clone(content), self.index as u32);
            self.enqueue(Work::Batch(batch), units, content.size(), meanwhile);
        }
    }

    /// Enqueues a snapshot; called by the worker, as [`Sink::take_batch`].
    pub(crate) fn take_snapshot(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        meanwhile: &mut dyn FnMut(),
    ) {
        let points = snapshot.points();
        if points > 0 && self.signals.contains(Signals::METRICS) {
            let units = Units::of(Signal::Metric, points as u64);
            self.ledger().emitted(units);
            self.enqueue(Work::Metrics(Arc::clone(snapshot)), units, 128 * points, meanwhile);
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        work: Work,
        units: Units,
        bytes: usize,
        meanwhile: &mut dyn FnMut(),
    ) {
        let mut queue = self.queue();
        if !self.has_room(&mut queue, bytes) {
            queue = self.wait_for_room(queue, bytes, meanwhile);
        }
        if queue.ended || !self.has_room(&mut queue, bytes) {
            let cause = if queue.ended { Cause::AlreadyShutdown } else { Cause::QueueFull };
            drop(queue);
            self.ledger().dropped(cause, units);
            return;
        }
        if queue.open.is_empty() {
            queue.progressed_at = clock::now();
        }
        let sequence = queue.next;
        queue.next += 1;
        queue.bytes += bytes;
        self.ledger().enqueued(units);
        let parcel = Parcel { sequence, units, bytes, queued_at: clock::now(), work };
        let item = self.item(parcel, &mut queue, None);
        queue.items.push_back(item);
        drop(queue);
        self.work.notify_one();
    }

    /// Is there room, and is the exporter not in its drop state? An empty queue takes anything.
    fn has_room(&self, queue: &mut Queue, bytes: usize) -> bool {
        if queue.stalled {
            if queue.bytes > self.capacity_bytes / 2 {
                return false;
            }
            queue.stalled = false;
        }
        queue.bytes == 0 || queue.bytes + bytes <= self.capacity_bytes
    }

    fn wait_for_room<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        bytes: usize,
        meanwhile: &mut dyn FnMut(),
    ) -> MutexGuard<'a, Queue> {
        let mut patience = clock::Patience::new(WAIT);
        while self.on_full == OnFull::Wait
            && !queue.stalled
            && !queue.ended
            && !self.has_room(&mut queue, bytes)
        {
            let progressed_at = queue.progressed_at;
            drop(self.progress.wait_timeout(queue, WAIT).unwrap_or_else(PoisonError::into_inner));
            meanwhile();
            queue = self.queue();
            if queue.progressed_at != progressed_at {
                patience.renew();
                self.intake.announce_work();
                continue;
            }
            let idle = clock::now().saturating_duration_since(progressed_at);
            if idle < PATIENCE_RUNNING && self.thread.get().is_some_and(own::Thread::is_runnable) {
                // It computes, or would if it got a core: the callers may wait for that, too.
                self.intake.announce_work();
                continue;
            }
            if idle < PATIENCE || patience.waited() < PATIENCE_AWAKE {
                continue;
            }
            queue.stalled = !self.has_room(&mut queue, bytes);
        }
        queue
    }

    /// An open delivery of a parcel, ready to be queued.
    fn item(
        self: &Arc<Self>,
        parcel: Parcel,
        queue: &mut Queue,
        not_before: Option<Instant>,
    ) -> Item {
        let (sequence, work, units) = (parcel.sequence, parcel.work.clone(), parcel.units);
        let sink: Weak<Self> = Arc::downgrade(self);
        let settle = Box::new(move |outcome| {
            if let Some(sink) = sink.upgrade() {
                sink.settle(&parcel, &outcome);
            }
        });
        let delivery = Arc::new(Delivery::new(units, settle));
        queue.open.insert(sequence, Arc::clone(&delivery));
        Item { sequence, work, delivery: Some(delivery), not_before }
    }

    fn settle(self: &Arc<Self>, parcel: &Parcel, outcome: &Outcome) {
        let mut queue = self.queue();
        queue.open.remove(&parcel.sequence);
        let now = clock::now();
        if let Outcome::RetryAfter(delay) = outcome
            && let Some(due) = queue.retry_at(parcel, now, *delay)
        {
            let item = self.item(parcel.clone(), &mut queue, Some(due));
            queue.items.push_front(item);
            drop(queue);
            self.work.notify_one();
            return;
        }
        // A retry is no progress: an exporter that does nothing else is stalled.
        queue.progressed_at = now;
        queue.bytes = queue.bytes.saturating_sub(parcel.bytes);
        self.ledger().settle(parcel.units, outcome);
        let passed = queue.passed_flushes();
        drop(queue);
        self.progress.notify_all();
        passed.iter().for_each(|ticket| ticket.pass());
    }

    /// How full the queue is, and how the exporter gets on.
    pub(crate) fn fill(&self) -> Fill {
        let queue = self.queue();
        Fill {
            bytes: queue.bytes,
            deliveries: queue.open.len(),
            idle: clock::now().saturating_duration_since(queue.progressed_at),
            is_stalled: queue.stalled,
            is_ended: queue.ended,
        }
    }

    /// Puts a mark behind everything enqueued so far, which passes the ticket.
    pub(crate) fn flush(&self, ticket: Arc<Ticket>) {
        self.mark(Work::Flush(ticket));
    }

    /// Lets the exporter open its files anew.
    pub(crate) fn reopen(&self) {
        self.mark(Work::Reopen);
    }

    /// Tells the runner to end; only retries that are due before the deadline are waited for.
    pub(crate) fn shutdown(&self, deadline: Instant) {
        self.queue().ends_at = Some(deadline);
        self.mark(Work::Shutdown(deadline));
    }

    fn mark(&self, work: Work) {
        let mut queue = self.queue();
        let sequence = queue.next;
        queue.next += 1;
        if queue.ended {
            drop(queue);
            if let Work::Flush(ticket) = work {
                ticket.pass();
            }
            return;
        }
        queue.items.push_back(Item { sequence, work, delivery: None, not_before: None });
        drop(queue);
        self.work.notify_one();
    }

    /// Waits until nothing is queued or under way and the runner has ended; `false` at the
    /// deadline.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut queue = self.queue();
        while !(queue.ended && queue.open.is_empty()) {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                return false;
            }
            queue =
                self.progress.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Counts what is left when the deadline of the shutdown is over.
    pub(crate) fn abandon(&self) {
        let left = {
            let mut queue = self.queue();
            queue.ended = true;
            queue.items.clear();
            std::mem::take(&mut queue.open)
        };
        // A runner that was not done finds the end now, and drops its exporter.
        self.work.notify_one();
        for delivery in left.into_values() {
            delivery.finish(Outcome::Rejected(Cause::ShutdownTimeout));
        }
    }

    /// The next thing to do; called by the runner.
    fn next(&self) -> Item {
        let mut queue = self.queue();
        loop {
            let now = clock::now();
            if queue.ended {
                return Item::end(now);
            }
            // What would be due after the end gets its last attempt now.
            let in_time = |due: &Instant| queue.ends_at.is_none_or(|end| *due < end);
            let due = |item: &Item| item.not_before.filter(|due| *due > now).filter(in_time);
            match queue.items.front().map(due) {
                Some(Some(due)) => {
                    let left = due.saturating_duration_since(now);
                    queue = self
                        .work
                        .wait_timeout(queue, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                Some(None) => {
                    if let Some(item) = queue.items.pop_front() {
                        // An exporter that only tries again must not hold up the others.
                        if item.not_before.is_none() {
                            queue.progressed_at = now;
                        }
                        return item;
                    }
                }
                None => queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The exporter has flushed: the ticket passes when what came before it is settled.
    fn flushed(&self, sequence: u64, ticket: Arc<Ticket>) {
        let mut queue = self.queue();
        queue.flushes.push((sequence, ticket));
        let passed = queue.passed_flushes();
        drop(queue);
        passed.iter().for_each(|ticket| ticket.pass());
    }

    fn end(&self) {
        let tickets = {
            let mut queue = self.queue();
            queue.ended = true;
            std::mem::take(&mut queue.flushes)
        };
        self.progress.notify_all();
        tickets.iter().for_each(|(_, ticket)| ticket.pass());
    }

    /// The runner: serves the queue until it is told to end.
    pub(crate) fn run(self: &Arc<Self>, mut exporter: Box<dyn Exporter>, context: &Context) {
        crate::local::mark_own_thread();
        if let Some(thread) = own::Thread::current() {
            if self.writes_through {
                self.intake.through.pass_through(thread.clone());
            }
            let _ = self.thread.set(thread);
        }
        SERVED.set(Some(Arc::clone(self)));
        let mut rest = Rest::default();
        self.guarded(&mut rest, || exporter.start(context));
        loop {
            let item = self.next();
            match (item.work, item.delivery) {
                (Work::Flush(ticket), _) => {
                    let deadline = ticket.deadline;
                    self.guarded(&mut rest, || exporter.flush(deadline));
                    self.flushed(item.sequence, ticket);
                }
                (Work::Reopen, _) => self.guarded(&mut rest, || exporter.reopen()),
                (Work::Shutdown(deadline), _) => {
                    self.guarded(&mut rest, || exporter.flush(deadline));
                    self.guarded(&mut rest, || exporter.shutdown(deadline));
                    // Acks that it still holds are dropped with it, and counted.
                    self.guarded(&mut rest, move || drop(exporter));
                    return self.end();
                }
                (_, Some(delivery)) if rest.is_on() => {
                    delivery.finish(Outcome::Rejected(Cause::Quarantined));
                }
                (Work::Batch(batch), Some(delivery)) => {
                    self.guarded(&mut rest, || exporter.export(batch, Ack::new(delivery)));
                }
                (Work::Metrics(snapshot), Some(delivery)) => {
                    self.guarded(&mut rest, || exporter.metrics(&snapshot, Ack::new(delivery)));
                }
                (Work::Batch(_) | Work::Metrics(_), None) => {}
            }
        }
    }

    /// Calls into the exporter; its panic ends here.
    fn guarded(&self, rest: &mut Rest, call: impl FnOnce()) {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(()) => rest.panics = if rest.is_on() { rest.panics } else { 0 },
            Err(payload) => {
                discard_panic(payload);
                let rest = rest.begin();
                let text = format!("exporter `{}` panicked and rests for {rest:?}", self.name);
                diagnostics::report("exporter.panic", Level::Error, text);
            }
        }
    }
}

thread_local! {
    /// The sink whose runner the thread is.
    static SERVED: RefCell<Option<Arc<Sink>>> = const { RefCell::new(None) };
}

/// Tells that the exporter whose thread this is got a part of its batch out.
pub(crate) fn progressed() {
    SERVED.with_borrow(|sink| {
        if let Some(sink) = sink {
            sink.queue().progressed_at = clock::now();
        }
    });
}

impl Queue {
    /// When a parcel may be tried again; `None` if it has been tried for long enough.
    fn retry_at(&self, parcel: &Parcel, now: Instant, delay: Duration) -> Option<Instant> {
        let tried = now.saturating_duration_since(parcel.queued_at);
        let due = now.checked_add(delay)?;
        let in_time = self.ends_at.is_none_or(|end| due < end);
        (!self.ended && in_time && tried < RETRY_MAX).then_some(due)
    }

    /// Takes the flushes that nothing before them holds back any more.
    fn passed_flushes(&mut self) -> Vec<Arc<Ticket>> {
        let first_open = self.open.keys().next().copied().unwrap_or(u64::MAX);
        let (passed, waiting) =
            self.flushes.drain(..).partition(|(sequence, _)| *sequence < first_open);
        self.flushes = waiting;
        let passed: Vec<(u64, Arc<Ticket>)> = passed;
        passed.into_iter().map(|(_, ticket)| ticket).collect()
    }
}

/// The rest that an exporter takes after panics in a row.
#[derive(Debug, Default)]
struct Rest {
    panics: u32,
    until: Option<Instant>,
}

impl Rest {
    fn begin(&mut self) -> Duration {
        let rest = Duration::from_secs(1 << self.panics.min(6)).min(REST_MAX);
        self.panics += 1;
        self.until = clock::now().checked_add(rest);
        rest
    }

    fn is_on(&self) -> bool {
        self.until.is_some_and(|until| clock::now() < until)
    }
}
