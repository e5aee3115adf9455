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

use crate::callsite::{self, Callsite, Decision};
use crate::error::{Error, discard_panic};
use crate::export::Signals;
use crate::intake::Intake;
use crate::level::Level;
use crate::local::{self, ScopedBuffer, mode};
use crate::plan::{Plan, Scope};
use crate::record::flag;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, LevelFilter, Metadata, callsite as tracing_callsite};

/// The process's `tracing` subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Router;

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
    // 0 is what callsites say that were never decided.
    loop {
        let epoch = EPOCH.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if epoch != 0 {
            return epoch;
        }
    }
}

/// Makes the router the process's global `tracing` subscriber, if it is not yet.
///
/// # Errors
///
/// Another library's subscriber is the global one.
pub(crate) fn install() -> Result<(), Error> {
    // A lock of its own: `tracing` asks the router for its level while it is installed.
    static INSTALL: Mutex<()> = Mutex::new(());
    let _install = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    tracing_core::dispatcher::set_global_default(Dispatch::new(Router)).map_err(|_| {
        Error::foreign(
            "the global `tracing` subscriber",
            "do not call `tracing_subscriber::…::init` or `set_global_default` beside it",
        )
    })?;
    INSTALLED.store(true, Ordering::Release);
    Ok(())
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
        decide_all(&plans);
    }
    set_sampler(None);
    rebuild_interest();
}

fn decide_all(plans: &Plans) {
    for callsite in callsite::all() {
        callsite.decide(decide(plans, callsite));
    }
}

fn decide(plans: &Plans, callsite: &Callsite) -> Decision {
    match &plans.attached {
        Some(plan) => plan.decide(callsite),
        None => Decision { epoch: 0, sinks: 0, urgent: false },
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
        callsite.decide(Decision { epoch: 0, sinks: 0, urgent: false });
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
    if callsite.decision().sinks != 0 {
        return Interest::always();
    }
    let scopes = live_scopes();
    let wanted = scopes.iter().any(|scope| scope.plan.decide(callsite).sinks != 0);
    if wanted { Interest::sometimes() } else { Interest::never() }
}

fn live_scopes() -> Vec<Arc<Scope>> {
    plans().scopes.iter().filter_map(Weak::upgrade).collect()
}

/// Is a callsite wanted by the pipeline that takes this thread's records?
pub(crate) fn enabled(metadata: &Metadata<'_>) -> bool {
    if is_forked() {
        return false;
    }
    let (target, level) = (metadata.target(), Level::from(*metadata.level()));
    let plan = local::with(|local| {
        local.scope.try_borrow().ok()?.as_ref().map(|scoped| Arc::clone(&scoped.scope.plan))
    });
    let plan = plan.flatten().or_else(|| plans().attached.clone());
    plan.is_some_and(|plan| {
        plan.sinks
            .iter()
            .any(|(signals, filter)| signals != &Signals::METRICS && filter.enabled(target, level))
    })
}

/// What sinks of the attached pipeline (or the thread's scope) want an event without a callsite.
pub(crate) fn decide_event(target: &str, level: Level) -> Decision {
    if is_forked() {
        return Decision { epoch: 0, sinks: 0, urgent: false };
    }
    let scoped = local::with(|local| {
        let scope = local.scope.try_borrow().ok()?;
        scope.as_ref().map(|scoped| scoped.scope.plan.decide_event(target, level))
    });
    scoped.flatten().unwrap_or_else(|| match &plans().attached {
        Some(plan) => plan.decide_event(target, level),
        None => Decision { epoch: 0, sinks: 0, urgent: false },
    })
}

/// The least severe level that any pipeline wants.
pub(crate) fn max_level() -> LevelFilter {
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

/// Decides, at the root of a trace, whether its spans are exported.
///
/// The decision travels: spans inside inherit it, and so does every record, as the W3C `sampled`
/// flag. Log events are not sampled (OpenTelemetry, logs SDK).
pub trait Sampler: Send + Sync + 'static {
    /// Should the spans of this trace be exported?
    ///
    /// Spans that are opened in here are: nobody is asked about them.
    fn sample(&self, trace_id: crate::propagation::TraceId, root: &Callsite) -> bool;
}

static HAS_SAMPLER: AtomicBool = AtomicBool::new(false);
static SAMPLER: RwLock<Option<Arc<dyn Sampler>>> = RwLock::new(None);

pub(crate) fn set_sampler(sampler: Option<Arc<dyn Sampler>>) {
    HAS_SAMPLER.store(sampler.is_some(), Ordering::Release);
    *SAMPLER.write().unwrap_or_else(PoisonError::into_inner) = sampler;
}

/// The flags of a new trace.
#[inline(always)]
pub(crate) fn sample(trace_high: u64, trace_low: u64, root: &Callsite) -> u8 {
    if HAS_SAMPLER.load(Ordering::Relaxed) {
        return ask_sampler(u128::from(trace_high) << 64 | u128::from(trace_low), root);
    }
    flag::SAMPLED | flag::RANDOM
}

#[cold]
fn ask_sampler(trace_id: u128, root: &Callsite) -> u8 {
    let sampler = SAMPLER.read().unwrap_or_else(PoisonError::into_inner).clone();
    let (Some(sampler), Some(trace_id)) = (sampler, crate::propagation::TraceId::new(trace_id))
    else {
        return flag::SAMPLED | flag::RANDOM;
    };
    // A sampler may open spans, an instrumented function's for example: it is not asked about them.
    if ASKING.replace(true) {
        return flag::SAMPLED | flag::RANDOM;
    }
    // A user's sampler must not panic into the call site; without its word the trace is kept.
    let ask = std::panic::AssertUnwindSafe(|| sampler.sample(trace_id, root));
    let is_kept = std::panic::catch_unwind(ask).unwrap_or_else(|payload| {
        discard_panic(payload);
        true
    });
    ASKING.set(false);
    flag::RANDOM | if is_kept { flag::SAMPLED } else { 0 }
}

thread_local! {
    /// Is the sampler being asked by this thread?
    static ASKING: Cell<bool> = const { Cell::new(false) };
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

/// Makes a scoped pipeline known, so that the callsites it wants are not silenced.
pub(crate) fn add_scope(scope: &Arc<Scope>) {
    {
        let mut plans = plans();
        plans.scopes.retain(|scope| scope.strong_count() > 0);
        plans.scopes.push(Arc::downgrade(scope));
        SCOPES.store(plans.scopes.len(), Ordering::Relaxed);
    }
    rebuild_interest();
}

/// Forgets a scoped pipeline.
pub(crate) fn remove_scope(scope: &Arc<Scope>) {
    {
        let mut plans = plans();
        plans.scopes.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(scope)));
        SCOPES.store(plans.scopes.len(), Ordering::Relaxed);
    }
    rebuild_interest();
}

/// Runs `f` with the thread's records going to `scope`.
pub(crate) fn inside<R>(scope: &Arc<Scope>, f: impl FnOnce() -> R) -> R {
    struct Leave(Option<ScopedBuffer>);
    impl Drop for Leave {
        fn drop(&mut self) {
            let before = self.0.take();
            local::with(|local| set_scope(local, before));
        }
    }
    let buffer = scope.intake.producer().map(|producer| ScopedBuffer {
        scope: Arc::clone(scope),
        producer: std::rc::Rc::new(producer),
    });
    let before = local::with(|local| set_scope(local, buffer)).flatten();
    let _leave = Leave(before);
    f()
}

fn set_scope(local: &local::Local, scope: Option<ScopedBuffer>) -> Option<ScopedBuffer> {
    let scoped = if scope.is_some() { mode::SCOPED } else { 0 };
    local.mode.set(local.mode.get() & !mode::SCOPED | scoped);
    local.scope.try_borrow_mut().ok().and_then(|mut place| std::mem::replace(&mut place, scope))
}
