//! The life of a span at the call site: new, record, enter, exit, clone, close.
//!
//! # Invariants
//!
//! - A parent stays open until its last child closes: a child holds a reference to its parent.
//! - Closing a long chain of spans is a loop, not a recursion.
//! - One unit is counted per finished span, at its close: delivered by the worker, or lost here.

use super::dynamic::{self, NewSpan};
use super::slots::{self, Ended, Released, Shown, SpanFacts};
use super::{
    INHERITED_FLAGS, decision, emit, emit_header, emit_unusual, lost, lost_without_local, route,
    states, with_intake,
};
use crate::callsite::Callsite;
use crate::clock;
use crate::ledger::{Cause, Signal};
use crate::local::{self, Current, Local, mode};
use crate::observer::{self, Place};
use crate::propagation::TraceId;
use crate::record::{Header, Kind, Writer, flag};
use crate::router;
use crate::sampler;
use crate::tape;
use std::sync::atomic::Ordering;
use tracing_core::Metadata;
use tracing_core::span::{Attributes, Record};

/// The span behind a handle, as a current span.
#[inline]
pub(crate) fn current_of(handle: u64) -> Option<Current> {
    slots::read_current(handle)
}

#[cold]
pub(super) fn stale(local: &Local, handle: u64) {
    if handle != slots::DISABLED {
        with_intake(local, |intake| {
            intake.oddities.stale_spans.fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// Opens a span and returns its handle.
#[inline]
pub(crate) fn new_span(attributes: &Attributes<'_>) -> u64 {
    // `move`: what the closure refers to would have to be in memory.
    new_span_inside(attributes, move |local| parent(local, attributes))
}

/// As [`new_span`]; `parent` finds the span that it is in.
#[inline(always)]
pub(super) fn new_span_inside(
    attributes: &Attributes<'_>,
    parent: impl Fn(&Local) -> Current + Copy,
) -> u64 {
    let metadata = attributes.metadata();
    let callsite = match crate::callsite::find(metadata) {
        Some(callsite) => callsite,
        None => router::register(metadata),
    };
    local::with_or(
        |local| new_span_in(local, callsite, attributes, parent),
        || new_span_slow(callsite, attributes, parent),
    )
}

#[cold]
#[inline(never)]
fn new_span_slow(
    callsite: &Callsite,
    attributes: &Attributes<'_>,
    parent: impl Fn(&Local) -> Current,
) -> u64 {
    let opened = local::with_slow(|local| new_span_in(local, callsite, attributes, parent));
    opened.unwrap_or_else(|| {
        lost_without_local(callsite.decision(), Signal::Span);
        slots::DISABLED
    })
}

#[inline(always)]
fn new_span_in(
    local: &Local,
    callsite: &Callsite,
    attributes: &Attributes<'_>,
    parent: impl Fn(&Local) -> Current,
) -> u64 {
    let decision = callsite.decision();
    if decision.sinks() == 0 || local.mode.get() & mode::SCOPED != 0 {
        return new_span_unusual(local, callsite, attributes, parent);
    }
    let parent = parent(local);
    let span = NewSpan::plain(decision);
    open_span(local, callsite, parent, span, clock::ticks, |writer| attributes.record(writer))
}

/// A span that nobody wants, or that spans and fields decide about (nobody may want it but for
/// what it carries), or one with redacted fields, or one of a scoped pipeline or a capture.
#[cold]
#[inline(never)]
fn new_span_unusual(
    local: &Local,
    callsite: &Callsite,
    attributes: &Attributes<'_>,
    parent: impl FnOnce(&Local) -> Current,
) -> u64 {
    let decision = decision(local, callsite);
    let parent = parent(local);
    let span = match decision.sinks() {
        0 if decision.is_dynamic() => {
            dynamic::new_span(local, callsite, parent, |holder| attributes.record(holder))
        }
        0 => None,
        _ => Some(NewSpan::plain(decision)),
    };
    match span.map(NewSpan::captured) {
        Some(span) => open_span(local, callsite, parent, span, clock::ticks, |writer| {
            redact(callsite.redacted(), writer);
            attributes.record(writer);
        }),
        None => slots::DISABLED,
    }
}

/// Lets the fields of a mask be written as redacted.
fn redact(mask: u64, writer: &mut Writer<'_>) {
    if mask != 0 {
        writer.redact(mask);
    }
}

/// Opens a span that began at `ticks`, with the fields that `write` writes.
#[inline(always)]
pub(super) fn open_span(
    local: &Local,
    callsite: &Callsite,
    parent: Current,
    span: NewSpan,
    ticks: impl FnOnce() -> u64,
    write: impl FnOnce(&mut Writer<'_>),
) -> u64 {
    let number = generation(local);
    // No reference, no obligation to give it back: the parent may have closed meanwhile.
    let has_parent = parent.handle != 0 && slots::retain(parent.handle);
    let (trace_high, trace_low, flags, inherited) = if has_parent {
        (parent.trace_high, parent.trace_low, parent.flags as u8, parent.flags)
    } else if parent.span_id == 0 {
        let (high, low) = local.ids.trace_id();
        let flags = sampler::of_root(high, low, callsite);
        (high, low, flags, u64::from(flags))
    } else {
        let flags = adopt(&parent, callsite);
        (parent.trace_high, parent.trace_low, flags, u64::from(flags & INHERITED_FLAGS))
    };
    let facts = SpanFacts {
        span_id: match span.shown() {
            Shown::Yes | Shown::Captured => local.ids.span_id(number),
            // What is inside is in the span around it, as far as records tell.
            Shown::No => parent.span_id,
        },
        trace_high,
        trace_low,
        callsite: callsite.id(),
        sinks: span.decision.sinks(),
        parent: if has_parent { parent.handle } else { 0 },
        flags,
        epoch: span.epoch,
        plan: span.plan,
    };
    let generation = number & slots::GENERATION_MASK;
    let handle = slots::open(&local.free_slots, generation, &facts, span.carried, span.shown());
    if handle == slots::DISABLED {
        return no_slot(local, facts);
    }
    let span_id = facts.span_id;
    local.newest.set(Current { handle, span_id, trace_high, trace_low, flags: inherited });
    local.newest_handle().store(handle, Ordering::Relaxed);
    match span.shown() {
        Shown::Yes => {}
        Shown::No => return handle,
        Shown::Captured => route::own(local, span_id),
    }
    if flags & flag::STATE != 0 {
        start_with_state(local, handle, parent.span_id, ticks(), write);
        return handle;
    }
    let header = header(Kind::SpanStart, &facts, ticks());
    // A start that finds no room is found out at the close, as `start_lost`.
    let lead = |writer: &mut Writer<'_>| writer.leading_u64(parent.span_id);
    let _ = emit(local, &header, lead, write);
    handle
}

/// The flags of a span whose parent is a caller's, or is not open any more. It holds the state of
/// the trace, if there is one.
#[cold]
#[inline(never)]
pub(super) fn adopt(parent: &Current, callsite: &Callsite) -> u8 {
    let flags = match parent.flags as u8 {
        flags if flags & flag::REMOTE_PARENT == 0 => flags,
        flags => sampler::of_remote(parent.trace_high, parent.trace_low, flags, callsite),
    };
    if flags & flag::STATE == 0 {
        return flags;
    }
    match trace_id(parent.trace_high, parent.trace_low).is_some_and(states::hold) {
        true => flags | flag::HOLDS_STATE,
        false => flags & !flag::STATE,
    }
}

/// Gives up what [`adopt`] took.
#[cold]
#[inline(never)]
pub(super) fn disown(trace_high: u64, trace_low: u64) {
    if let Some(trace_id) = trace_id(trace_high, trace_low) {
        states::release(trace_id);
    }
}

/// Writes the start of a span whose trace has a state. The worker may read of the span when it is
/// over, and the state forgotten: so the record has it.
#[cold]
#[inline(never)]
fn start_with_state(
    local: &Local,
    handle: u64,
    parent_id: u64,
    ticks: u64,
    write: impl FnOnce(&mut Writer<'_>),
) {
    let Some(facts) = slots::read(handle) else { return };
    let header = header(Kind::SpanStart, &facts, ticks);
    let lead = |writer: &mut Writer<'_>| {
        writer.leading_u64(parent_id);
        write_state(writer, facts.trace_high, facts.trace_low);
    };
    let _ = emit(local, &header, lead, write);
}

/// Writes the state of a trace that has one, as long as it is held.
pub(super) fn write_state(writer: &mut Writer<'_>, trace_high: u64, trace_low: u64) {
    let trace_id = trace_id(trace_high, trace_low);
    writer.trace_state(trace_id.map(states::get).unwrap_or_default().as_str());
}

fn trace_id(high: u64, low: u64) -> Option<TraceId> {
    TraceId::new(u128::from(high) << 64 | u128::from(low))
}

/// More live spans than there are slots: the span is not recorded.
#[cold]
fn no_slot(local: &Local, facts: SpanFacts) -> u64 {
    with_intake(local, |intake| {
        if router::is_exported(facts.flags) {
            intake.lost(facts.epoch, facts.sinks, Signal::Span, Cause::StartLost);
        }
    });
    if facts.flags & flag::HOLDS_STATE != 0 {
        disown(facts.trace_high, facts.trace_low);
    }
    if facts.parent != 0 {
        close(facts.parent);
    }
    slots::DISABLED
}

/// A number whose generation is not 0, which would match empty slots.
#[inline(always)]
fn generation(local: &Local) -> u64 {
    loop {
        let number = local.ids.number();
        if number & slots::GENERATION_MASK != 0 {
            return number;
        }
    }
}

#[inline(always)]
fn parent(local: &Local, attributes: &Attributes<'_>) -> Current {
    if attributes.is_contextual() {
        return local.current.get();
    }
    attributes.parent().map(|id| parent_of(local, id.into_u64())).unwrap_or_default()
}

/// The span that was named as a parent; a stale or forged one is counted and ignored.
#[inline(always)]
pub(super) fn parent_of(local: &Local, handle: u64) -> Current {
    current_of(handle).unwrap_or_else(|| {
        stale(local, handle);
        Current::default()
    })
}

#[inline(always)]
fn header(kind: Kind, facts: &SpanFacts, ticks: u64) -> Header {
    Header {
        kind,
        flags: facts.flags,
        epoch: facts.epoch,
        callsite: facts.callsite,
        sinks: facts.sinks,
        ticks,
        trace_high: facts.trace_high,
        trace_low: facts.trace_low,
        span_id: facts.span_id,
    }
}

/// Gives a span further attributes.
pub(crate) fn record(handle: u64, values: &Record<'_>) {
    let look_again = |local: &Local, facts: &SpanFacts| {
        if facts.plan != 0 || router::has_rules() {
            dynamic::record(local, handle, facts, values);
        }
    };
    let write = |facts: &SpanFacts, writer: &mut Writer<'_>| {
        redact(crate::callsite::by_id(facts.callsite).map_or(0, Callsite::redacted), writer);
        values.record(writer);
    };
    update(handle, Kind::SpanRecord, look_again, write);
}

/// Links a span to another one that it follows from.
pub(crate) fn follows_from(handle: u64, other: u64) {
    let Some(other) = slots::read(other) else {
        local::with(|local| stale(local, other));
        return;
    };
    link(handle, other.trace_high, other.trace_low, other.span_id);
}

/// Links a span to another one, of this process or not.
pub(crate) fn link(handle: u64, trace_high: u64, trace_low: u64, span_id: u64) {
    let write = |_: &SpanFacts, writer: &mut Writer<'_>| {
        writer.leading_u64(trace_high);
        writer.leading_u64(trace_low);
        writer.leading_u64(span_id);
    };
    update(handle, Kind::FollowsFrom, |_, _| {}, write);
}

/// Writes a step of a span's life, unless nobody wants the span.
pub(super) fn update(
    handle: u64,
    kind: Kind,
    before: impl FnOnce(&Local, &SpanFacts),
    write: impl FnOnce(&SpanFacts, &mut Writer<'_>),
) {
    local::with(|local| {
        let Some(facts) = slots::read(handle) else { return stale(local, handle) };
        before(local, &facts);
        if facts.sinks == 0 {
            return;
        }
        let header = header(kind, &facts, clock::ticks());
        let written = match facts.epoch == tape::EPOCH {
            true => emit_unusual(local, header, |_| {}, |writer| write(&facts, writer)),
            false => emit(local, &header, |_| {}, |writer| write(&facts, writer)),
        };
        if written.is_err() {
            with_intake(local, |intake| {
                intake.oddities.span_updates_lost.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
}

/// Makes a span the thread's current one.
#[inline]
pub(crate) fn enter(handle: u64) {
    local::with_or(|local| enter_in(local, handle), || enter_slow(handle));
}

#[cold]
#[inline(never)]
fn enter_slow(handle: u64) {
    local::with_slow(|local| enter_in(local, handle));
}

/// As [`enter`], for whoever is not the own face: what has but one caller is inlined there.
pub(crate) fn enter_from_afar(handle: u64) {
    local::with_any(|local| enter_in(local, handle));
}

#[inline(always)]
fn enter_in(local: &Local, handle: u64) {
    // Relaxed: whoever changed it has handed the span over since, and that orders it.
    if local.newest_handle().load(Ordering::Relaxed) == handle {
        return push(local, local.newest.get());
    }
    match current_of(handle) {
        Some(current) => push(local, current),
        None => {
            stale(local, handle);
            // The exit that belongs to it must find its place.
            push(local, Current { handle, ..local.current.get() });
        }
    }
}

#[inline(always)]
fn push(local: &Local, current: Current) {
    if local.stack.push(local.current.get()) {
        local.set_current(current);
        observer::entered(Place::span(current.handle));
    } else {
        local.overflow.set(local.overflow.get() + 1);
    }
}

/// Makes the span before this one the thread's current one again.
#[inline]
pub(crate) fn exit(handle: u64) {
    local::with_or(|local| exit_in(local, handle), || exit_slow(handle));
}

/// As [`exit`], for whoever is not the own face.
pub(crate) fn exit_from_afar(handle: u64) {
    local::with_any(|local| exit_in(local, handle));
}

#[inline(always)]
fn exit_in(local: &Local, handle: u64) {
    if local.current.get().handle == handle && local.overflow.get() == 0 {
        local.set_current(local.stack.pop().unwrap_or_default());
        observer::left(Place::span(handle));
    } else {
        exit_slow(handle);
    }
}

#[cold]
#[inline(never)]
fn exit_slow(handle: u64) {
    local::with_slow(|local| {
        if local.overflow.get() > 0 {
            return local.overflow.set(local.overflow.get() - 1);
        }
        if local.current.get().handle == handle {
            local.set_current(local.stack.pop().unwrap_or_default());
        } else {
            // Out of order: the span is left, those entered after it stay.
            local.stack.remove(handle);
        }
        observer::left(Place::span(handle));
    });
}

/// Makes a caller's span the thread's current one. Returns it as it was entered, to be left;
/// `None` when the thread is in too many.
pub(crate) fn enter_parent(parent: Current) -> Option<Current> {
    let entered = local::with(|local| {
        let has_room = local.overflow.get() == 0 && local.stack.push(local.current.get());
        has_room.then(|| {
            // The same one may be entered twice: a number above the flags tells them apart.
            let number = local.frames.number();
            let entered = Current { flags: u64::from(parent.flags as u8) | number << 8, ..parent };
            local.set_current(entered);
            observer::entered(Place::parent(number));
            entered
        })
    });
    entered.flatten()
}

/// Leaves a caller's span, wherever it stands among those that were entered.
pub(crate) fn leave_parent(parent: Current) {
    local::with(|local| {
        if local.current.get() == parent {
            local.set_current(local.stack.pop().unwrap_or_default());
        } else {
            local.stack.remove_parent(parent);
        }
        observer::left(Place::parent(parent.flags >> 8));
    });
}

/// Takes one more reference to a span.
#[inline]
pub(crate) fn retain(handle: u64) {
    if !slots::retain(handle) {
        local::with(|local| stale(local, handle));
    }
}

/// Gives up a reference; `true` when the span is over by that.
#[inline]
pub(crate) fn close(handle: u64) -> bool {
    local::with_or(|local| close_in(local, handle), || close_slow(handle))
}

#[cold]
#[inline(never)]
fn close_slow(handle: u64) -> bool {
    local::with_slow(|local| close_in(local, handle)).unwrap_or(false)
}

#[inline(always)]
fn close_in(local: &Local, handle: u64) -> bool {
    close_at(local, handle, clock::ticks)
}

/// As [`close`], at a time of the caller's.
#[inline(always)]
pub(super) fn close_at(local: &Local, handle: u64, ticks: impl FnOnce() -> u64) -> bool {
    match slots::release(handle) {
        Released::Last(ended) => {
            forget_newest(local, handle);
            let parent = finish(local, ended, ticks());
            if parent != 0 {
                release_parents(local, parent);
            }
            true
        }
        Released::Open => false,
        released => close_unusual(local, handle, released, ticks()),
    }
}

/// What the thread remembers of a span holds no more.
#[inline(always)]
pub(super) fn forget_newest(local: &Local, handle: u64) {
    if local.newest_handle().load(Ordering::Relaxed) == handle {
        local.newest_handle().store(0, Ordering::Relaxed);
    }
}

#[cold]
#[inline(never)]
fn close_unusual(local: &Local, handle: u64, released: Released, ticks: u64) -> bool {
    let Released::Unusual(ended) = released else {
        stale(local, handle);
        return false;
    };
    forget_newest(local, handle);
    let parent = finish_unusual(local, ended, ticks);
    release_parents(local, parent);
    true
}

/// Gives up the reference of a span that is over to its parent, and so on upwards.
#[inline(never)]
pub(super) fn release_parents(local: &Local, parent: u64) {
    let mut next = parent;
    while next != 0 {
        next = match slots::release(next) {
            Released::Last(ended) => finish(local, ended, clock::ticks()),
            Released::Unusual(ended) => finish_unusual(local, ended, clock::ticks()),
            Released::Open | Released::Stale => return,
        };
    }
}

/// As [`finish`], of a span of which no record was written, or whose records a capture has.
#[cold]
#[inline(never)]
fn finish_unusual(local: &Local, ended: Ended, ticks: u64) -> u64 {
    let facts = ended.facts();
    if facts.sinks != 0 {
        let header = header(Kind::SpanClose, &facts, ticks);
        if let Err(cause) = emit_unusual(local, header, |_| {}, |_| {}) {
            lost(local, header, Signal::Span, cause);
        }
        route::disown(facts.span_id);
        if facts.flags & flag::HOLDS_STATE != 0 {
            disown(facts.trace_high, facts.trace_low);
        }
    }
    ended.free(&local.free_slots);
    facts.parent
}

/// Writes the close of a span that is over; returns the parent whose reference it held.
#[inline(always)]
fn finish(local: &Local, ended: Ended, ticks: u64) -> u64 {
    let facts = ended.facts();
    let header = header(Kind::SpanClose, &facts, ticks);
    match emit_header(local, &header) {
        Ok(()) => ended.free(&local.free_slots),
        Err(cause) => lost_close(local, ended, cause),
    }
    if facts.flags & flag::HOLDS_STATE != 0 {
        disown(facts.trace_high, facts.trace_low);
    }
    facts.parent
}

/// A close that found no room: counted here; the worker forgets the span when it finds the slot.
#[cold]
#[inline(never)]
fn lost_close(local: &Local, ended: Ended, cause: Cause) {
    let facts = ended.facts();
    ended.leave_to_worker();
    with_intake(local, |intake| {
        if router::is_exported(facts.flags) {
            intake.lost(facts.epoch, facts.sinks, Signal::Span, cause);
        }
        intake.oddities.lost_closes.fetch_add(1, Ordering::Release);
    });
}

/// The thread's current span: handle and metadata.
pub(crate) fn current() -> Option<(u64, &'static Metadata<'static>)> {
    local::with(|local| {
        let handle = local.current.get().handle;
        let facts = slots::read(handle)?;
        Some((handle, crate::callsite::by_id(facts.callsite)?.metadata()?))
    })
    .flatten()
}
