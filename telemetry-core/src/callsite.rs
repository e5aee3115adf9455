//! Who emits: the append-only table of callsites.
//!
//! # Invariants
//!
//! - An entry is written once and never freed or moved; readers take no lock.
//! - Names are copies: the worker and the exporters never follow a `&'static Metadata`, whose
//!   library may have been unloaded.
//! - An entry's decision is one word, epoch and sink mask together, so that a caller sees both
//!   of the same filter. What belongs to a dynamic one beside it is read together with it, or not
//!   at all.
//! - At most [`CALLSITES_MAX`] entries; a callsite beyond that shares the entry of its level.

use crate::level::Level;
use crate::rate_limit::Meter;
use crate::redaction;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing_core::Metadata;

/// How many callsites a process may have.
pub const CALLSITES_MAX: u32 = 1 << 20;

/// Parts of `Decision`; the sinks are its lower half.
const EPOCH_SHIFT: u32 = 32;
const URGENT: u64 = 1 << 40;
const DYNAMIC: u64 = 1 << 41;
/// Of a dynamic one: it is wanted if no directive of spans and fields applies.
const WANTED: u64 = 1 << 42;
/// Of a dynamic one: its own fields may decide.
const FIELDS: u64 = 1 << 43;
/// Of a dynamic one: what belongs to it is being written.
const UNSURE: u64 = 1 << 44;
/// Of a dynamic one: it is wanted for certain, and fields are redacted.
const CERTAIN: u64 = 1 << 45;
/// How many of its events may be emitted is limited.
const LIMITED: u64 = 1 << 46;
/// Of a dynamic one: the lower half of its plan's number.
const PLAN_SHIFT: u32 = 48;

const BUCKETS: usize = 4096;
/// Segment n of the id index holds `FIRST_SEGMENT << n` entries.
const FIRST_SEGMENT: usize = 256;
const SEGMENTS: usize = 13;

static BY_ADDRESS: [AtomicPtr<Callsite>; BUCKETS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; BUCKETS];
static BY_ID: [OnceLock<Box<[AtomicPtr<Callsite>]>>; SEGMENTS] =
    [const { OnceLock::new() }; SEGMENTS];
/// Ids start at 1: 0 says that a record has no callsite.
static COUNT: AtomicU32 = AtomicU32::new(0);
static APPEND: Mutex<()> = Mutex::new(());

/// A place in the code that emits, with everything about it that does not change.
#[derive(Debug)]
pub struct Callsite {
    id: u32,
    decision: AtomicU64,
    /// What targets and levels say, where spans and fields may change it or fields are redacted.
    static_sinks: AtomicU32,
    /// The directives of fields that the callsite's own fields may meet.
    candidates: AtomicU64,
    /// The fields that are redacted by their names, as a mask.
    redacted: AtomicU64,
    description: Description,
    is_log_record: bool,
    metadata: Option<&'static Metadata<'static>>,
    key: usize,
    next: AtomicPtr<Callsite>,
    meter: Meter,
    /// The next one of those whose events were suppressed.
    next_noisy: AtomicPtr<Callsite>,
}

/// What is known of a callsite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) span: bool,
    pub(crate) level: Level,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) module: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) fields: Vec<String>,
    /// How many of the fields, from the first, are measurements; of our own events only.
    pub(crate) measurements: usize,
    /// Is `name` an event's name in the sense of OpenTelemetry (else it is `tracing`'s)?
    pub(crate) named: bool,
}

impl Description {
    fn of(metadata: &Metadata<'_>) -> Self {
        Self {
            span: metadata.is_span(),
            level: (*metadata.level()).into(),
            name: metadata.name().to_owned(),
            target: metadata.target().to_owned(),
            module: metadata.module_path().map(str::to_owned),
            file: metadata.file().map(str::to_owned),
            line: metadata.line(),
            fields: metadata.fields().iter().map(|field| field.name().to_owned()).collect(),
            measurements: 0,
            named: false,
        }
    }

    /// Is it how `tracing-log` shows records of the `log` crate to `tracing`?
    fn is_of_log_records(&self) -> bool {
        self.name == "log event"
            && self.target == "log"
            && self.fields.iter().any(|field| field == "log.target")
    }

    /// Does the metadata still say the same? It differs after a library was unloaded and another
    /// was mapped at its address.
    fn is_of(&self, metadata: &Metadata<'_>) -> bool {
        self.name == metadata.name()
            && self.target == metadata.target()
            && self.line == metadata.line()
            && self.span == metadata.is_span()
            && self.fields.len() == metadata.fields().len()
            && self.fields.iter().zip(metadata.fields()).all(|(a, b)| a == b.name())
    }
}

/// Which sinks want a callsite, and the pipeline that says so.
///
/// The word of `Callsite::decision` as it is: what a fast path does not ask costs it nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision(u64);

impl Decision {
    /// Nobody wants it, whatever spans and fields say.
    pub(crate) const NOBODY: Self = Self(0);

    /// These sinks want it, if there are any.
    pub(crate) fn of(epoch: u8, sinks: u32, level: Level) -> Self {
        if sinks == 0 {
            return Self::NOBODY;
        }
        let urgent = if level == Level::Error { URGENT } else { 0 };
        Self(u64::from(epoch) << EPOCH_SHIFT | u64::from(sinks) | urgent)
    }

    /// Spans and fields decide, or fields are redacted. It has no sinks, so that the fast path of
    /// a wanted callsite need not ask.
    fn dynamic(epoch: u8, plan: u32, static_sinks: u32, candidates: u64) -> Self {
        let wanted = if static_sinks == 0 { 0 } else { WANTED };
        let fields = if candidates == 0 { 0 } else { FIELDS };
        let plan = u64::from(plan as u16) << PLAN_SHIFT;
        Self(u64::from(epoch) << EPOCH_SHIFT | DYNAMIC | wanted | fields | plan)
    }

    #[inline(always)]
    pub(crate) fn epoch(self) -> u8 {
        (self.0 >> EPOCH_SHIFT) as u8
    }

    #[inline(always)]
    pub(crate) fn sinks(self) -> u32 {
        self.0 as u32
    }

    /// Should the worker look at its records at once?
    #[inline(always)]
    pub(crate) fn is_urgent(self) -> bool {
        self.0 & URGENT != 0
    }

    /// Do spans and fields decide, or are fields redacted?
    #[inline(always)]
    pub(crate) fn is_dynamic(self) -> bool {
        self.0 & DYNAMIC != 0
    }

    /// Is it limited how many events may be emitted?
    #[inline(always)]
    pub(crate) fn is_limited(self) -> bool {
        self.0 & LIMITED != 0
    }

    /// The same without a limit.
    pub(crate) fn unlimited(self) -> Self {
        Self(self.0 & !LIMITED)
    }

    /// The same, with a limit if there is one; nobody's events are not limited.
    pub(crate) fn limited(self, is_limited: bool) -> Self {
        if is_limited && !self.is_nobody() { Self(self.0 | LIMITED) } else { self }
    }

    /// Of a dynamic one: is it wanted if no directive of spans and fields applies?
    #[inline(always)]
    pub(crate) fn is_wanted_otherwise(self) -> bool {
        self.0 & WANTED != 0
    }

    /// Of a dynamic one: is it wanted whatever spans and fields say, and are fields redacted?
    #[inline(always)]
    pub(crate) fn is_certain(self) -> bool {
        self.0 & CERTAIN != 0
    }

    /// Of a dynamic one: may its own fields decide?
    #[inline(always)]
    pub(crate) fn asks_fields(self) -> bool {
        self.0 & FIELDS != 0
    }

    /// Does nobody want it, whatever spans and fields say?
    #[inline(always)]
    pub(crate) fn is_nobody(self) -> bool {
        self.0 == 0
    }

    /// Is it dynamic, of this plan, with everything in place that belongs to it?
    fn is_complete(self, plan: u32) -> bool {
        self.0 & (DYNAMIC | UNSURE) == DYNAMIC && (self.0 >> PLAN_SHIFT) as u16 == plan as u16
    }
}

impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decision")
            .field("epoch", &self.epoch())
            .field("sinks", &self.sinks())
            .field("is_urgent", &self.is_urgent())
            .field("is_dynamic", &self.is_dynamic())
            .field("is_limited", &self.is_limited())
            .finish()
    }
}

/// A decision with what is needed to complete it where spans and fields decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) decision: Decision,
    /// What targets and levels say.
    pub(crate) static_sinks: u32,
    /// The directives of fields that the callsite's own fields may meet.
    pub(crate) candidates: u64,
}

impl Verdict {
    /// Nobody wants it.
    pub(crate) const NOBODY: Self =
        Self { decision: Decision::NOBODY, static_sinks: 0, candidates: 0 };

    /// Targets and levels have decided.
    pub(crate) fn of(decision: Decision, static_sinks: u32) -> Self {
        Self { decision, static_sinks, candidates: 0 }
    }

    /// Spans and fields decide, by the plan of this number.
    pub(crate) fn dynamic(epoch: u8, plan: u32, static_sinks: u32, candidates: u64) -> Self {
        let decision = Decision::dynamic(epoch, plan, static_sinks, candidates);
        Self { decision, static_sinks, candidates }
    }

    /// Targets and levels have decided by the plan of this number, and fields are redacted.
    pub(crate) fn redacting(epoch: u8, plan: u32, static_sinks: u32) -> Self {
        let verdict = Self::dynamic(epoch, plan, static_sinks, 0);
        Self { decision: Decision(verdict.decision.0 | CERTAIN), ..verdict }
    }
}

impl Verdict {
    /// The same, with a limit if there is one.
    pub(crate) fn limited(self, is_limited: bool) -> Self {
        Self { decision: self.decision.limited(is_limited), ..self }
    }
}

impl Callsite {
    fn new(
        id: u32,
        description: Description,
        metadata: Option<&'static Metadata<'static>>,
        key: usize,
    ) -> Self {
        Self {
            id,
            decision: AtomicU64::new(0),
            static_sinks: AtomicU32::new(0),
            candidates: AtomicU64::new(0),
            redacted: AtomicU64::new(redaction::names().mask(&description.fields)),
            is_log_record: description.is_of_log_records(),
            description,
            metadata,
            key,
            next: AtomicPtr::new(std::ptr::null_mut()),
            meter: Meter::default(),
            next_noisy: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// The id: stable while the process lives, dense from 1.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Is it a span's callsite (else an event's)?
    pub fn is_span(&self) -> bool {
        self.description.span
    }

    /// The level.
    pub fn level(&self) -> Level {
        self.description.level
    }

    /// The span's name, or the event's (for `tracing` events: `event file:line`).
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// The target: what filters match; the module path unless given.
    pub fn target(&self) -> &str {
        &self.description.target
    }

    /// The module path.
    pub fn module(&self) -> Option<&str> {
        self.description.module.as_deref()
    }

    /// The source file.
    pub fn file(&self) -> Option<&str> {
        self.description.file.as_deref()
    }

    /// The line in the source file.
    pub fn line(&self) -> Option<u32> {
        self.description.line
    }

    /// The names of the fields, in the order of their indices.
    pub fn fields(&self) -> &[String] {
        &self.description.fields
    }

    /// How many of the fields, from the first, are measurements of an [`event!`](crate::event!);
    /// the others are metadata.
    pub fn measurements(&self) -> usize {
        self.description.measurements
    }

    /// The name of an [`event!`](crate::event!): low in cardinality, dotted, an event name in the
    /// sense of OpenTelemetry. `None` for callsites of `tracing` and `log`.
    pub fn event_name(&self) -> Option<&str> {
        self.description.named.then_some(self.name())
    }

    /// Do the events come from `tracing-log`, so that their fields say what they are about?
    pub(crate) fn is_log_record(&self) -> bool {
        self.is_log_record
    }

    /// Metadata for `tracing` callers on this very thread; never for the worker.
    pub(crate) fn metadata(&self) -> Option<&'static Metadata<'static>> {
        self.metadata
    }

    /// The fields whose values are not written, as a mask (`redaction::is_in_mask`).
    #[inline]
    pub(crate) fn redacted(&self) -> u64 {
        // Relaxed, here and below: the mask changes only while no pipeline is attached, and a
        // scoped one's threads may see it a moment later.
        self.redacted.load(Ordering::Relaxed)
    }

    /// Looks at the names of the fields again: others are redacted now.
    pub(crate) fn redact_again(&self) {
        let mask = redaction::names().mask(self.fields());
        self.redacted.store(mask, Ordering::Relaxed);
    }

    /// How many events it has emitted lately.
    #[inline(always)]
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Puts it among those that [`take_noisy`] finds. Once, until it was taken.
    #[cold]
    pub(crate) fn note_noise(&'static self) {
        let mut next = NOISY.load(Ordering::Relaxed);
        loop {
            self.next_noisy.store(next, Ordering::Relaxed);
            let this = std::ptr::from_ref(self).cast_mut();
            // Release: whoever takes it finds the next one.
            match NOISY.compare_exchange_weak(next, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => next = seen,
            }
        }
    }

    #[inline(always)]
    pub(crate) fn decision(&self) -> Decision {
        // Relaxed: the word is the whole message; what it refers to (sinks, queues) is reached
        // through the worker, which synchronises by itself.
        Decision(self.decision.load(Ordering::Relaxed))
    }

    /// The decision with what is needed to complete it, if spans and fields decide by the plan of
    /// this number; `None` for a decision of another plan or without spans and fields, and while a
    /// new one is being written.
    pub(crate) fn verdict(&self, plan: u32) -> Option<Verdict> {
        // Acquire: pairs with the Release in `decide`; what belongs to the word is visible.
        let decision = Decision(self.decision.load(Ordering::Acquire));
        if !decision.is_complete(plan) {
            return None;
        }
        let verdict = Verdict {
            decision,
            static_sinks: self.static_sinks.load(Ordering::Relaxed),
            candidates: self.candidates.load(Ordering::Relaxed),
        };
        // The fence keeps the second look behind the reads: if any of them saw what belongs to
        // another decision, the word has changed.
        fence(Ordering::Acquire);
        (self.decision.load(Ordering::Relaxed) == decision.0).then_some(verdict)
    }

    /// Sets the decision; one caller at a time.
    pub(crate) fn decide(&self, verdict: Verdict) {
        if verdict.decision.is_dynamic() {
            self.decision.store(verdict.decision.0 | UNSURE, Ordering::Relaxed);
            // Whoever reads one of the two below finds the word changed when it looks again.
            fence(Ordering::Release);
            self.static_sinks.store(verdict.static_sinks, Ordering::Relaxed);
            self.candidates.store(verdict.candidates, Ordering::Relaxed);
        }
        // Release: whoever finds the word dynamic finds what belongs to it.
        self.decision.store(verdict.decision.0, Ordering::Release);
    }
}

/// Those whose events were suppressed and that nobody has taken yet, as a stack.
static NOISY: AtomicPtr<Callsite> = AtomicPtr::new(std::ptr::null_mut());

/// Takes the callsites whose events were suppressed. All at once: none of them can come back while
/// the chain is walked, because what leads to the next one is read before it is given out.
pub(crate) fn take_noisy() -> impl Iterator<Item = &'static Callsite> {
    // Acquire: pairs with the Release in `note_noise`.
    let mut next = NOISY.swap(std::ptr::null_mut(), Ordering::Acquire);
    std::iter::from_fn(move || {
        let callsite = leaked(next)?;
        next = callsite.next_noisy.load(Ordering::Relaxed);
        Some(callsite)
    })
}

fn bucket(address: usize) -> usize {
    // Metadata statics are 8-aligned and lie close together: spread their low bits.
    (address >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52 & (BUCKETS - 1)
}

/// The entry behind a pointer that was taken from one.
#[inline(always)]
pub(crate) fn leaked(entry: *mut Callsite) -> Option<&'static Callsite> {
    // SAFETY: callers keep pointers to entries only, and entries are never freed.
    unsafe { entry.as_ref() }
}

/// The entry of a `tracing` callsite, if it is registered.
#[inline(always)]
pub(crate) fn find(metadata: &'static Metadata<'static>) -> Option<&'static Callsite> {
    find_at(std::ptr::from_ref(metadata) as usize)
}

/// The entry of the `tracing` callsite whose metadata is at an address, or of the place of this
/// number.
#[inline(always)]
pub(crate) fn find_at(address: usize) -> Option<&'static Callsite> {
    // Acquire: pairs with the Release in `append`, so the entry's content is visible.
    let mut entry = BY_ADDRESS[bucket(address)].load(Ordering::Acquire);
    while !entry.is_null() {
        // SAFETY: non-null pointers in the table come from `Box::leak` and are never freed.
        let callsite = unsafe { &*entry };
        if callsite.key == address {
            return Some(callsite);
        }
        entry = callsite.next.load(Ordering::Acquire);
    }
    None
}

/// The entry of a `tracing` callsite, if it is registered and says what the metadata say now.
pub(crate) fn find_current(metadata: &'static Metadata<'static>) -> Option<&'static Callsite> {
    find(metadata).filter(|callsite| callsite.description.is_of(metadata))
}

/// The entry of a `tracing` callsite, made now if there is none. A new one is decided by `decide`
/// before anybody finds it: else a thread that does would take it for one that nobody wants.
pub(crate) fn find_or_register(
    metadata: &'static Metadata<'static>,
    decide: impl FnOnce(&Callsite),
) -> &'static Callsite {
    if let Some(callsite) = find_current(metadata) {
        return callsite;
    }
    let _append = APPEND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(callsite) = find_current(metadata) {
        return callsite;
    }
    let address = std::ptr::from_ref(metadata) as usize;
    append(Description::of(metadata), Some(metadata), address, decide)
}

/// The entry that [`find_at`] finds by a number that is no address; else as [`find_or_register`].
pub(crate) fn find_or_register_at(
    key: usize,
    description: Description,
    decide: impl FnOnce(&Callsite),
) -> &'static Callsite {
    let _append = APPEND.lock().unwrap_or_else(PoisonError::into_inner);
    find_at(key).unwrap_or_else(|| append(description, None, key, decide))
}

/// A new entry for a callsite that is not `tracing`'s, decided by `decide`.
pub(crate) fn register(
    description: Description,
    decide: impl FnOnce(&Callsite),
) -> &'static Callsite {
    let _append = APPEND.lock().unwrap_or_else(PoisonError::into_inner);
    append(description, None, 0, decide)
}

/// An entry that nothing finds and nobody wants, made without a lock: for a fork's child.
pub(crate) fn unlisted(description: Description) -> &'static Callsite {
    Box::leak(Box::new(Callsite::new(0, description, None, 0)))
}

/// Appends an entry; the caller holds `APPEND`.
fn append(
    description: Description,
    metadata: Option<&'static Metadata<'static>>,
    key: usize,
    decide: impl FnOnce(&Callsite),
) -> &'static Callsite {
    // Relaxed: only the holder of `APPEND` writes the count.
    let count = COUNT.load(Ordering::Relaxed);
    if count >= CALLSITES_MAX
        && let Some(shared) = all().find(|callsite| {
            callsite.is_span() == description.span && callsite.level() == description.level
        })
    {
        return shared;
    }
    let id = count + 1;
    let head = &BY_ADDRESS[bucket(key)];
    let callsite = Box::leak(Box::new(Callsite::new(id, description, metadata, key)));
    if key != 0 {
        *callsite.next.get_mut() = head.load(Ordering::Relaxed);
    }
    decide(callsite);
    let (segment, offset) = position(id);
    let entries = BY_ID[segment].get_or_init(|| {
        (0..FIRST_SEGMENT << segment).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect()
    });
    // Release, both: whoever finds the entry sees its content.
    entries[offset].store(callsite, Ordering::Release);
    if key != 0 {
        head.store(callsite, Ordering::Release);
    }
    COUNT.store(id, Ordering::Release);
    callsite
}

/// Segment and offset of an id.
fn position(id: u32) -> (usize, usize) {
    let index = id as usize - 1;
    let segment = (index / FIRST_SEGMENT + 1).ilog2() as usize;
    (segment, index - FIRST_SEGMENT * ((1 << segment) - 1))
}

/// The entry with this id.
#[inline]
pub(crate) fn by_id(id: u32) -> Option<&'static Callsite> {
    if id == 0 || id > CALLSITES_MAX {
        return None;
    }
    let (segment, offset) = position(id);
    // Acquire: pairs with the Release in `append`.
    let entry = BY_ID[segment].get()?.get(offset)?.load(Ordering::Acquire);
    // SAFETY: as in `find`.
    unsafe { entry.as_ref() }
}

/// How many callsites are registered.
pub(crate) fn count() -> u32 {
    COUNT.load(Ordering::Acquire)
}

/// All entries, oldest first.
pub(crate) fn all() -> impl Iterator<Item = &'static Callsite> {
    (1..=count()).filter_map(by_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_dense_and_fit_the_segments() {
        let mut expected = (0, 0);
        for id in 1..=CALLSITES_MAX {
            assert_eq!(position(id), expected, "id {id}");
            expected.1 += 1;
            if expected.1 == FIRST_SEGMENT << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(position(CALLSITES_MAX).0 < SEGMENTS);
    }

    fn description(target: &str) -> Description {
        Description {
            span: false,
            level: Level::Warn,
            name: "probe".to_owned(),
            target: target.to_owned(),
            module: None,
            file: None,
            line: None,
            fields: vec!["message".to_owned()],
            measurements: 0,
            named: false,
        }
    }

    fn probe(target: &str) -> &'static Callsite {
        register(description(target), |_| ())
    }

    /// A thread that found it earlier would take it for one that nobody wants.
    #[test]
    fn callsite_is_decided_before_anybody_finds_it() {
        let (key, wanted) = (0x7e1e_3e7d, Decision::of(1, 1, Level::Warn));
        let target = "callsite::tests::decided";
        let callsite = find_or_register_at(key, description(target), |callsite| {
            assert!(find_at(key).is_none(), "it is to be found");
            assert!(all().all(|other| other.target() != target), "it is among all");
            callsite.decide(Verdict::of(wanted, 1));
        });
        assert!(find_at(key).is_some_and(|found| std::ptr::eq(found, callsite)));
        assert_eq!(callsite.decision(), wanted);
    }

    #[test]
    fn registered_callsite_is_found_by_its_id() {
        let callsite = probe("callsite::tests");
        let found = by_id(callsite.id()).expect("it was registered above");
        assert!(std::ptr::eq(found, callsite));
        assert_eq!(found.decision(), Decision::NOBODY);
        assert!(by_id(0).is_none());
    }

    #[test]
    fn what_belongs_to_a_decision_is_read_with_it_or_not_at_all() {
        let callsite = probe("callsite::tests::verdict");
        let dynamic = Verdict::dynamic(3, 0x1_0007, 1, 0b10);
        callsite.decide(dynamic);
        assert_eq!(callsite.verdict(0x1_0007), Some(dynamic));
        assert_eq!(callsite.verdict(0x1_0008), None, "another plan's");
        callsite.decision.fetch_or(UNSURE, Ordering::Relaxed);
        assert_eq!(callsite.verdict(0x1_0007), None, "it is being written");
        assert!(callsite.decision().is_dynamic() && callsite.decision().sinks() == 0);
        callsite.decide(Verdict::of(Decision::of(3, 1, Level::Warn), 1));
        assert_eq!(callsite.verdict(0x1_0007), None, "spans and fields have no say");
    }

    #[test]
    fn reader_beside_a_writer_sees_one_verdict_or_none() {
        let callsite = probe("callsite::tests::race");
        let verdict = |plan: u32| Verdict::dynamic(1, plan, plan, u64::from(plan));
        callsite.decide(verdict(1));
        std::thread::scope(|scope| {
            let writer =
                scope.spawn(|| (2..200_000).for_each(|plan| callsite.decide(verdict(plan))));
            let mut seen = 0;
            while !writer.is_finished() || seen == 0 {
                let plan = callsite.static_sinks.load(Ordering::Relaxed);
                if let Some(found) = callsite.verdict(plan) {
                    assert_eq!(found.static_sinks as u16, plan as u16);
                    assert_eq!(u64::from(found.static_sinks), found.candidates);
                    seen += 1;
                }
            }
        });
    }
}
