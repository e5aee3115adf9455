//! Head sampling: whether the spans of a trace are exported, decided once in a process.
//!
//! # Invariants
//!
//! - It is decided where a trace enters the process: at a root, or at the first span inside a
//!   caller's. The spans inside inherit the decision; so does every record, as the `sampled` flag.
//! - Log events are not sampled (OpenTelemetry, logs SDK).
//! - A sampler's panic stays there, and spans that it opens are not its own to decide.
//! - Without a sampler a new trace costs one load.

use crate::callsite::Callsite;
use crate::error::discard_panic;
use crate::propagation::{TraceFlags, TraceId};
use crate::record::flag;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Decides, where a trace begins or enters the process, whether its spans are exported.
///
/// The decision travels: spans inside inherit it, and so does every record, as the W3C `sampled`
/// flag. Log events are not sampled (OpenTelemetry, logs SDK).
///
/// ```
/// use telemetry_core::callsite::Callsite;
/// use telemetry_core::context::TraceId;
///
/// /// Leaves out the traces of health checks; callers are believed.
/// struct NoHealthChecks;
///
/// impl telemetry_core::Sampler for NoHealthChecks {
///     fn sample(&self, _: TraceId, root: &Callsite) -> bool {
///         root.name() != "health_check"
///     }
/// }
/// ```
pub trait Sampler: Send + Sync + 'static {
    /// Should the spans of this trace be exported, which begins with a span of this callsite?
    ///
    /// Spans that are opened in here are: nobody is asked about them.
    fn sample(&self, trace_id: TraceId, root: &Callsite) -> bool;

    /// As [`sample`](Self::sample), of a trace that comes from another process, and whose first
    /// span here is of this callsite.
    ///
    /// By default what the caller decided is honoured, as OpenTelemetry's `ParentBased` does.
    fn sample_remote(&self, trace_id: TraceId, first: &Callsite, caller: TraceFlags) -> bool {
        let _ = (trace_id, first);
        caller.is_sampled()
    }
}

impl<S: Sampler + ?Sized> Sampler for Arc<S> {
    fn sample(&self, trace_id: TraceId, root: &Callsite) -> bool {
        (**self).sample(trace_id, root)
    }

    fn sample_remote(&self, trace_id: TraceId, first: &Callsite, caller: TraceFlags) -> bool {
        (**self).sample_remote(trace_id, first, caller)
    }
}

static HAS_SAMPLER: AtomicBool = AtomicBool::new(false);
static SAMPLER: RwLock<Option<Arc<dyn Sampler>>> = RwLock::new(None);

/// Sets the process's sampler; without one, what begins here is kept and callers are believed.
pub(crate) fn set(sampler: Option<Arc<dyn Sampler>>) {
    HAS_SAMPLER.store(sampler.is_some(), Ordering::Release);
    *SAMPLER.write().unwrap_or_else(PoisonError::into_inner) = sampler;
}

/// The flags of a new trace.
#[inline(always)]
pub(crate) fn of_root(trace_high: u64, trace_low: u64, root: &Callsite) -> u8 {
    let is_kept = !HAS_SAMPLER.load(Ordering::Relaxed)
        || ask(trace_high, trace_low, true, |sampler, trace_id| sampler.sample(trace_id, root));
    flag::RANDOM | if is_kept { flag::SAMPLED } else { 0 }
}

/// The flags of the first span inside a caller's, which has `flags`.
pub(crate) fn of_remote(trace_high: u64, trace_low: u64, flags: u8, first: &Callsite) -> u8 {
    if !HAS_SAMPLER.load(Ordering::Relaxed) {
        return flags;
    }
    let caller = flag::to_trace_flags(flags);
    let is_kept = ask(trace_high, trace_low, caller.is_sampled(), |sampler, trace_id| {
        sampler.sample_remote(trace_id, first, caller)
    });
    flags & !flag::SAMPLED | if is_kept { flag::SAMPLED } else { 0 }
}

/// The sampler's word; `otherwise` when it has none.
#[cold]
#[inline(never)]
fn ask(
    trace_high: u64,
    trace_low: u64,
    otherwise: bool,
    question: impl FnOnce(&dyn Sampler, TraceId) -> bool,
) -> bool {
    let sampler = SAMPLER.read().unwrap_or_else(PoisonError::into_inner).clone();
    let trace_id = TraceId::new(u128::from(trace_high) << 64 | u128::from(trace_low));
    let (Some(sampler), Some(trace_id)) = (sampler, trace_id) else { return otherwise };
    // A sampler may open spans, an instrumented function's for example: it is not asked about them.
    if ASKING.replace(true) {
        return otherwise;
    }
    // A user's sampler must not panic into the call site; without its word nothing is changed.
    let ask = std::panic::AssertUnwindSafe(|| question(&*sampler, trace_id));
    let is_kept = std::panic::catch_unwind(ask).unwrap_or_else(|payload| {
        discard_panic(payload);
        otherwise
    });
    ASKING.set(false);
    is_kept
}

thread_local! {
    /// Is the sampler being asked by this thread?
    static ASKING: Cell<bool> = const { Cell::new(false) };
}
