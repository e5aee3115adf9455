//! What a thread owns: its buffer, its ids, the spans it is in.
//!
//! # Invariants
//!
//! - A thread's [`Local`] is made at its first record and freed when the thread ends; a call made
//!   after that (from the destructor of another thread-local) uses one that all such calls share
//!   behind a lock.
//! - References to it do not leave a call: `with` hands it to a closure.
//! - The allocator may log: while a `Local` is being made, calls of the same thread take the
//!   shared one.
//! - In a fork's child no `Local` is made and the shared one is not used: the locks on the way may be
//!   held by threads that are not there. The thread that forked keeps its own.

use crate::chunk::Producer;
use crate::intake::Intake;
use crate::own::{self, is_own_thread};
use crate::plan::Plan;
use crate::propagation::Frames;
use crate::propagation::ids::Generator;
use crate::recorder::slots::FreeSlots;
use crate::rules::Rules;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::is_forked;
use crate::takers::Takers;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of [`Local::mode`]: anything but 0 leaves the fast path.
pub(crate) mod mode {
    /// A record is being written: a nested one comes from a value's `Debug`.
    pub(crate) const BUSY: u32 = 1;
    /// A nested record is being written.
    pub(crate) const NESTED: u32 = 2;
    /// The side buffer holds nested records.
    pub(crate) const SIDE: u32 = 4;
    /// The thread is the pipeline's own.
    pub(crate) const OWN: u32 = 8;
    /// A scoped pipeline or a capture takes the thread's records.
    pub(crate) const SCOPED: u32 = 16;
    /// The next record is decided about once its fields are written.
    pub(crate) const LATE: u32 = 64;
    /// Records get fields of the scope that the thread is in.
    pub(crate) const FIELDS: u32 = 32;
    /// Fields of the next record are redacted.
    pub(crate) const REDACTS: u32 = 128;
}

/// The span a thread is in, with everything an event needs of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Current {
    /// The handle `tracing` knows it by; 0 = none.
    pub(crate) handle: u64,
    pub(crate) span_id: u64,
    pub(crate) trace_high: u64,
    pub(crate) trace_low: u64,
    /// The record flags of what happens inside; a whole word, so that copies are of words. Above
    /// them, of a caller's span, is the number of its entering.
    pub(crate) flags: u64,
}

/// What a span and those around it carry, of the attached plan's rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around {
    pub(crate) handle: u64,
    /// Holds as long as this is `router::carried_version`.
    pub(crate) version: u64,
    pub(crate) directives: u64,
}

/// The attached plan with a copy of its rules, which a thread has for itself: patterns have memory
/// to work in, and its lock.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) plan: Arc<Plan>,
    pub(crate) rules: Option<Rules>,
}

/// A thread's own state.
pub(crate) struct Local {
    pub(crate) intake: Arc<Intake>,
    producer: Producer,
    pub(crate) mode: Cell<u32>,
    pub(crate) current: Cell<Current>,
    /// The span that this thread opened last: the one it most likely enters next. Good as long as
    /// `newest_handle` is its handle.
    pub(crate) newest: Cell<Current>,
    pub(crate) stack: Stack,
    /// Enters beyond [`STACK_MAX`], which keep the current span.
    pub(crate) overflow: Cell<usize>,
    pub(crate) ids: Generator,
    pub(crate) free_slots: FreeSlots,
    pub(crate) side: RefCell<Vec<u8>>,
    pub(crate) takers: Takers,
    /// The last event's callsite: how the `log` bridge knows `tracing`'s own log record of it.
    pub(crate) last_callsite: Cell<u32>,
    /// The attached plan, as this thread knows it.
    pub(crate) known: RefCell<Option<Known>>,
    /// What was found last of the spans around this thread.
    pub(crate) around: Cell<Around>,
    /// Fields are being held against rules: a nested record comes from a value's `Debug`.
    pub(crate) holding: Cell<bool>,
    /// What the thread carries beside its spans.
    pub(crate) frames: Frames,
}

/// The spans around the current one, outermost first.
///
/// # Invariants
///
/// - The vector is reached only inside the methods here, none of which calls anything that could
///   reach it again: no two references to it exist at once.
pub(crate) struct Stack(UnsafeCell<Vec<Current>>);

impl Stack {
    fn new() -> Self {
        Self(UnsafeCell::new(Vec::new()))
    }

    /// Pushes an entry; `false` when [`STACK_MAX`] are there.
    #[inline(always)]
    pub(crate) fn push(&self, entry: Current) -> bool {
        // SAFETY: the type's invariant; there is room, so `push` does not allocate.
        let stack = unsafe { &mut *self.0.get() };
        if stack.len() < stack.capacity() {
            stack.push(entry);
            return true;
        }
        self.push_growing(entry)
    }

    #[cold]
    #[inline(never)]
    fn push_growing(&self, entry: Current) -> bool {
        // The allocator may log and enter spans: it then finds an empty stack, not a borrowed one.
        // SAFETY: the type's invariant; `take` allocates nothing.
        let mut stack = std::mem::take(unsafe { &mut *self.0.get() });
        let has_room = stack.len() < STACK_MAX;
        if has_room {
            stack.reserve(stack.len().max(32));
            stack.push(entry);
        }
        // SAFETY: the type's invariant; what nested calls left behind is dropped after the borrow.
        let nested = std::mem::replace(unsafe { &mut *self.0.get() }, stack);
        drop(nested);
        has_room
    }

    /// Takes the innermost entry.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Current> {
        // SAFETY: the type's invariant.
        unsafe { &mut *self.0.get() }.pop()
    }

    /// Takes the innermost entry of a span out, wherever it stands.
    #[cold]
    pub(crate) fn remove(&self, handle: u64) {
        self.remove_last(|entry| entry.handle == handle);
    }

    /// Takes the innermost entry of a caller's span out, wherever it stands.
    #[cold]
    pub(crate) fn remove_parent(&self, parent: Current) {
        self.remove_last(|entry| *entry == parent);
    }

    /// Changes every entry of a span.
    #[cold]
    pub(crate) fn change(&self, handle: u64, change: impl Fn(&mut Current)) {
        // SAFETY: the type's invariant; `change` writes into the entry and calls nothing.
        let stack = unsafe { &mut *self.0.get() };
        stack.iter_mut().filter(|entry| entry.handle == handle).for_each(change);
    }

    fn remove_last(&self, is_it: impl Fn(&Current) -> bool) {
        // SAFETY: the type's invariant.
        let stack = unsafe { &mut *self.0.get() };
        if let Some(at) = stack.iter().rposition(is_it) {
            stack.remove(at);
        }
    }

    fn clear(&self) {
        // SAFETY: the type's invariant.
        unsafe { &mut *self.0.get() }.clear();
    }
}

/// How many spans a thread may be in at once; further ones keep the current span.
pub(crate) const STACK_MAX: usize = 1 << 16;

impl Local {
    fn new() -> Option<Self> {
        let intake = Arc::clone(Intake::global());
        let producer = intake.producer()?;
        Some(Self {
            intake,
            producer,
            mode: Cell::new(if is_own_thread() { mode::OWN } else { 0 }),
            current: Cell::new(Current::default()),
            newest: Cell::new(Current::default()),
            stack: Stack::new(),
            overflow: Cell::new(0),
            ids: Generator::new(),
            free_slots: FreeSlots::new(),
            side: RefCell::new(Vec::new()),
            takers: Takers::new(),
            last_callsite: Cell::new(0),
            known: RefCell::new(None),
            around: Cell::new(Around { handle: 0, version: u64::MAX, directives: 0 }),
            holding: Cell::new(false),
            frames: Frames::new(),
        })
    }

    #[inline(always)]
    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// The handle of the span that `newest` tells of, while that holds; 0 = look the span up.
    ///
    /// It stands where other threads reach it: one of them may give the span another parent.
    #[inline(always)]
    pub(crate) fn newest_handle(&self) -> &AtomicU64 {
        &self.producer.shared().newest_span
    }

    /// Puts the span that the thread is in where others can see it.
    #[inline(always)]
    pub(crate) fn set_current(&self, current: Current) {
        self.current.set(current);
        // Relaxed: whoever looks from outside gets a recent value, which is all it is for.
        self.producer.shared().current_span.store(current.span_id, Ordering::Relaxed);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.intake.forget_if_read(self.producer.shared());
    }
}

const UNSET: *const Local = std::ptr::null();
/// Marks a thread whose `Local` is being made, and one whose `Local` is gone.
const AWAY: *const Local = std::ptr::without_provenance(64);

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        let local = LOCAL.replace(AWAY);
        if local != UNSET && local != AWAY {
            // SAFETY: it came from `Box::into_raw` in `make`, and no reference to it is left: they
            // do not leave the calls of this thread, and this runs outside of them.
            drop(unsafe { Box::from_raw(local.cast_mut()) });
        }
    }
}

thread_local! {
    // Two keys: a constant cell without a destructor costs the fast path no check.
    static LOCAL: Cell<*const Local> = const { Cell::new(UNSET) };
    static GUARD: Guard = const { Guard };
    static IN_SHARED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `fast` with the thread's state, or `slow` where it is not at hand.
///
/// Two functions, so that the fast one stands in its caller alone, without a second copy for the
/// cold path; `slow` goes on to [`with_slow`].
#[inline(always)]
pub(crate) fn with_or<R>(fast: impl FnOnce(&Local) -> R, slow: impl FnOnce() -> R) -> R {
    let local = LOCAL.get();
    // One comparison for both special values: they are the two least addresses.
    if local.addr() <= AWAY.addr() {
        return slow();
    }
    // SAFETY: the pointer was made by `make` on this thread, and is freed only by this thread's
    // `Guard`, which does not run while a call is under way.
    fast(unsafe { &*local })
}

/// Calls `f` with the thread's state; `None` when there is none to be had (memory is exhausted,
/// a nested call while the shared one is in use by this very thread, or a fork's child).
pub(crate) fn with<R>(f: impl FnOnce(&Local) -> R) -> Option<R> {
    with_slow(f)
}

/// As [`with`], for a call site of our own macro: its closure can be used once only, so the fast
/// path and the rare ones share one copy of it.
#[inline(always)]
pub(crate) fn with_any<R>(f: impl FnOnce(&Local) -> R) -> Option<R> {
    let local = LOCAL.get();
    if local.addr() <= AWAY.addr() {
        return with_slow(f);
    }
    // SAFETY: as in `with_or`.
    Some(f(unsafe { &*local }))
}

/// As [`with`], for the cold path of [`with_or`]: makes the state first if need be.
#[cold]
#[inline(never)]
pub(crate) fn with_slow<R>(f: impl FnOnce(&Local) -> R) -> Option<R> {
    if LOCAL.get() == UNSET && !is_forked() {
        make();
    }
    let local = LOCAL.get();
    if local.addr() > AWAY.addr() {
        // SAFETY: as in `with_or`.
        return Some(f(unsafe { &*local }));
    }
    let shared = SharedAccess::new()?;
    shared.guard.0.as_ref().map(f)
}

fn make() {
    LOCAL.set(AWAY);
    // Registers the destructor; fails when the thread's locals are being destroyed already.
    if GUARD.try_with(|_| ()).is_err() {
        return;
    }
    match Local::new() {
        Some(local) => LOCAL.set(Box::into_raw(Box::new(local))),
        None => LOCAL.set(UNSET),
    }
}

struct SharedLocal(Option<Local>);

// SAFETY: the `Local` is used only under the lock of `SHARED`, by one thread at a time, and holds
// nothing that belongs to a particular thread.
unsafe impl Send for SharedLocal {}

static SHARED: Mutex<SharedLocal> = Mutex::new(SharedLocal(None));

/// The right of one thread to use the shared `Local`.
struct SharedAccess {
    guard: MutexGuard<'static, SharedLocal>,
}

impl SharedAccess {
    fn new() -> Option<Self> {
        if is_forked() || IN_SHARED.replace(true) {
            return None;
        }
        let mut guard = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.0.is_none() {
            guard.0 = Local::new();
        }
        if let Some(local) = &guard.0 {
            local.mode.set(if is_own_thread() { mode::OWN } else { 0 });
            local.set_current(Current::default());
            local.stack.clear();
            local.frames.clear();
            local.takers.clear();
        }
        Some(Self { guard })
    }
}

impl Drop for SharedAccess {
    fn drop(&mut self) {
        IN_SHARED.set(false);
    }
}

/// Runs `f`, and lets nothing be recorded that the thread emits meanwhile: an allocator that logs,
/// for example, must not feed what reads the records.
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            if !self.0 {
                with(|local| local.mode.set(local.mode.get() & !mode::OWN));
            }
        }
    }
    let was_quiet = with(|local| local.mode.replace(local.mode.get() | mode::OWN) & mode::OWN != 0);
    let _restore = Restore(was_quiet.unwrap_or(true));
    f()
}

/// Marks the calling thread as the pipeline's own: what it emits goes to diagnostics only, and it
/// never waits for room. Exporters call it on every thread they start.
pub fn mark_own_thread() {
    own::mark();
    with(|local| local.mode.set(local.mode.get() | mode::OWN));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_of_a_thread_that_wrote_nothing_goes_with_it() {
        let shared = || with(|local| Arc::clone(local.producer().shared()));
        let thread = std::thread::Builder::new().spawn(shared).expect("a thread starts");
        let ended = thread.join().expect("it does not panic").expect("it had a state");
        let own = shared().expect("this one has a state");
        let buffers = Intake::global().buffers();
        let is_there = |shared| buffers.iter().any(|other| Arc::ptr_eq(other, shared));
        assert!(is_there(&own) && !is_there(&ended));
    }
}
