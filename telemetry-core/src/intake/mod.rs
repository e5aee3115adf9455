//! Where the threads' buffers and the worker meet.
//!
//! # Invariants
//!
//! - The process has one intake for the attached pipeline, which outlives pipelines: a buffer
//!   belongs to its thread for good, and the next pipeline's worker goes on reading it. A scoped
//!   pipeline has one of its own.
//! - A thread that finds the budget used up waits only while the worker's position moves, at most
//!   [`Waits::blocking`] without movement ([`Waits::in_async`] inside an async worker); then it
//!   drops, and counts, until the buffers are half empty. Our own threads never wait.
//! - Where exporters write through, a thread waits for its record under the same rule, or while those
//!   that it waits for would get on with a core; never longer than [`through::WAIT_RUNNING`], and no
//!   longer than until another one has waited in vain.

mod through;
mod waker;

pub(crate) use through::{Extent, Through};
pub(crate) use waker::Waker;

use crate::chunk::{Owner, Pool, Producer, Refill, Shared, Size};
use crate::clock;
use crate::flush::{Ticket, Waited};
use crate::ledger::{Cause, Signal, SinkLedger, Units};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

static GLOBAL: OnceLock<Arc<Intake>> = OnceLock::new();

/// Default budget of the bytes that wait in buffers.
pub(crate) const BUDGET_BYTES: usize = 16 * 1024 * 1024;

/// How long call sites wait for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// On an ordinary thread, without movement of the worker; 100 ms by default.
    pub blocking: Duration,
    /// Inside an async worker; 10 ms by default: a few of the steps in which a busy worker moves.
    pub in_async: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { blocking: Duration::from_millis(100), in_async: Duration::from_millis(10) }
    }
}

/// Tells whether the calling thread is a worker of an async runtime. Core knows no runtime: the
/// facade sets this.
static IN_ASYNC: OnceLock<fn() -> bool> = OnceLock::new();

/// Sets how a call site finds out that it runs inside an async worker; the first call wins.
pub fn set_async_probe(probe: fn() -> bool) {
    let _ = IN_ASYNC.set(probe);
}

/// The counts of the sinks of one pipeline, and which of them take what.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) epoch: u8,
    pub(crate) log_sinks: u32,
    pub(crate) span_sinks: u32,
    pub(crate) sinks: Vec<SinkLedger>,
}

impl Ledger {
    /// The sinks that take this signal, of those that want the record.
    pub(crate) fn takers(&self, sinks: u32, signal: Signal) -> u32 {
        sinks & if signal == Signal::Span { self.span_sinks } else { self.log_sinks }
    }

    /// Counts one unit as emitted and lost.
    pub(crate) fn lost(&self, sinks: u32, signal: Signal, cause: Cause) {
        for sink in bits(self.takers(sinks, signal)) {
            if let Some(ledger) = self.sinks.get(sink) {
                ledger.emitted(Units::of(signal, 1));
                ledger.dropped(cause, Units::of(signal, 1));
            }
        }
    }
}

/// The numbers of the bits that are set.
pub(crate) fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(bit)
    })
}

/// The calling thread, as the operating system knows it.
#[cfg(target_os = "linux")]
fn thread_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail (gettid(2)).
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn thread_id() -> u32 {
    0
}

/// What call sites count besides the ledger.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    pub(crate) cut: AtomicU64,
    pub(crate) stale_spans: AtomicU64,
    pub(crate) span_updates_lost: AtomicU64,
    pub(crate) own_records: AtomicU64,
    pub(crate) log_echoes: AtomicU64,
    pub(crate) redacted: AtomicU64,
    pub(crate) lost_closes: AtomicU64,
}

/// Buffers, budget and waker of one worker.
#[derive(Debug)]
pub(crate) struct Intake {
    pool: Arc<Pool>,
    buffers: Mutex<Vec<Arc<Shared>>>,
    /// Moves whenever `buffers` changes, so that the worker need not lock to see that it did not.
    version: AtomicU64,
    pub(crate) waker: Waker,
    blocking_ns: AtomicU64,
    in_async_ns: AtomicU64,
    blocked_ns: AtomicU64,
    waiting: AtomicUsize,
    /// Grows with every record that the worker reads, and while it waits for an exporter that
    /// computes: how waiting call sites see that it moves.
    read: AtomicU64,
    room: (Mutex<()>, Condvar),
    pub(crate) through: Through,
    ledger: AtomicPtr<Ledger>,
    /// Every ledger that `ledger` ever pointed to: a call site may still count in an old one.
    ledgers: Mutex<Vec<Arc<Ledger>>>,
    pub(crate) oddities: Oddities,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

impl Intake {
    pub(crate) fn new() -> Self {
        let waits = Waits::default();
        Self {
            pool: Arc::new(Pool::new(BUDGET_BYTES)),
            buffers: Mutex::new(Vec::new()),
            version: AtomicU64::new(0),
            waker: Waker::new(),
            blocking_ns: AtomicU64::new(waits.blocking.as_nanos() as u64),
            in_async_ns: AtomicU64::new(waits.in_async.as_nanos() as u64),
            blocked_ns: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            read: AtomicU64::new(0),
            room: (Mutex::new(()), Condvar::new()),
            through: Through::default(),
            ledger: AtomicPtr::new(std::ptr::null_mut()),
            ledgers: Mutex::new(Vec::new()),
            oddities: Oddities::default(),
        }
    }

    /// The intake of the attached pipeline.
    pub(crate) fn global() -> &'static Arc<Self> {
        GLOBAL.get_or_init(|| Arc::new(Self::new()))
    }

    /// Lets the attached pipeline's worker look whether there is anything to do.
    pub(crate) fn wake_global() {
        if let Some(intake) = GLOBAL.get() {
            intake.waker.awake();
            intake.waker.wake();
        }
    }

    /// The fork's child: tells call sites, if there is anything to tell them, that nobody reads.
    pub(crate) fn turn_off_global() {
        if let Some(intake) = GLOBAL.get() {
            intake.waker.turn_off();
            // No chunk is asked for any more: the pool's lock may be held for good.
            intake.pool.set_budget(0);
        }
    }

    pub(crate) fn configure(&self, budget_bytes: usize, waits: Waits, through: Option<Extent>) {
        self.pool.set_budget(budget_bytes);
        let ns = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.blocking_ns.store(ns(waits.blocking), Ordering::Relaxed);
        self.in_async_ns.store(ns(waits.in_async), Ordering::Relaxed);
        self.through.begin(through);
        self.waker.set_through(through.is_some());
    }

    /// The worker has ended: nobody waits for it any more.
    pub(crate) fn end_through(&self) {
        self.waker.set_through(false);
        self.through.end();
    }

    /// Makes `ledger` the one that call sites count in.
    pub(crate) fn set_ledger(&self, ledger: &Arc<Ledger>) {
        lock(&self.ledgers).push(Arc::clone(ledger));
        // Release: the ledger's content is visible to whoever finds it.
        self.ledger.store(Arc::as_ptr(ledger).cast_mut(), Ordering::Release);
    }

    /// Counts a record that was lost before it reached a buffer.
    #[cold]
    pub(crate) fn lost(&self, epoch: u8, sinks: u32, signal: Signal, cause: Cause) {
        let ledger = self.ledger.load(Ordering::Acquire);
        // SAFETY: `ledgers` keeps everything alive that this pointer ever held.
        if let Some(ledger) = unsafe { ledger.as_ref() }
            && ledger.epoch == epoch
        {
            ledger.lost(sinks, signal, cause);
        }
    }

    /// A new buffer for the calling thread.
    pub(crate) fn producer(self: &Arc<Self>) -> Option<Producer> {
        // `thread::current` would allocate a handle in a thread that is being torn down.
        let name = std::thread::current().name().map(str::to_owned);
        let owner = Owner { name, id: thread_id() };
        let producer =
            Producer::new(Arc::clone(&self.pool), Arc::clone(self) as Arc<dyn Refill>, owner)?;
        lock(&self.buffers).push(Arc::clone(producer.shared()));
        self.version.fetch_add(1, Ordering::Release);
        Some(producer)
    }

    /// The number that moves when a buffer comes or goes.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn buffers(&self) -> Vec<Arc<Shared>> {
        lock(&self.buffers).clone()
    }

    /// Forgets buffers whose thread is gone and that are read to the end.
    pub(crate) fn forget(&self, done: &[Arc<Shared>]) {
        lock(&self.buffers).retain(|shared| {
            let is_done = done.iter().any(|done| Arc::ptr_eq(done, shared));
            if is_done {
                let blocked_ns = shared.blocked_ns.load(Ordering::Relaxed);
                self.blocked_ns.fetch_add(blocked_ns, Ordering::Relaxed);
            }
            !is_done
        });
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Forgets the buffer of a thread that ends, if there is nothing to read in it: where no worker
    /// runs, nobody else would.
    pub(crate) fn forget_if_read(&self, shared: &Arc<Shared>) {
        // A fork's child takes no lock: whoever held it may not be there.
        if self.waker.is_off() {
            return;
        }
        let is_read = {
            let consumer = shared.consumer();
            consumer.committed() == consumer.taken()
        };
        if is_read {
            self.forget(std::slice::from_ref(shared));
        }
    }

    /// Records that are committed and not read yet.
    pub(crate) fn buffered(&self) -> u64 {
        lock(&self.buffers)
            .iter()
            .map(|shared| {
                let consumer = shared.consumer();
                consumer.committed() - consumer.taken()
            })
            .sum()
    }

    /// How long call sites have waited, all threads together.
    pub(crate) fn blocked(&self) -> Duration {
        let live: u64 = lock(&self.buffers)
            .iter()
            .map(|shared| shared.blocked_ns.load(Ordering::Relaxed))
            .sum();
        Duration::from_nanos(self.blocked_ns.load(Ordering::Relaxed) + live)
    }

    /// How many call sites wait for room just now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets waiting threads look again; the worker calls it after each round.
    pub(crate) fn announce_room(&self, records_read: usize) {
        // Relaxed: a count without data behind it.
        self.read.fetch_add(records_read as u64, Ordering::Relaxed);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.room.1.notify_all();
        }
    }

    /// Tells waiting threads that what they wait for is being worked on.
    pub(crate) fn announce_work(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    fn patience(&self) -> Duration {
        let in_async = IN_ASYNC.get().is_some_and(|probe| probe());
        let ns = if in_async { &self.in_async_ns } else { &self.blocking_ns };
        Duration::from_nanos(ns.load(Ordering::Relaxed))
    }

    fn wait_while_it_moves(&self, pool: &Pool, size: Size, patience: Duration) -> bool {
        let mut read = self.read.load(Ordering::Relaxed);
        let slice = patience.min(Duration::from_millis(1));
        let mut waits = clock::Patience::new(slice.max(patience / 10));
        loop {
            self.waker.wake();
            let guard = lock(&self.room.0);
            let _ = self.room.1.wait_timeout(guard, slice).unwrap_or_else(PoisonError::into_inner);
            if pool.charge(size) {
                return true;
            }
            let now_read = self.read.load(Ordering::Relaxed);
            if now_read != read {
                read = now_read;
                waits.renew();
            } else if waits.waited() >= patience {
                return false;
            }
        }
    }
}

/// Write-through.
impl Intake {
    /// Waits until what the calling thread has committed is out, or counted as lost.
    #[cold]
    pub(crate) fn wait_until_out(&self, is_span: bool) {
        if crate::own::is_own_thread() || self.waker.is_off() {
            return;
        }
        let patience = self.patience();
        if patience.is_zero() {
            return;
        }
        let Some(ticket) = self.through.ask(is_span) else { return };
        let began_at = clock::now();
        if self.wait_while_they_move(&ticket, patience) == Waited::InVain {
            self.through.give_up(ticket);
        }
        let blocked = clock::now().saturating_duration_since(began_at);
        self.blocked_ns.fetch_add(blocked.as_nanos() as u64, Ordering::Relaxed);
    }

    fn wait_while_they_move(&self, ticket: &Ticket, patience: Duration) -> Waited {
        let mut read = self.read.load(Ordering::Relaxed);
        let slice = patience.min(Duration::from_millis(10));
        let longest = patience.max(through::WAIT_RUNNING);
        let mut waits = clock::Patience::new(slice.max(patience / 10));
        let mut all_waits = clock::Patience::new(slice.max(patience / 10));
        loop {
            self.waker.wake();
            let waited = ticket.wait_at_most(slice);
            if waited != Waited::InVain {
                return waited;
            }
            // Those that wait for nothing could keep the worker moving for good.
            if all_waits.waited() >= longest || self.through.is_given_up() {
                return Waited::InVain;
            }
            let now_read = self.read.load(Ordering::Relaxed);
            if now_read != read {
                read = now_read;
                waits.renew();
                continue;
            }
            if waits.waited() >= patience && !self.through.is_runnable() {
                return Waited::InVain;
            }
        }
    }
}

impl Refill for Intake {
    fn wait_for_room(&self, pool: &Pool, size: Size, shared: &Shared) -> bool {
        if crate::own::is_own_thread() || self.waker.is_off() {
            return false;
        }
        let patience = self.patience();
        if patience.is_zero() {
            return false;
        }
        let began_at = clock::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let room = self.wait_while_it_moves(pool, size, patience);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let blocked = clock::now().saturating_duration_since(began_at);
        shared.blocked_ns.fetch_add(blocked.as_nanos() as u64, Ordering::Relaxed);
        room
    }

    fn sealed(&self) {
        // The worker looks by itself every few milliseconds. To wake it is a system call, so that
        // is left to buffers that would not last that long.
        if self.pool.is_filling() {
            self.waker.wake();
        }
    }
}
