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
//! - Plans are exchanged while call sites run: each of them decides by the old or by the new one.

use crate::callsite::{self, Callsite, Decision, Verdict};
use crate::error::Error;
use crate::intake::Intake;
use crate::level::Level;
use crate::local::{self, Known};
use crate::plan::{Plan, Scope};
use crate::rate_limit::RateLimit;
use crate::record::flag;
use crate::redaction::{self, Redaction};
use crate::rules::Rules;
use crate::sampler;
use crate::sync;
use crate::tape;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tracing_core::dispatcher::{self, DefaultGuard};
use tracing_core::subscriber::NoSubscriber;
use tracing_core::{Dispatch, Metadata};

mod interest;

pub(crate) use crate::sync::is_forked;
pub(crate) use interest::{Pace, Settling, apply, interest, level_hint};

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

/// The number of the attached plan; 0 = there is none.
static PLAN: AtomicU32 = AtomicU32::new(0);
/// Has it rules?
static HAS_RULES: AtomicBool = AtomicBool::new(false);

#[inline(always)]
pub(crate) fn plan_number() -> u32 {
    // Acquire: with the number comes the plan, behind its lock.
    PLAN.load(Ordering::Acquire)
}

/// Are there directives of spans or fields? Of the attached plan or a scope's.
#[inline(always)]
pub(crate) fn has_rules() -> bool {
    HAS_RULES.load(Ordering::Relaxed) || has_scopes()
}

/// The attached plan with a copy of its rules, for a thread that has none or an older one.
#[cold]
pub(crate) fn attached_plan() -> Option<Known> {
    let plan = plans().attached.clone()?;
    let rules = plan.rules.clone();
    Some(Known { plan, rules })
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
    if is_installed() {
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

/// Forgets what call sites have emitted under the pipeline before; the caller holds the
/// [`Reservation`].
pub(crate) fn renew_meters() {
    RateLimit::unset_pace();
    callsite::all().for_each(|callsite| callsite.meter().renew());
    for callsite in callsite::take_noisy() {
        callsite.meter().harvest();
    }
}

impl Plans {
    /// Lets call sites know which plan decides from now on.
    fn announce(&self) {
        let plan = self.attached.as_ref();
        HAS_RULES.store(plan.is_some_and(|plan| plan.rules.is_some()), Ordering::Relaxed);
        PLAN.store(plan.map_or(0, |plan| plan.number), Ordering::Release);
        // Behind the number: whoever finds this version finds that plan.
        change_carried_version();
        interest::note_change(self);
    }

    fn decide(&self, callsite: &Callsite) {
        callsite.decide(match &self.attached {
            Some(plan) => plan.judge(callsite),
            None => Verdict::NOBODY,
        });
    }
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
        plans.announce();
    }
    interest::apply(Pace::AtOnce);
    // Answers of before, when there was no subscriber or no pipeline, may be stored late.
    interest::leave_to_worker();
    Ok(())
}

/// Takes the attached plan away: callsites cost nothing again.
pub(crate) fn detach() {
    {
        let mut plans = plans();
        plans.attached = None;
        plans.announce();
    }
    sampler::set(None);
    interest::apply(Pace::AtOnce);
}

/// Replaces the attached plan by a later one of the same pipeline; `false` if that is not attached
/// (any more). After [`apply`] it holds everywhere.
pub(crate) fn exchange(plan: &Arc<Plan>) -> bool {
    if is_forked() {
        return false;
    }
    let mut plans = plans();
    let is_ours = plans.attached.as_ref().is_some_and(|attached| attached.epoch == plan.epoch);
    if is_ours {
        plans.attached = Some(Arc::clone(plan));
        plans.announce();
    }
    is_ours
}

/// How many callsites are decided about without letting those in that register meanwhile.
const DECIDED_AT_ONCE: usize = 64;

/// Lets all callsites know what the attached plan says.
fn decide_all() {
    let mut callsites = callsite::all().peekable();
    while callsites.peek().is_some() {
        let plans = plans();
        callsites.by_ref().take(DECIDED_AT_ONCE).for_each(|callsite| plans.decide(callsite));
    }
}

static HAS_LOG: AtomicBool = AtomicBool::new(false);

/// Are the records of the `log` crate taken?
pub(crate) fn has_log() -> bool {
    HAS_LOG.load(Ordering::Acquire)
}

/// From now on the records of the `log` crate are taken.
pub(crate) fn take_log() {
    HAS_LOG.store(true, Ordering::Release);
    interest::note_change(&plans());
    interest::apply(Pace::AtOnce);
}

/// The entry of a `tracing` callsite, registered and decided if it is new.
pub(crate) fn register(metadata: &'static Metadata<'static>) -> &'static Callsite {
    let plans = plans();
    callsite::find_or_register(metadata, |callsite| plans.decide(callsite))
}

/// Registers a callsite of our own macros.
pub(crate) fn register_own(description: callsite::Description) -> &'static Callsite {
    if is_forked() {
        return callsite::unlisted(description);
    }
    let plans = plans();
    callsite::register(description, |callsite| plans.decide(callsite))
}

/// Registers a place that logs through `log`, unless it is known by this number.
pub(crate) fn register_place(description: callsite::Description, key: usize) -> &'static Callsite {
    let plans = plans();
    callsite::find_or_register_at(key, description, |callsite| plans.decide(callsite))
}

/// The fork's child: nobody reads its buffers, so nothing is wanted any more.
///
/// Runs between fork and the child's first line, where only one thread is left: any lock may be
/// held for good by one that is not there, so none is taken.
pub(crate) fn turn_off() {
    sync::note_fork();
    Intake::turn_off_global();
    for callsite in callsite::all() {
        callsite.decide(Verdict::NOBODY);
    }
}

/// Is a span wanted that no callsite was registered for?
#[cold]
pub(crate) fn wants_unregistered_span(metadata: &Metadata<'_>) -> bool {
    let (target, level) = (metadata.target(), Level::from(*metadata.level()));
    let plan = thread_plan().or_else(|| plans().attached.clone());
    plan.is_some_and(|plan| plan.static_sinks(target, level, true) != 0)
}

/// The plan of the scope that the thread is in.
fn thread_plan() -> Option<Arc<Plan>> {
    let scope = local::with(|local| local.takers.scope()).flatten();
    scope.map(|scope| scope.plan())
}

/// What sinks of the attached pipeline (or the thread's scope) want an event without a callsite;
/// `around` says what the spans around it carry, by the rules of a pipeline.
pub(crate) fn decide_event(
    target: &str,
    level: Level,
    around: impl FnOnce(u8, &Rules) -> u64,
) -> Decision {
    if is_forked() {
        return Decision::NOBODY;
    }
    let Some(plan) = thread_plan().or_else(|| plans().attached.clone()) else {
        return Decision::NOBODY;
    };
    let around = plan.rules.as_ref().map_or(0, |rules| around(plan.epoch, rules));
    plan.decide_event(target, level, around)
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
    interest::note_change(plans);
}

/// Makes a scoped pipeline known, so that the callsites it wants are not silenced.
pub(crate) fn add_scope(scope: &Arc<Scope>) {
    {
        let mut plans = plans();
        plans.scopes.retain(|scope| scope.strong_count() > 0);
        plans.scopes.push(Arc::downgrade(scope));
        show_scopes(&plans);
    }
    interest::apply(Pace::AtOnce);
}

/// Forgets a scoped pipeline.
pub(crate) fn remove_scope(scope: &Arc<Scope>) {
    {
        let mut plans = plans();
        plans.scopes.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(scope)));
        show_scopes(&plans);
    }
    interest::apply(Pace::AtOnce);
}

/// Replaces a scoped pipeline's plan. After [`apply`] it holds everywhere.
pub(crate) fn exchange_in(scope: &Scope, plan: &Arc<Plan>) {
    scope.set_plan(Arc::clone(plan));
    interest::note_change(&plans());
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
    if is_forked() {
        return;
    }
    CAPTURES.get_or_init(|| {
        HAS_CAPTURES.store(true, Ordering::Release);
        let subscribers = [Dispatch::new(Router), Dispatch::new(Router)];
        // A thread that was in the middle of the registration of a callsite may have asked another
        // subscriber, or none, and stores the answer that it got, `never`, about now. Tests must
        // not fail one time in a million, so it is given time to do that.
        for _ in 0..SETTLING_ROUNDS {
            show_scopes(&plans());
            apply(Pace::AtOnce);
            std::thread::sleep(Duration::from_millis(1));
        }
        show_scopes(&plans());
        apply(Pace::AtOnce);
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
