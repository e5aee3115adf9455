//! What `tracing` and `log` are told of what is wanted.
//!
//! `tracing` asks what a callsite is of interest to, and stores the answer in two steps, without a
//! lock: a thread that registers a callsite, and another library that installs a subscriber, may
//! store their answers at any time later, when the filters are others.
//!
//! # Invariants
//!
//! - Only [`apply`] and [`Settling`] say that a callsite is of no interest to anybody, or a level: one
//!   thread at a time, by the latest plans. Everybody else gets an answer that stays right whatever
//!   becomes of the filters: to ask each time. A callsite that is wanted therefore never falls
//!   silent.
//! - Such answers are replaced soon, by the worker ([`Settling`]): a callsite that nobody wants costs
//!   one load then.
//! - The caller of [`apply`] returns when everything that was changed before holds everywhere.
//!   Those who come while somebody is at it wait, and share the next turn; of turns that may wait
//!   ([`Pace::Coalesced`]) there is at most one in [`TURN_PERIOD`].

use super::{
    Plans, decide_all, has_captures, has_layer, has_log, has_scopes, is_forked, is_installed,
    plans, register,
};
use crate::callsite::Callsite;
use crate::clock;
use crate::intake::Intake;
use crate::level::Level;
use crate::plan::{Plan, Scope};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};
use tracing_core::subscriber::Interest;
use tracing_core::{LevelFilter, Metadata, callsite as tracing_callsite};

/// How often filters that are exchanged one after the other are put into effect.
const TURN_PERIOD: Duration = Duration::from_millis(5);
/// Of the worker's time, at most one part in so many goes into settling.
const SETTLING_SHARE: u32 = 20;
/// How long after a look at answers the worker looks again: `tracing` lists a callsite only after
/// it has asked about it, and a thread may be held up before it stores its answer.
const AGAIN: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// May a change wait for others, to be put into effect together with them?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    Coalesced,
}

/// The right to put changes into effect.
struct Turn {
    /// The last change that holds everywhere.
    applied: u64,
    began: Option<Instant>,
}

static TURN: Mutex<Turn> = Mutex::new(Turn { applied: 0, began: None });
/// How often what is wanted has changed.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// Did somebody get an answer that is to be replaced?
static UNSETTLED: AtomicBool = AtomicBool::new(false);

fn turn() -> MutexGuard<'static, Turn> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_turn() -> Option<MutexGuard<'static, Turn>> {
    match TURN.try_lock() {
        Ok(turn) => Some(turn),
        Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What is wanted has changed; the caller holds the plans, and calls [`apply`] later.
pub(super) fn note_change(_: &Plans) {
    CHANGES.fetch_add(1, Ordering::Release);
}

/// Lets what was changed hold everywhere.
pub(crate) fn apply(pace: Pace) {
    // Acquire: the caller's change is among them.
    let wanted = CHANGES.load(Ordering::Acquire);
    let mut turn = turn();
    if turn.applied >= wanted {
        return;
    }
    if let (Pace::Coalesced, Some(began)) = (pace, turn.began) {
        // With the lock: who comes meanwhile has nothing to do but to share what follows.
        std::thread::sleep((began + TURN_PERIOD).saturating_duration_since(clock::now()));
    }
    turn.began = Some(clock::now());
    let applied = CHANGES.load(Ordering::Acquire);
    decide_all();
    rebuild();
    turn.applied = applied;
}

/// When the worker replaces answers that only had to be safe.
#[derive(Debug)]
pub(crate) struct Settling {
    not_before: Instant,
    /// Once more: an answer may be stored late.
    again: Option<Instant>,
    /// How many of the pauses of [`AGAIN`] have begun.
    pauses: usize,
}

impl Settling {
    pub(crate) fn new(now: Instant) -> Self {
        leave_to_worker();
        Self { not_before: now, again: None, pauses: AGAIN.len() }
    }

    /// When there is something to do, at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let unsettled = UNSETTLED.load(Ordering::Relaxed).then_some(self.not_before);
        unsettled.into_iter().chain(self.again).min()
    }

    /// Does it if it is time; the worker calls it again and again.
    pub(crate) fn tend(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) && self.not_before <= now {
            self.settle(now);
        }
    }

    /// Does it now if there is anything to do: at a flush.
    pub(crate) fn finish(&mut self) {
        if UNSETTLED.load(Ordering::Relaxed) {
            self.settle(clock::now());
        }
    }

    fn settle(&mut self, now: Instant) {
        // Who has the turn may be waiting for others.
        let Some(turn) = try_turn() else { return };
        if UNSETTLED.swap(false, Ordering::Relaxed) {
            self.pauses = 0;
        }
        rebuild();
        drop(turn);
        let done = clock::now();
        self.not_before = done + done.saturating_duration_since(now) * SETTLING_SHARE;
        self.again = AGAIN.get(self.pauses).map(|pause| done + *pause);
        self.pauses += 1;
    }
}

thread_local! {
    static TELLING: Cell<Telling> = const { Cell::new(Telling::Safe) };
}

/// What a thread that asks is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// What is right whatever becomes of the filters.
    Safe,
    /// What is right now: the thread has the turn.
    Exact,
    /// The same, and it has asked.
    Heard,
}

/// Lets `tracing` ask again for every callsite, and `log` for the level; the caller has the turn.
fn rebuild() {
    // `tracing` asks the subscriber of the calling thread if it thinks that there is but one; that
    // may be another one, or none. A thread of its own has no other than ours.
    if !rebuild_here() && (is_installed() || has_layer()) {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("telemetry-rebuild".to_owned());
            let _ = builder.spawn_scoped(scope, rebuild_here);
        });
    }
    set_log_level();
}

/// Were we asked?
fn rebuild_here() -> bool {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            TELLING.set(Telling::Safe);
        }
    }
    let _done = Done;
    TELLING.set(Telling::Exact);
    tracing_callsite::rebuild_interest_cache();
    TELLING.get() == Telling::Heard
}

/// Tells `log` what is wanted, so that its macros cost one load for the rest.
fn set_log_level() {
    if has_log() {
        log::set_max_level(match max_level().into_level() {
            None => log::LevelFilter::Off,
            Some(tracing_core::Level::ERROR) => log::LevelFilter::Error,
            Some(tracing_core::Level::WARN) => log::LevelFilter::Warn,
            Some(tracing_core::Level::INFO) => log::LevelFilter::Info,
            Some(tracing_core::Level::DEBUG) => log::LevelFilter::Debug,
            Some(tracing_core::Level::TRACE) => log::LevelFilter::Trace,
        });
    }
}

/// What `tracing` may do with a callsite: never, always, or ask each time.
pub(crate) fn interest(metadata: &'static Metadata<'static>) -> Interest {
    if is_forked() {
        return Interest::never();
    }
    let is_exact = TELLING.get() != Telling::Safe;
    if is_exact {
        // A filter around a layer of ours may answer for its level.
        TELLING.set(Telling::Heard);
    }
    // Those that are known were decided about before the thread got here.
    let known = if is_exact { crate::callsite::find_current(metadata) } else { None };
    let interest = interest_in(known.unwrap_or_else(|| register(metadata)));
    if is_exact || !interest.is_never() {
        return interest;
    }
    leave_to_worker();
    Interest::sometimes()
}

fn interest_in(callsite: &Callsite) -> Interest {
    let decision = callsite.decision();
    if decision.sinks() != 0 || decision.is_certain() {
        return Interest::always();
    }
    let is_wanted = has_captures()
        || !decision.is_nobody()
        || live_scopes().iter().any(|scope| !scope.plan().decide(callsite).is_nobody());
    if is_wanted { Interest::sometimes() } else { Interest::never() }
}

/// The least severe level that anybody wants, as far as `tracing` has to know.
pub(crate) fn level_hint() -> LevelFilter {
    if TELLING.get() == Telling::Safe {
        leave_to_worker();
        return LevelFilter::TRACE;
    }
    TELLING.set(Telling::Heard);
    max_level()
}

/// Lets the worker look at all callsites, now and a little later.
#[cold]
pub(super) fn leave_to_worker() {
    if !UNSETTLED.swap(true, Ordering::Relaxed) {
        Intake::wake_global();
    }
}

fn live_scopes() -> Vec<Arc<Scope>> {
    if !has_scopes() {
        return Vec::new();
    }
    plans().scopes.iter().filter_map(Weak::upgrade).collect()
}

/// The least severe level that any pipeline wants.
fn max_level() -> LevelFilter {
    if has_captures() {
        return LevelFilter::TRACE;
    }
    let scopes = live_scopes().into_iter().map(|scope| scope.plan());
    let plans = scopes.chain(plans().attached.clone());
    let levels = plans.filter_map(|plan: Arc<Plan>| plan.max_level());
    match levels.min() {
        Some(Level::Trace) => LevelFilter::TRACE,
        Some(Level::Debug) => LevelFilter::DEBUG,
        Some(Level::Info) => LevelFilter::INFO,
        Some(Level::Warn) => LevelFilter::WARN,
        Some(Level::Error) => LevelFilter::ERROR,
        None => LevelFilter::OFF,
    }
}
