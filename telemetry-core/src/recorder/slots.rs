//! One slot per live span: what call sites need of it, in memory that never changes its type.
//!
//! # Invariants
//!
//! - A handle is `generation << 24 | index`, never 0. Generations come from the process's counter
//!   of span numbers, so a slot's next span has another one: a stale or forged handle does not
//!   match and is ignored, never followed.
//! - Slots are 64 bytes of atomics in segments that are never unmapped. A segment without live
//!   spans gives its pages back and reads as zeros: generation 0 matches no handle.
//! - A slot is freed by whoever takes its last reference, after it read the slot.
//! - At most 2^24 spans are live; a span beyond that is not recorded, and counted.

use crate::local::Current;
use crate::rules::{Carried, NUMBER_MAX, Rules};
use crate::tape;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const INDEX_BITS: u32 = 24;
const REFS_BITS: u32 = 24;
const REFS_MASK: u64 = (1 << (REFS_BITS - 1)) - 1;
/// Bit of `Slot::state`: the end of the span is unusual; see [`Shown`].
const UNUSUAL: u64 = 1 << (REFS_BITS - 1);
pub(crate) const GENERATION_MASK: u64 = (1 << 40) - 1;
const SEGMENT_SLOTS: u32 = 4096;
const SEGMENTS: usize = (1 << INDEX_BITS) / SEGMENT_SLOTS as usize;
/// Bit of `Slot::extra`: the close record found no room, the worker has to look for it.
const LOST_CLOSE: u64 = 1 << 32;

/// The handle of a span that nobody wants, and of one beyond the limit.
pub(crate) const DISABLED: u64 = u64::MAX;

#[derive(Debug)]
#[repr(C, align(64))]
struct Slot {
    /// Generation << 24 | `UNUSUAL` | references. 0 references: free, or being freed.
    state: AtomicU64,
    span_id: AtomicU64,
    trace_high: AtomicU64,
    trace_low: AtomicU64,
    /// Epoch << 56 | callsite id << 32 | sink mask.
    callsite_sinks: AtomicU64,
    /// The handle of the parent, whose reference this span holds; 0 = none.
    parent: AtomicU64,
    /// Flags | plan << 8 | `LOST_CLOSE` | tests that are met << 33.
    extra: AtomicU64,
    /// The directives that the span carries; of no meaning unless `extra` names the plan.
    carried: AtomicU64,
}

/// What a slot says of its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanFacts {
    pub(crate) span_id: u64,
    pub(crate) trace_high: u64,
    pub(crate) trace_low: u64,
    pub(crate) callsite: u32,
    pub(crate) sinks: u32,
    pub(crate) parent: u64,
    pub(crate) flags: u8,
    pub(crate) epoch: u8,
    /// The number of the plan that its `carried` belongs to; 0 = none.
    pub(crate) plan: u32,
}

/// Does anybody want the span itself?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Yes,
    /// It is there for its fields and its place only: its ids are those of the span around it.
    No,
    /// A capture does, wherever the span ends.
    Captured,
}

const CALLSITE_SHIFT: u32 = 32;
/// A callsite's id needs 21 of these bits.
const CALLSITE_MASK: u64 = (1 << 24) - 1;
const EPOCH_SHIFT: u32 = 56;
const PLAN_SHIFT: u32 = 8;
const PLAN_MASK: u64 = NUMBER_MAX as u64;
const TESTS_SHIFT: u32 = 33;
/// How many spans outwards are asked what they carry.
const AROUND_MAX: usize = 1024;

static TABLE: [AtomicPtr<Slot>; SEGMENTS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; SEGMENTS];

#[inline(always)]
fn slot(index: u32) -> Option<&'static Slot> {
    let segment = TABLE.get((index / SEGMENT_SLOTS) as usize)?.load(Ordering::Acquire);
    if segment.is_null() {
        return None;
    }
    // SAFETY: a segment holds `SEGMENT_SLOTS` slots and is never unmapped.
    Some(unsafe { &*segment.add((index % SEGMENT_SLOTS) as usize) })
}

#[inline(always)]
fn split(handle: u64) -> (u64, u32) {
    (handle >> INDEX_BITS, (handle & ((1 << INDEX_BITS) - 1)) as u32)
}

/// Takes a slot for a new span with one reference, and returns its handle.
#[inline(always)]
pub(crate) fn open(
    free: &FreeSlots,
    generation: u64,
    facts: &SpanFacts,
    carried: Carried,
    shown: Shown,
) -> u64 {
    let Some(index) = free.take() else { return DISABLED };
    let Some(slot) = slot(index) else { return DISABLED };
    // Relaxed: published by the Release below.
    slot.span_id.store(facts.span_id, Ordering::Relaxed);
    slot.trace_high.store(facts.trace_high, Ordering::Relaxed);
    slot.trace_low.store(facts.trace_low, Ordering::Relaxed);
    let callsite_sinks = u64::from(facts.epoch) << EPOCH_SHIFT
        | u64::from(facts.callsite) << CALLSITE_SHIFT
        | u64::from(facts.sinks);
    slot.callsite_sinks.store(callsite_sinks, Ordering::Relaxed);
    slot.parent.store(facts.parent, Ordering::Relaxed);
    let extra = u64::from(facts.flags)
        | u64::from(facts.plan) << PLAN_SHIFT
        | u64::from(carried.tests) << TESTS_SHIFT;
    slot.extra.store(extra, Ordering::Relaxed);
    if facts.plan != 0 {
        slot.carried.store(carried.directives, Ordering::Relaxed);
    }
    let unusual = if shown == Shown::Yes { 0 } else { UNUSUAL };
    // Release: whoever sees this generation sees the facts.
    slot.state.store(generation << REFS_BITS | unusual | 1, Ordering::Release);
    generation << INDEX_BITS | u64::from(index)
}

impl Slot {
    #[inline(always)]
    fn facts(&self) -> SpanFacts {
        let callsite_sinks = self.callsite_sinks.load(Ordering::Relaxed);
        let extra = self.extra.load(Ordering::Relaxed);
        SpanFacts {
            span_id: self.span_id.load(Ordering::Relaxed),
            trace_high: self.trace_high.load(Ordering::Relaxed),
            trace_low: self.trace_low.load(Ordering::Relaxed),
            callsite: callsite_of(callsite_sinks),
            sinks: callsite_sinks as u32,
            parent: self.parent.load(Ordering::Relaxed),
            flags: extra as u8,
            epoch: epoch_of(callsite_sinks),
            plan: plan_of(extra),
        }
    }
}

/// The slot of a handle; `None` for a stale or forged one.
fn live(handle: u64) -> Option<&'static Slot> {
    let (generation, index) = split(handle);
    let slot = slot(index)?;
    // Acquire: as in `read`.
    let state = slot.state.load(Ordering::Acquire);
    (state >> REFS_BITS == generation && state & REFS_MASK != 0).then_some(slot)
}

/// The directives of these rules, of a pipeline's, that a span and the spans around it carry.
pub(crate) fn carried_around(handle: u64, epoch: u8, rules: &Rules) -> u64 {
    let (mut next, mut carried) = (handle, 0);
    for _ in 0..AROUND_MAX {
        // A span that is entered is open, and holds those around it open: a slot does not change
        // hands meanwhile. For a stale handle, what was read of another span is dropped.
        let Some(slot) = (next != 0).then(|| live(next)).flatten() else { break };
        // Acquire: pairs with the Release in `set_carried`, which writes the plan last.
        let extra = slot.extra.load(Ordering::Acquire);
        let of_slot = slot.carried.load(Ordering::Relaxed);
        let parent = slot.parent.load(Ordering::Relaxed);
        let callsite_sinks = slot.callsite_sinks.load(Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::Acquire);
        if slot.state.load(Ordering::Relaxed) >> REFS_BITS != next >> INDEX_BITS {
            break;
        }
        carried |= translated(of_slot, extra, callsite_sinks, epoch, rules);
        next = parent;
    }
    carried
}

/// What a slot's directives are by these rules.
fn translated(directives: u64, extra: u64, callsite_sinks: u64, epoch: u8, rules: &Rules) -> u64 {
    let is_ours = epoch_of(callsite_sinks) == epoch;
    if is_ours && plan_of(extra) == rules.number() {
        return directives;
    }
    // Captures share an epoch, and know nothing of each other.
    let is_known = is_ours && epoch != tape::EPOCH;
    let plan = if is_known { plan_of(extra) } else { 0 };
    rules.inherited(plan, directives, callsite_of(callsite_sinks))
}

fn plan_of(extra: u64) -> u32 {
    (extra >> PLAN_SHIFT & PLAN_MASK) as u32
}

fn callsite_of(callsite_sinks: u64) -> u32 {
    (callsite_sinks >> CALLSITE_SHIFT & CALLSITE_MASK) as u32
}

fn epoch_of(callsite_sinks: u64) -> u8 {
    (callsite_sinks >> EPOCH_SHIFT) as u8
}

/// What a span carries, by these rules. The caller holds it open.
pub(crate) fn carried(handle: u64, epoch: u8, rules: &Rules) -> Option<Carried> {
    let slot = live(handle)?;
    let extra = slot.extra.load(Ordering::Acquire);
    let callsite_sinks = slot.callsite_sinks.load(Ordering::Relaxed);
    let directives = slot.carried.load(Ordering::Relaxed);
    // What is remembered of tests has its place in the rules of its plan only.
    let is_of_plan = epoch_of(callsite_sinks) == epoch && plan_of(extra) == rules.number();
    let tests = if is_of_plan { (extra >> TESTS_SHIFT) as u32 } else { 0 };
    Some(Carried { directives: translated(directives, extra, callsite_sinks, epoch, rules), tests })
}

/// Replaces what a span carries, by the rules of this plan: fields were recorded.
///
/// Two threads that record fields of one span at once may each miss what the other's changed; the
/// caller holds the span open, so the slot is its own.
pub(crate) fn set_carried(handle: u64, before: Carried, now: Carried, plan: u32) {
    let Some(slot) = live(handle) else { return };
    // Relaxed: whoever is in the span on another thread learns of it soon enough.
    let extra = slot.extra.load(Ordering::Relaxed);
    if plan_of(extra) == plan {
        let changed = u64::from(before.tests ^ now.tests) << TESTS_SHIFT;
        slot.extra.fetch_xor(changed, Ordering::Relaxed);
        slot.carried.fetch_or(now.directives & !before.directives, Ordering::Relaxed);
        slot.carried.fetch_and(!(before.directives & !now.directives), Ordering::Relaxed);
        return;
    }
    // The directives first: who finds them with the plan before takes those that are new for ones
    // without a meaning.
    slot.carried.store(now.directives, Ordering::Relaxed);
    let kept = u64::from(u8::MAX) | LOST_CLOSE;
    let new = u64::from(plan) << PLAN_SHIFT | u64::from(now.tests) << TESTS_SHIFT;
    let replace = |extra| Some(extra & kept | new);
    // Release: whoever finds the plan finds its directives.
    let _ = slot.extra.fetch_update(Ordering::Release, Ordering::Relaxed, replace);
}

/// Gives a span another parent and another trace; returns what it was before.
///
/// One call at a time; the caller holds the span open, so the slot is its own. Whoever enters the
/// span on another thread meanwhile may find a trace id half old and half new.
#[cold]
pub(crate) fn set_parent(handle: u64, parent: &Current, flags: u8) -> Option<SpanFacts> {
    let slot = live(handle)?;
    let before = slot.facts();
    slot.parent.store(0, Ordering::Relaxed);
    slot.trace_high.store(parent.trace_high, Ordering::Relaxed);
    slot.trace_low.store(parent.trace_low, Ordering::Relaxed);
    if before.sinks == 0 {
        // What is inside is in the span around it.
        slot.span_id.store(parent.span_id, Ordering::Relaxed);
    }
    // Bit by bit: `set_carried` changes others of the word meanwhile.
    slot.extra.fetch_xor(u64::from(before.flags ^ flags), Ordering::Relaxed);
    Some(before)
}

/// What the span behind a handle is; `None` for a stale or forged one.
#[inline(always)]
pub(crate) fn read(handle: u64) -> Option<SpanFacts> {
    let (generation, index) = split(handle);
    let slot = slot(index)?;
    // Acquire: the facts of this generation or of a later one are visible.
    let state = slot.state.load(Ordering::Acquire);
    if state >> REFS_BITS != generation || state & REFS_MASK == 0 {
        return None;
    }
    let facts = slot.facts();
    // The slot may have changed hands meanwhile if the caller holds no reference. The fence keeps
    // the second look behind the reads (Boehm, "Can seqlocks get along with programming language
    // memory models?", 2012).
    std::sync::atomic::fence(Ordering::Acquire);
    (slot.state.load(Ordering::Relaxed) >> REFS_BITS == generation).then_some(facts)
}

/// The span behind a handle as a current span; `None` for a stale or forged one.
#[inline(always)]
pub(crate) fn read_current(handle: u64) -> Option<Current> {
    let (generation, index) = split(handle);
    let slot = slot(index)?;
    // Acquire, fence and second look: as in `read`.
    let state = slot.state.load(Ordering::Acquire);
    if state >> REFS_BITS != generation || state & REFS_MASK == 0 {
        return None;
    }
    let current = Current {
        handle,
        span_id: slot.span_id.load(Ordering::Relaxed),
        trace_high: slot.trace_high.load(Ordering::Relaxed),
        trace_low: slot.trace_low.load(Ordering::Relaxed),
        flags: slot.extra.load(Ordering::Relaxed) & u64::from(super::INHERITED_FLAGS),
    };
    std::sync::atomic::fence(Ordering::Acquire);
    (slot.state.load(Ordering::Relaxed) >> REFS_BITS == generation).then_some(current)
}

/// Takes one more reference; `false` for a stale or forged handle.
#[inline(always)]
pub(crate) fn retain(handle: u64) -> bool {
    let (generation, index) = split(handle);
    let Some(slot) = slot(index) else { return false };
    let mut state = slot.state.load(Ordering::Relaxed);
    loop {
        let refs = state & REFS_MASK;
        if state >> REFS_BITS != generation || refs == 0 {
            return false;
        }
        if refs == REFS_MASK {
            return true; // as many references as fit: the span stays open for good
        }
        // Relaxed: the caller holds a reference already, as with `Arc`.
        match slot.state.compare_exchange_weak(
            state,
            state + 1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return true,
            Err(seen) => state = seen,
        }
    }
}

/// What giving up a reference led to.
#[derive(Debug)]
pub(crate) enum Released {
    /// Others hold the span open.
    Open,
    /// It was the last one: the span is over, and its slot the caller's to free.
    Last(Ended),
    /// As `Last`, of a span that nobody wants, or a capture.
    Unusual(Ended),
    /// The handle is stale or forged.
    Stale,
}

/// The slot of a span that is over, until it is freed.
#[derive(Debug)]
#[must_use = "a slot that is not freed is lost"]
pub(crate) struct Ended {
    slot: &'static Slot,
    index: u32,
}

impl Ended {
    #[inline(always)]
    pub(crate) fn facts(&self) -> SpanFacts {
        self.slot.facts()
    }

    /// Gives the slot back.
    #[inline(always)]
    pub(crate) fn free(self, free: &FreeSlots) {
        self.slot.state.store(0, Ordering::Release);
        free.put(self.index);
    }

    /// Leaves the slot to the worker, because the span's close record found no room.
    #[cold]
    pub(crate) fn leave_to_worker(self) {
        self.slot.extra.fetch_or(LOST_CLOSE, Ordering::Release);
    }
}

/// Gives up a reference.
#[inline(always)]
pub(crate) fn release(handle: u64) -> Released {
    let (generation, index) = split(handle);
    let Some(slot) = slot(index) else { return Released::Stale };
    // Acquire: what other holders did before they let go is visible to the last one.
    let state = slot.state.load(Ordering::Acquire);
    if state == generation << REFS_BITS | 1 {
        // The caller's reference is the only one, so nobody can take another: no need for a
        // read-modify-write. (Whoever retains a forged handle just now finds it stale later.)
        slot.state.store(generation << REFS_BITS, Ordering::Relaxed);
        return Released::Last(Ended { slot, index });
    }
    release_shared(slot, index, state, generation)
}

#[cold]
#[inline(never)]
fn release_shared(slot: &'static Slot, index: u32, mut state: u64, generation: u64) -> Released {
    loop {
        let refs = state & REFS_MASK;
        if state >> REFS_BITS != generation || refs == 0 {
            return Released::Stale;
        }
        if refs == REFS_MASK {
            return Released::Open;
        }
        // AcqRel: the last one sees everything that the other holders did before they let go.
        let next = if refs == 1 { state & !UNUSUAL } else { state } - 1;
        match slot.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) if refs == 1 && state & UNUSUAL != 0 => {
                return Released::Unusual(Ended { slot, index });
            }
            Ok(_) if refs == 1 => return Released::Last(Ended { slot, index }),
            Ok(_) => return Released::Open,
            Err(seen) => state = seen,
        }
    }
}

/// Calls `found` with every span that was left to the worker of this epoch, and frees its slot.
pub(crate) fn sweep_lost(epoch: u8, mut found: impl FnMut(u64)) {
    let mut swept = Vec::new();
    for (segment, base) in TABLE.iter().zip((0..).step_by(SEGMENT_SLOTS as usize)) {
        if segment.load(Ordering::Acquire).is_null() {
            break;
        }
        for index in base..base + SEGMENT_SLOTS {
            let Some(slot) = slot(index) else { continue };
            let extra = slot.extra.load(Ordering::Acquire);
            let state = slot.state.load(Ordering::Relaxed);
            let is_of_epoch = epoch_of(slot.callsite_sinks.load(Ordering::Relaxed)) == epoch;
            if extra & LOST_CLOSE != 0 && state & REFS_MASK == 0 && is_of_epoch {
                found(slot.span_id.load(Ordering::Relaxed));
                slot.extra.store(0, Ordering::Relaxed);
                slot.state.store(0, Ordering::Relaxed);
                swept.push(index);
            }
        }
    }
    store().put(&swept);
}

/// How many free slots a thread takes from the store at a time, and gives back.
const BATCH: usize = 32;

/// A thread's free slots.
pub(crate) struct FreeSlots {
    indices: [Cell<u32>; 2 * BATCH],
    count: Cell<usize>,
}

impl FreeSlots {
    pub(crate) fn new() -> Self {
        Self { indices: [const { Cell::new(0) }; 2 * BATCH], count: Cell::new(0) }
    }

    #[inline(always)]
    fn take(&self) -> Option<u32> {
        if self.count.get() == 0 {
            self.refill();
        }
        let count = self.count.get().checked_sub(1)?;
        self.count.set(count);
        self.indices.get(count).map(Cell::get)
    }

    #[inline(always)]
    fn put(&self, index: u32) {
        if self.count.get() == 2 * BATCH {
            self.spill(BATCH);
        }
        let count = self.count.get();
        if let Some(place) = self.indices.get(count) {
            place.set(index);
            self.count.set(count + 1);
        }
    }

    #[cold]
    #[inline(never)]
    fn refill(&self) {
        let mut taken = [0; BATCH];
        let count = store().take(&mut taken);
        for (place, index) in self.indices.iter().zip(taken) {
            place.set(index);
        }
        self.count.set(count);
    }

    #[cold]
    #[inline(never)]
    fn spill(&self, count: usize) {
        let from = self.count.get().saturating_sub(count);
        if crate::router::is_forked() {
            // The store's lock may be held by a thread that the fork did not copy.
            self.count.set(from);
            return;
        }
        let given: Vec<u32> = self.indices[from..self.count.get()].iter().map(Cell::get).collect();
        store().put(&given);
        self.count.set(from);
    }
}

impl Drop for FreeSlots {
    fn drop(&mut self) {
        self.spill(self.count.get());
    }
}

/// The free slots of one segment.
#[derive(Debug, Default)]
struct Segment {
    /// Slots from here on were never used since the segment's pages are fresh.
    fresh: u32,
    free: Vec<u16>,
}

impl Segment {
    fn free_slots(&self) -> usize {
        (SEGMENT_SLOTS - self.fresh) as usize + self.free.len()
    }

    fn take(&mut self) -> Option<u32> {
        if let Some(offset) = self.free.pop() {
            return Some(u32::from(offset));
        }
        (self.fresh < SEGMENT_SLOTS).then(|| {
            self.fresh += 1;
            self.fresh - 1
        })
    }
}

/// The free slots of the process.
#[derive(Debug, Default)]
struct Store {
    segments: Vec<Segment>,
    with_free: BTreeSet<usize>,
}

static STORE: Mutex<Store> = Mutex::new(Store { segments: Vec::new(), with_free: BTreeSet::new() });

fn store() -> std::sync::MutexGuard<'static, Store> {
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Fills `indices` as far as possible, lowest segments first, and returns how many there are.
    fn take(&mut self, indices: &mut [u32]) -> usize {
        for (count, place) in indices.iter_mut().enumerate() {
            let Some(number) = self.with_free.first().copied().or_else(|| self.grow()) else {
                return count;
            };
            let segment = &mut self.segments[number];
            let Some(offset) = segment.take() else { return count };
            if segment.free_slots() == 0 {
                self.with_free.remove(&number);
            }
            *place = number as u32 * SEGMENT_SLOTS + offset;
        }
        indices.len()
    }

    fn put(&mut self, indices: &[u32]) {
        for index in indices {
            let number = (index / SEGMENT_SLOTS) as usize;
            let Some(segment) = self.segments.get_mut(number) else { continue };
            segment.free.push((index % SEGMENT_SLOTS) as u16);
            self.with_free.insert(number);
            // One free segment is kept warm: a burst at a boundary would give it back every time.
            if segment.free_slots() == SEGMENT_SLOTS as usize && number > 0 {
                *segment = Segment::default();
                give_back_pages(TABLE[number].load(Ordering::Relaxed));
            }
        }
    }

    #[cold]
    fn grow(&mut self) -> Option<usize> {
        let number = self.segments.len();
        let entry = TABLE.get(number)?;
        // Release: the zeroed slots are visible to whoever finds the segment.
        entry.store(map_segment()?, Ordering::Release);
        self.segments.push(Segment::default());
        self.with_free.insert(number);
        Some(number)
    }
}

const SEGMENT_BYTES: usize = SEGMENT_SLOTS as usize * size_of::<Slot>();

#[cfg(unix)]
fn map_segment() -> Option<*mut Slot> {
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            SEGMENT_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    (memory != libc::MAP_FAILED).then_some(memory.cast())
}

#[cfg(unix)]
fn give_back_pages(segment: *mut Slot) {
    // SAFETY: the segment is one of `map_segment`'s mappings, and no live span is in it. Readers
    // with stale handles see zeros, which match no handle. Elsewhere than on Linux the pages may
    // keep their content, in which the freed slots' states are 0 already.
    unsafe { libc::madvise(segment.cast(), SEGMENT_BYTES, libc::MADV_DONTNEED) };
}

#[cfg(not(unix))]
fn map_segment() -> Option<*mut Slot> {
    let layout = std::alloc::Layout::array::<Slot>(SEGMENT_SLOTS as usize).ok()?;
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) };
    (!memory.is_null()).then_some(memory.cast())
}

#[cfg(not(unix))]
fn give_back_pages(_: *mut Slot) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(span_id: u64) -> SpanFacts {
        SpanFacts {
            span_id,
            trace_high: span_id << 6,
            trace_low: 3,
            callsite: 9,
            sinks: 5,
            parent: 0,
            flags: 1,
            epoch: 2,
            plan: 0,
        }
    }

    fn open_shown(free_slots: &FreeSlots, generation: u64, span_id: u64) -> u64 {
        open(free_slots, generation, &facts(span_id), Carried::default(), Shown::Yes)
    }

    fn end(free_slots: &FreeSlots, handle: u64) {
        let Released::Last(last) = release(handle) else { panic!("not the last") };
        last.free(free_slots);
    }

    #[test]
    fn slot_is_64_bytes() {
        assert_eq!(size_of::<Slot>(), 64);
    }

    #[test]
    fn facts_are_read_until_the_last_reference_is_gone() {
        let free_slots = FreeSlots::new();
        let handle = open_shown(&free_slots, 71, 5);
        assert_eq!(read(handle), Some(facts(5)));
        assert!(retain(handle));
        assert!(matches!(release(handle), Released::Open));
        let Released::Last(last) = release(handle) else { panic!("not the last") };
        assert_eq!(last.facts(), facts(5));
        last.free(&free_slots);
        assert_eq!(read(handle), None);
        assert!(!retain(handle));
        assert!(matches!(release(handle), Released::Stale));
    }

    #[test]
    fn stale_handle_does_not_match_the_slots_next_span() {
        let free_slots = FreeSlots::new();
        let stale = open_shown(&free_slots, 81, 1);
        end(&free_slots, stale);
        let next = open_shown(&free_slots, 82, 2);
        assert_eq!(split(stale).1, split(next).1, "the slot is used again");
        assert_eq!(read(stale), None);
        assert!(matches!(release(stale), Released::Stale));
        assert_eq!(read(next), Some(facts(2)));
        end(&free_slots, next);
    }

    #[test]
    fn hidden_span_ends_as_one_and_carries_what_it_is_given() {
        let free_slots = FreeSlots::new();
        let rules = rules(7, "[a{x=1}],[a{x=2}],[a{x=3}],[a{x=4}]", None);
        let carried_now = Carried { directives: 0b1010, tests: 0b11 };
        let outer = SpanFacts { plan: 7, ..facts(1) };
        let outer = open(&free_slots, 91, &outer, carried_now, Shown::No);
        let inner = SpanFacts { parent: outer, ..facts(2) };
        let inner = open(&free_slots, 92, &inner, Carried::default(), Shown::Yes);
        assert_eq!(carried(outer, 2, &rules), Some(carried_now));
        assert_eq!(carried_around(inner, 2, &rules), 0b1010);
        assert_eq!(carried_around(inner, 3, &rules), 0, "bits of another pipeline mean nothing");
        let next = Carried { directives: 0b0110, tests: 0b01 };
        set_carried(outer, carried_now, next, 7);
        assert_eq!(carried(outer, 2, &rules), Some(next));
        assert!(retain(outer));
        assert!(matches!(release(outer), Released::Open));
        let Released::Unusual(ended) = release(outer) else { panic!("not hidden") };
        ended.free(&free_slots);
        assert_eq!(read(outer), None);
        end(&free_slots, inner);
    }

    fn rules(number: u32, filter: &str, before: Option<&Rules>) -> Rules {
        let filter = crate::filter::Filter::parse(filter).unwrap();
        let group = crate::rules::Group { filter, event_sinks: 1, span_sinks: 1 };
        Rules::new(&[group], number, before).unwrap().unwrap()
    }

    #[test]
    fn what_a_span_carries_is_translated_for_the_next_rules() {
        let free_slots = FreeSlots::new();
        // Later ones of equal rank are asked first, and have the lower bits.
        let first = rules(7, "[a{x=1}],[a{x=2}],[a{x=3}],[a{x=4}]", None);
        let carried_now = Carried { directives: 0b1010, tests: 0 };
        let span = SpanFacts { plan: 7, ..facts(1) };
        let span = open(&free_slots, 93, &span, carried_now, Shown::Yes);
        let second = rules(8, "[a{x=9}],[a{x=3}]=off,[a{x=8}],[a{x=7}],[a{x=2}]", Some(&first));
        assert_eq!(carried_around(span, 2, &second), 0b0010, "of x=1 the bit is another's now");
        let third = rules(9, "[a{x=1}],[a{x=3}]", Some(&second));
        assert_eq!(carried_around(span, 2, &third), 0b0010, "x=1 was away, and is new");
        let now = Carried { directives: 0b0011, tests: 0 };
        set_carried(span, carried(span, 2, &third).unwrap(), now, 9);
        assert_eq!(carried(span, 2, &third), Some(now));
        assert_eq!(read(span), Some(SpanFacts { plan: 9, ..facts(1) }));
        end(&free_slots, span);
    }

    #[test]
    fn forged_handles_match_nothing() {
        for handle in [1, 0xFFFF_FFFF, DISABLED, 1 << 63, DISABLED - 1] {
            assert_eq!(read(handle), None);
            assert!(!retain(handle));
            assert!(matches!(release(handle), Released::Stale));
        }
    }
}
