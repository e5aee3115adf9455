//! One process, one router: what stands behind the global `tracing` subscriber.
//!
//! # Invariants
//!
//! - The router has no state of its own: it is a name for the statics here. It is installed once
//!   and stays; a pipeline attaches to it and detaches again.
//! - At most one pipeline is attached. Scoped pipelines live beside it and take the records of the
//!   threads that are inside their scope.
//! - Every callsite's decision is the attached plan's. `tracing`'s interest is the union of all
//!   plans, so no pipeline can silence another one's callsites.

use crate::callsite::{self, Callsite, Decision, Verdict};
use crate::error::Error;
use crate::intake::Intake;
use crate::level::Level;
use crate::local;
use crate::plan::{Plan, Scope};
use crate::record::flag;
use crate::redaction::{self, Redaction};
use crate::rules::Rules;
use crate::sampler;
use crate::tape;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tracing_core::dispatcher::{self, DefaultGuard};
use tracing_core::subscriber::{Interest, NoSubscriber};
use tracing_core::{Dispatch, LevelFilter, Metadata, callsite as tracing_callsite};

/// The process's `tracing` subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Router;

/// The targets of the attached plan's filters that no callsite has, each with near ones.
pub(crate) fn unknown_targets() -> Vec<(String, Vec<String>)> {
    let Some(plan) = plans().attached.clone() else { return Vec::new() };
    let known: std::collections::BTreeSet<&str> = callsite::all().map(Callsite::target).collect();
    let mut unknown: Vec<_> = plan
        .filters()
        .flat_map(|filter| filter.unknown_targets(known.iter().copied()))
        .map(|(target, near)| (target.to_owned(), near.into_iter().map(str::to_owned).collect()))
        .collect();
    unknown.sort();
    unknown.dedup();
    unknown
}

/// The generation of the attached plan's rules; 0 = it has none.
static RULES: AtomicU32 = AtomicU32::new(0);

pub(crate) fn rules_generation() -> u32 {
    // Acquire: with the number comes the plan, behind its lock.
    RULES.load(Ordering::Acquire)
}

/// A copy of the attached plan's rules, for a thread that has none or older ones.
#[cold]
pub(crate) fn attached_rules() -> Option<Rules> {
    let plan = plans().attached.clone();
    plan.and_then(|plan| plan.rules.clone())
}

/// Changes whenever what a span that is open already carries, or what it means, has changed.
static CARRIED_VERSION: AtomicU64 = AtomicU64::new(0);

#[inline(always)]
pub(crate) fn carried_version() -> u64 {
    // Acquire: what has changed before is visible to whoever finds the new version.
    CARRIED_VERSION.load(Ordering::Acquire)
}

/// What threads remember of the spans around them holds no more.
pub(crate) fn change_carried_version() {
    CARRIED_VERSION.fetch_add(1, Ordering::Release);
}

struct Plans {
    attached: Option<Arc<Plan>>,
    scopes: Vec<Weak<Scope>>,
}

static PLANS: Mutex<Plans> = Mutex::new(Plans { attached: None, scopes: Vec::new() });
static INSTALLED: AtomicBool = AtomicBool::new(false);
static EPOCH: AtomicU8 = AtomicU8::new(0);

fn plans() -> MutexGuard<'static, Plans> {
    PLANS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that tells a pipeline's records from those of the ones before it.
pub(crate) fn next_epoch() -> u8 {
    // 0 is what callsites say that were never decided; captures have one of their own.
    loop {
        let epoch = EPOCH.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if epoch != 0 && epoch != tape::EPOCH {
            return epoch;
        }
    }
}

/// Makes the router the process's global `tracing` subscriber, if it is not yet.
///
/// # Errors
///
/// Another library's subscriber is the global one, and no layer of ours is in it.
pub(crate) fn install() -> Result<(), Error> {
    // A lock of its own: `tracing` asks the router for its level while it is installed.
    static INSTALL: Mutex<()> = Mutex::new(());
    let _install = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    if tracing_core::dispatcher::set_global_default(Dispatch::new(Router)).is_ok() {
        INSTALLED.store(true, Ordering::Release);
        return Ok(());
    }
    if has_layer() { Ok(()) } else { Err(foreign_subscriber()) }
}

/// The error of a process whose `tracing` subscriber is another library's.
pub(crate) fn foreign_subscriber() -> Error {
    Error::foreign(
        "the global `tracing` subscriber",
        "do not call `tracing_subscriber::…::init` or `set_global_default` beside it, or put a \
         `TelemetryLayer` into it",
    )
}

/// Is the router the global subscriber?
#[cfg(feature = "layer")]
pub(crate) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

/// How many layers of ours stand in a subscriber: the other face of the recorder.
static LAYERS: AtomicUsize = AtomicUsize::new(0);

/// Does the recorder have another face than the router?
pub(crate) fn has_layer() -> bool {
    // Acquire: pairs with the Release in `add_layer`.
    LAYERS.load(Ordering::Acquire) > 0
}

/// Finds out whether a layer of ours is in a subscriber. Set by the first layer: its type is not
/// known down here.
static IS_LAYERED: OnceLock<fn(&Dispatch) -> bool> = OnceLock::new();

/// A layer of ours has become a part of a subscriber.
#[cfg(feature = "layer")]
pub(crate) fn add_layer(is_layered: fn(&Dispatch) -> bool) {
    IS_LAYERED.get_or_init(|| is_layered);
    // Release: whoever finds the layer finds it ready.
    LAYERS.fetch_add(1, Ordering::Release);
}

/// A layer of ours is gone with its subscriber.
#[cfg(feature = "layer")]
pub(crate) fn remove_layer() {
    LAYERS.fetch_sub(1, Ordering::Release);
}

/// Does the recorder get what goes to a subscriber, by either face?
fn is_ours(dispatch: &Dispatch) -> bool {
    dispatch.is::<Router>() || IS_LAYERED.get().is_some_and(|is_layered| is_layered(dispatch))
}

static RESERVED: AtomicBool = AtomicBool::new(false);

/// The right to attach a pipeline and to read the process's buffers; held from before the
/// attachment until the worker has ended, so that two workers never read the same buffers.
#[derive(Debug)]
pub(crate) struct Reservation(());

impl Reservation {
    /// Takes the right.
    ///
    /// # Errors
    ///
    /// Another pipeline is attached, or is still shutting down.
    pub(crate) fn take() -> Result<Self, Error> {
        // Acquire: what the worker before has done is visible.
        if RESERVED.swap(true, Ordering::Acquire) {
            return Err(Error::already_attached());
        }
        Ok(Self(()))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        RESERVED.store(false, Ordering::Release);
    }
}

/// Makes this what the process takes for secrets, at all callsites; the caller holds the
/// [`Reservation`], so no pipeline is attached.
///
/// # Errors
///
/// As [`redaction::set`].
pub(crate) fn redact(redaction: &Redaction) -> Result<(), Error> {
    // With the lock, so that no callsite registers meanwhile by the names before.
    let _plans = plans();
    redaction::set(redaction)?;
    callsite::all().for_each(Callsite::redact_again);
    Ok(())
}

/// Makes `plan` the one that decides.
///
/// # Errors
///
/// Another pipeline is attached.
pub(crate) fn attach(plan: &Arc<Plan>) -> Result<(), Error> {
    {
        let mut plans = plans();
        if plans.attached.is_some() {
            return Err(Error::already_attached());
        }
        plans.attached = Some(Arc::clone(plan));
        RULES.store(plan.generation().into(), Ordering::Release);
        change_carried_version();
        decide_all(&plans);
    }
    rebuild_interest();
    Ok(())
}

/// Takes the attached plan away: callsites cost nothing again.
pub(crate) fn detach() {
    {
        let mut plans = plans();
        plans.attached = None;
        RULES.store(0, Ordering::Release);
        change_carried_version();
        decide_all(&plans);
    }
    sampler::set(None);
    rebuild_interest();
}

fn decide_all(plans: &Plans) {
    for callsite in callsite::all() {
        callsite.decide(decide(plans, callsite));
    }
}

fn decide(plans: &Plans, callsite: &Callsite) -> Verdict {
    match &plans.attached {
        Some(plan) => plan.judge(callsite),
        None => Verdict::NOBODY,
    }
}

/// Lets `tracing` ask again for every callsite, and `log` for the level.
pub(crate) fn rebuild_interest() {
    tracing_callsite::rebuild_interest_cache();
    set_log_level();
}

static HAS_LOG: AtomicBool = AtomicBool::new(false);

/// Are the records of the `log` crate taken?
pub(crate) fn has_log() -> bool {
    HAS_LOG.load(Ordering::Acquire)
}

/// From now on the records of the `log` crate are taken.
pub(crate) fn take_log() {
    HAS_LOG.store(true, Ordering::Release);
    set_log_level();
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

/// The entry of a `tracing` callsite, registered and decided if it is new.
pub(crate) fn register(metadata: &'static Metadata<'static>) -> &'static Callsite {
    let plans = plans();
    let (callsite, _) = callsite::find_or_register(metadata);
    callsite.decide(decide(&plans, callsite));
    callsite
}

/// Registers a callsite of our own macros.
pub(crate) fn register_own(description: callsite::Description) -> &'static Callsite {
    let plans = plans();
    let callsite = callsite::register(description);
    callsite.decide(decide(&plans, callsite));
    callsite
}

static FORKED: AtomicBool = AtomicBool::new(false);

/// The fork's child: nobody reads its buffers, so nothing is wanted any more.
///
/// Runs between fork and the child's first line, where only one thread is left: any lock may be
/// held for good by one that is not there, so none is taken.
pub(crate) fn turn_off() {
    FORKED.store(true, Ordering::Release);
    Intake::turn_off_global();
    for callsite in callsite::all() {
        callsite.decide(Verdict::NOBODY);
    }
}

/// Is this a fork's child, whose locks may be held by threads that are not there?
pub(crate) fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// What `tracing` may do with a callsite: never, always, or ask each time.
pub(crate) fn interest(metadata: &'static Metadata<'static>) -> Interest {
    if is_forked() {
        return Interest::never();
    }
    let callsite = register(metadata);
    let verdict = callsite.verdict();
    // Without rules, only redacted fields take a callsite off the fast path.
    let is_certain = verdict.static_sinks != 0 && rules_generation() == 0;
    if verdict.decision.sinks() != 0 || is_certain {
        return Interest::always();
    }
    let scopes = live_scopes();
    let wanted = has_captures()
        || !callsite.decision().is_nobody()
        || scopes.iter().any(|scope| !scope.plan.decide(callsite).is_nobody());
    if wanted { Interest::sometimes() } else { Interest::never() }
}

fn live_scopes() -> Vec<Arc<Scope>> {
    plans().scopes.iter().filter_map(Weak::upgrade).collect()
}

/// Is metadata wanted that no callsite was registered for?
#[cold]
pub(crate) fn wants_unregistered(metadata: &Metadata<'_>) -> bool {
    let (target, level) = (metadata.target(), Level::from(*metadata.level()));
    let plan = match thread_scope() {
        Some(scope) => Some(Arc::clone(&scope.plan)),
        None => plans().attached.clone(),
    };
    plan.is_some_and(|plan| plan.static_sinks(target, level, metadata.is_span()) != 0)
}

fn thread_scope() -> Option<Arc<Scope>> {
    local::with(|local| local.takers.scope()).flatten()
}

/// What sinks of the attached pipeline (or the thread's scope) want an event without a callsite;
/// `around` says what the spans around it carry, of these rules.
pub(crate) fn decide_event(
    target: &str,
    level: Level,
    around: impl FnOnce(u16) -> u64,
) -> Decision {
    if is_forked() {
        return Decision::NOBODY;
    }
    // Asked for before the lock: making a thread's state may call an allocator that logs.
    let around = |rules: u16| if rules == 0 { 0 } else { around(rules) };
    if let Some(scope) = thread_scope() {
        let around = around(scope.plan.generation());
        return scope.plan.decide_event(target, level, around);
    }
    let around = around(rules_generation() as u16);
    match &plans().attached {
        Some(plan) => plan.decide_event(target, level, around),
        None => Decision::NOBODY,
    }
}

/// The least severe level that any pipeline wants.
pub(crate) fn max_level() -> LevelFilter {
    if has_captures() {
        return LevelFilter::TRACE;
    }
    let scopes = live_scopes();
    let attached = plans().attached.clone();
    let levels = attached.iter().chain(scopes.iter().map(|scope| &scope.plan));
    match levels.filter_map(|plan| plan.max_level()).min() {
        Some(Level::Trace) => LevelFilter::TRACE,
        Some(Level::Debug) => LevelFilter::DEBUG,
        Some(Level::Info) => LevelFilter::INFO,
        Some(Level::Warn) => LevelFilter::WARN,
        Some(Level::Error) => LevelFilter::ERROR,
        None => LevelFilter::OFF,
    }
}

/// Are spans with these flags exported?
#[inline(always)]
pub(crate) fn is_exported(flags: u8) -> bool {
    flags & flag::SAMPLED != 0
}

static SCOPES: AtomicUsize = AtomicUsize::new(0);

/// Is there a scoped pipeline, so that the attached one's decision is not the only one?
#[inline(always)]
pub(crate) fn has_scopes() -> bool {
    SCOPES.load(Ordering::Relaxed) != 0
}

/// Tells call sites whether there are scopes.
fn show_scopes(plans: &Plans) {
    SCOPES.store(plans.scopes.len() + usize::from(has_captures()), Ordering::Relaxed);
}

/// Makes a scoped pipeline known, so that the callsites it wants are not silenced.
pub(crate) fn add_scope(scope: &Arc<Scope>) {
    {
        let mut plans = plans();
        plans.scopes.retain(|scope| scope.strong_count() > 0);
        plans.scopes.push(Arc::downgrade(scope));
        show_scopes(&plans);
    }
    rebuild_interest();
}

/// Forgets a scoped pipeline.
pub(crate) fn remove_scope(scope: &Arc<Scope>) {
    {
        let mut plans = plans();
        plans.scopes.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(scope)));
        show_scopes(&plans);
    }
    rebuild_interest();
}

/// The router as a subscriber of threads, for captures in processes whose global subscriber is
/// another one, or none. Two of them, because `tracing` asks all subscribers about a callsite only
/// if it knows of more than one: else it asks the calling thread's, and what a thread without one
/// says (`never`) would silence the callsite for all.
static CAPTURES: OnceLock<[Dispatch; 2]> = OnceLock::new();
static HAS_CAPTURES: AtomicBool = AtomicBool::new(false);

fn has_captures() -> bool {
    HAS_CAPTURES.load(Ordering::Acquire)
}

/// From now on every callsite is asked about, so that captures see it, whoever hit it first.
pub(crate) fn allow_captures() {
    CAPTURES.get_or_init(|| {
        HAS_CAPTURES.store(true, Ordering::Release);
        show_scopes(&plans());
        let subscribers = [Dispatch::new(Router), Dispatch::new(Router)];
        // A thread that was in the middle of the registration of a callsite may have asked before,
        // and stores the answer that it got, `never`, about now: see `worker::RECHECKS`. Tests must
        // not fail one time in a million, so it is given time to do that.
        for _ in 0..SETTLING_ROUNDS {
            rebuild_interest();
            std::thread::sleep(Duration::from_millis(1));
        }
        rebuild_interest();
        subscribers
    });
}

const SETTLING_ROUNDS: u32 = 5;

/// Makes the router the calling thread's subscriber, if it is not already.
pub(crate) fn enter_here() -> Option<DefaultGuard> {
    let [subscriber, _] = CAPTURES.get()?;
    let is_here = dispatcher::get_default(is_ours);
    (!is_here).then(|| dispatcher::set_default(subscriber))
}

/// Does another library's subscriber have what the calling thread emits?
pub(crate) fn is_foreign_here() -> bool {
    dispatcher::get_default(|current| !is_ours(current) && !current.is::<NoSubscriber>())
}
