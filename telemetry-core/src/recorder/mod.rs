//! Turns what `tracing` calls for into records in the calling thread's buffer.
//!
//! # Invariants
//!
//! - Nothing here panics, waits longer than the intake's policy, or takes a lock on the fast path.
//! - A record that a value's `Debug` emits while another is being written is set aside and
//!   appended after it; what is deeper or larger than the side buffer is counted `reentrant`.
//! - What our own threads emit is counted and not recorded.

pub(crate) mod dynamic;
mod encode;
mod fields;
#[cfg(feature = "layer")]
pub(crate) mod layer;
mod log_record;
pub(crate) mod opened;
mod parent;
mod places;
mod route;
pub(crate) mod slots;
mod span;
pub(crate) mod states;
mod subscriber;

pub(crate) use parent::set_parent;
pub(crate) use places::Place;
pub(crate) use span::{close, current_of, enter_from_afar, enter_parent, exit_from_afar};
pub(crate) use span::{leave_parent, link, retain};

use crate::callsite::{self, Callsite, Decision};
use crate::clock;
use crate::intake::Intake;
use crate::ledger::{Cause, Signal};
use crate::level::Level;
use crate::local::{self, Current, Local, mode};
use crate::record::{Header, Kind, RECORD_BYTES_MAX, RawRecord, Writer, flag};
use crate::router;
use route::Route;
use std::sync::atomic::Ordering;
use tracing_core::Dispatch;
use tracing_core::span::Id;

/// How many bytes of nested records are set aside while one record is written.
const SIDE_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// Records an event of `tracing`.
#[inline]
pub(crate) fn tracing_event(event: &tracing_core::Event<'_>) {
    // `move`: what the closure refers to would have to be in memory.
    tracing_event_inside(event, move |local| current_around(local, event));
}

/// As [`tracing_event`]; `around` finds the span that the event is in.
#[inline(always)]
fn tracing_event_inside(
    event: &tracing_core::Event<'_>,
    around: impl Fn(&Local) -> Current + Copy,
) {
    let metadata = event.metadata();
    let callsite = match crate::callsite::find(metadata) {
        Some(callsite) => callsite,
        None => router::register(metadata),
    };
    local::with_or(
        |local| tracing_event_in(local, callsite, event, around),
        || tracing_event_slow(callsite, event, around),
    );
}

#[cold]
#[inline(never)]
fn tracing_event_slow(
    callsite: &'static Callsite,
    event: &tracing_core::Event<'_>,
    around: impl Fn(&Local) -> Current,
) {
    if local::with_slow(|local| tracing_event_in(local, callsite, event, around)).is_none() {
        lost_without_local(callsite.decision(), Signal::Log);
    }
}

/// Counts a record of a thread whose state is not to be had: one that is nested in another after
/// the end of its thread-locals, or in the making of its state.
#[cold]
#[inline(never)]
pub(crate) fn lost_without_local(decision: Decision, signal: Signal) {
    Intake::global().lost(decision.epoch(), decision.sinks(), signal, Cause::Reentrant);
}

#[inline(always)]
fn tracing_event_in(
    local: &Local,
    callsite: &'static Callsite,
    event: &tracing_core::Event<'_>,
    around: impl Fn(&Local) -> Current,
) {
    let decision = decision(local, callsite);
    if decision.sinks() == 0 {
        return dynamic::tracing_event(local, callsite, event, around);
    }
    local.last_callsite.set(callsite.id());
    let current = around(local);
    emit_event(local, callsite, decision, current, |_| {}, |writer| event.record(writer));
}

/// The span that an event is in.
#[inline(always)]
fn current_around(local: &Local, event: &tracing_core::Event<'_>) -> Current {
    if event.is_contextual() {
        local.current.get()
    } else {
        event.parent().map(|id| span::parent_of(local, id.into_u64())).unwrap_or_default()
    }
}

/// Is a record of a `tracing` callsite wanted by the pipeline that takes this thread's? `around`
/// finds the span that it is in.
fn is_wanted(
    metadata: &tracing_core::Metadata<'_>,
    around: impl FnOnce(&Local) -> Current,
) -> bool {
    if router::is_forked() {
        return false;
    }
    let address = std::ptr::from_ref(metadata) as usize;
    let Some(callsite) = crate::callsite::find_at(address) else {
        if metadata.is_span() {
            return router::wants_unregistered_span(metadata);
        }
        // What a `log` record looks like, before `tracing-log` makes an event of it.
        let level = Level::from(*metadata.level());
        return decide_event_inside(metadata.target(), level, around).sinks() != 0;
    };
    let is_wanted = |local: &Local| {
        let decision = decision(local, callsite);
        decision.sinks() != 0
            || (decision.is_dynamic()
                && dynamic::is_wanted(local, callsite, decision, around(local).handle))
    };
    local::with_any(is_wanted).unwrap_or(false)
}

/// Which sinks want an event without a callsite, by the spans around it as well.
pub(crate) fn decide_event(target: &str, level: Level) -> Decision {
    decide_event_inside(target, level, |local| local.current.get())
}

/// As [`decide_event`]; `around` finds the span that the event is in.
fn decide_event_inside(
    target: &str,
    level: Level,
    around: impl FnOnce(&Local) -> Current,
) -> Decision {
    router::decide_event(target, level, |epoch, rules| {
        let carried = |local: &Local| slots::carried_around(around(local).handle, epoch, rules);
        local::with(carried).unwrap_or(0)
    })
}

/// Which sinks want a callsite's records, of the pipeline that takes this thread's.
#[inline(always)]
pub(crate) fn decision(local: &Local, callsite: &Callsite) -> Decision {
    if local.mode.get() & mode::SCOPED != 0 {
        return scoped_decision(local, callsite);
    }
    callsite.decision()
}

#[cold]
#[inline(never)]
fn scoped_decision(local: &Local, callsite: &Callsite) -> Decision {
    if local.mode.get() & mode::OWN != 0 || router::is_forked() {
        return Decision::NOBODY;
    }
    match local.takers.scope() {
        Some(scope) => scope.plan().decide(callsite),
        None => callsite.decision(),
    }
}

/// Writes an event's record; counts it when it is lost.
///
/// `lead` writes what stands before the fields, `write` the fields.
#[inline(always)]
pub(crate) fn emit_event(
    local: &Local,
    callsite: &'static Callsite,
    decision: Decision,
    current: Current,
    lead: impl FnOnce(&mut Writer<'_>),
    write: impl FnOnce(&mut Writer<'_>),
) {
    let ticks = clock::ticks();
    if decision.is_limited() && !is_admitted(local, callsite, decision, ticks) {
        return;
    }
    let header = event_header(callsite, decision, current, ticks);
    if let Err(cause) = emit(local, &header, lead, write) {
        lost(local, header, Signal::Log, cause);
    }
    wake_if_urgent(local, decision);
}

/// May one more event of this callsite be recorded? Counts it if not.
#[inline(never)]
pub(crate) fn is_admitted(
    local: &Local,
    callsite: &'static Callsite,
    decision: Decision,
    ticks: u64,
) -> bool {
    let is_admitted = callsite.meter().admits(ticks);
    if !is_admitted {
        suppress(local, callsite, decision, ticks);
    }
    is_admitted
}

#[cold]
#[inline(never)]
fn suppress(local: &Local, callsite: &'static Callsite, decision: Decision, ticks: u64) {
    if local.mode.get() & mode::OWN != 0 {
        local.intake.oddities.own_records.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let (epoch, sinks) = (decision.epoch(), decision.sinks());
    local.intake.lost(epoch, sinks, Signal::Log, Cause::RateLimited);
    if callsite.meter().suppress(ticks, epoch, sinks) {
        callsite.note_noise();
    }
}

#[inline(always)]
fn event_header(callsite: &Callsite, decision: Decision, current: Current, ticks: u64) -> Header {
    Header {
        kind: Kind::Event,
        flags: current.flags as u8,
        epoch: decision.epoch(),
        callsite: callsite.id(),
        sinks: decision.sinks(),
        ticks,
        trace_high: current.trace_high,
        trace_low: current.trace_low,
        span_id: current.span_id,
    }
}

#[inline(always)]
fn wake_if_urgent(local: &Local, decision: Decision) {
    if decision.is_urgent() {
        with_intake(local, |intake| intake.waker.wake());
    }
}

/// Counts a record that found no room. By value: a reference would keep the header in memory on
/// the fast path.
#[cold]
#[inline(never)]
fn lost(local: &Local, header: Header, signal: Signal, cause: Cause) {
    let route = Route::of(local, &header);
    route.intake(local).lost(header.epoch, header.sinks, signal, cause);
}

/// Writes one record into the thread's buffer.
#[inline(always)]
fn emit(
    local: &Local,
    header: &Header,
    lead: impl FnOnce(&mut Writer<'_>),
    write: impl FnOnce(&mut Writer<'_>),
) -> Result<(), Cause> {
    if local.mode.get() != 0 {
        return emit_unusual(local, *header, lead, write);
    }
    local.mode.set(mode::BUSY);
    let unbusy = Unbusy(local);
    let written = local.producer().write(header, |writer| {
        lead(writer);
        write(writer);
    });
    std::mem::forget(unbusy);
    let after = local.mode.replace(0);
    if after != mode::BUSY {
        end_unusual(local, after);
    }
    after_commit(local, &local.intake, header.kind);
    if written { Ok(()) } else { Err(Cause::BufferFull) }
}

/// Tells the worker that there is a record more, and waits where it is to be written through.
#[inline(always)]
fn after_commit(local: &Local, intake: &Intake, kind: Kind) {
    if intake.waker.after_commit() {
        write_through(local, intake, kind);
    }
}

#[cold]
#[inline(never)]
fn write_through(local: &Local, intake: &Intake, kind: Kind) {
    let is_line = matches!(kind, Kind::Event | Kind::SpanClose);
    if is_line && local.mode.get() & (mode::BUSY | mode::OWN) == 0 {
        // An allocator that logs must not come here again.
        local::quietly(|| intake.wait_until_out(kind == Kind::SpanClose));
    }
}

/// Ends the busy state if a panic leaves the writing of a record (none is known to get this far).
struct Unbusy<'a>(&'a Local);

impl Drop for Unbusy<'_> {
    fn drop(&mut self) {
        self.0.mode.set(self.0.mode.get() & !(mode::BUSY | mode::NESTED));
    }
}

/// Writes a record that is a header only, and so calls nobody's code.
#[inline(always)]
fn emit_header(local: &Local, header: &Header) -> Result<(), Cause> {
    if local.mode.get() != 0 {
        return emit_unusual(local, *header, |_| {}, |_| {});
    }
    let written = local.producer().write_header(header);
    after_commit(local, &local.intake, header.kind);
    if written { Ok(()) } else { Err(Cause::BufferFull) }
}

#[cold]
#[inline(never)]
fn emit_unusual(
    local: &Local,
    header: Header,
    lead: impl FnOnce(&mut Writer<'_>),
    write: impl FnOnce(&mut Writer<'_>),
) -> Result<(), Cause> {
    let of_this_record = local.mode.get() & (mode::LATE | mode::REDACTS);
    let before = local.mode.get() & !of_this_record;
    local.mode.set(before);
    let redacted = match of_this_record & mode::REDACTS {
        0 => 0,
        _ => callsite::by_id(header.callsite).map_or(0, Callsite::redacted),
    };
    let write = |writer: &mut Writer<'_>| {
        if redacted != 0 {
            writer.redact(redacted);
        }
        write(writer);
    };
    if of_this_record & mode::LATE != 0 {
        let mut parts = Some((lead, write));
        dynamic::emit_late(local, header, &mut |writer| {
            if let Some((lead, write)) = parts.take() {
                lead(writer);
                write(writer);
            }
        });
        return Ok(());
    }
    if before & mode::OWN != 0 {
        // What our own transport says must not feed itself; sinks never hear of it.
        local.intake.oddities.own_records.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    let write = |writer: &mut Writer<'_>| {
        lead(writer);
        if before & mode::FIELDS != 0 {
            fields::write(local, header.kind, writer);
        }
        write(writer);
    };
    if before & mode::BUSY != 0 {
        return emit_nested(local, &header, before, write);
    }
    let route = Route::of(local, &header);
    local.mode.set(before | mode::BUSY);
    let unbusy = Unbusy(local);
    let written = route.write(local, &header, write);
    std::mem::forget(unbusy);
    end_unusual(local, local.mode.get());
    route.after_commit(local, &header);
    if written { Ok(()) } else { Err(Cause::BufferFull) }
}

/// Sets a record aside that a value's `Debug` emits while another record is being written.
fn emit_nested(
    local: &Local,
    header: &Header,
    before: u32,
    write: impl FnOnce(&mut Writer<'_>),
) -> Result<(), Cause> {
    if before & mode::NESTED != 0 {
        return Err(Cause::Reentrant);
    }
    local.mode.set(before | mode::NESTED);
    let record = Writer::to_vec(header, write);
    local.mode.set(before);
    let Ok(mut side) = local.side.try_borrow_mut() else { return Err(Cause::Reentrant) };
    if side.len() + record.len() > SIDE_BYTES_MAX {
        return Err(Cause::Reentrant);
    }
    side.extend_from_slice(&record);
    local.mode.set(before | mode::SIDE);
    Ok(())
}

/// Ends the writing of a record; `after` is the mode that values' `Debug`s have left behind.
#[cold]
#[inline(never)]
fn end_unusual(local: &Local, after: u32) {
    local.mode.set(after & !(mode::BUSY | mode::NESTED | mode::SIDE));
    if after & mode::SIDE != 0 {
        append_side(local);
    }
}

/// Appends the records that were set aside.
fn append_side(local: &Local) {
    let side = std::mem::take(&mut *local.side.borrow_mut());
    let mut rest = &side[..];
    while let Some(record) = RawRecord::first(rest) {
        rest = &rest[record.bytes().len()..];
        let Some(header) = record.header() else { continue };
        if !Route::of(local, &header).append(local, record.bytes()) {
            lost_nested(local, header);
        }
    }
}

fn lost_nested(local: &Local, header: Header) {
    match header.kind {
        Kind::Event => lost(local, header, Signal::Log, Cause::BufferFull),
        Kind::SpanClose => lost(local, header, Signal::Span, Cause::BufferFull),
        Kind::SpanStart | Kind::SpanRecord | Kind::FollowsFrom | Kind::SpanParent => {}
    }
}

/// The intake that takes this thread's records.
pub(crate) fn with_intake<R>(local: &Local, f: impl FnOnce(&Intake) -> R) -> R {
    if local.mode.get() & mode::SCOPED != 0
        && let Some(scope) = local.takers.scope()
    {
        return f(&scope.intake);
    }
    f(&local.intake)
}

/// The handle of a `tracing` span; `None` when it is not one of ours.
pub(crate) fn handle_of(dispatch: &Dispatch, id: &Id) -> Option<u64> {
    if dispatch.is::<crate::router::Router>() {
        return Some(id.into_u64());
    }
    #[cfg(feature = "layer")]
    return layer::handle_of(dispatch, id);
    #[cfg(not(feature = "layer"))]
    None
}

/// The flags that a span or event inherits from the span it is in.
pub(crate) const INHERITED_FLAGS: u8 = flag::SAMPLED | flag::RANDOM | flag::STATE;
