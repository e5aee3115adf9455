//! Spans that another API opens and ends: by handle, with a beginning and an end of its own.
//!
//! # Invariants
//!
//! - Whoever opens one ends it, once; what is done to it afterwards is counted and ignored.
//! - Directives of fields do not see its fields; those of targets and names hold.

use super::dynamic::{self, NewSpan};
use super::span::{close_at, forget_newest, open_span, stale, update};
use super::{decision, emit_event, slots};
use crate::callsite::Callsite;
use crate::local::{self, Current};
use crate::record::{Kind, Writer};

/// Opens a span that began at `ticks`; `None` when nobody wants it.
pub(crate) fn start(
    callsite: &'static Callsite,
    parent: Current,
    ticks: u64,
    write: impl FnOnce(&mut Writer<'_>),
) -> Option<u64> {
    let open = |local: &local::Local| {
        let decision = decision(local, callsite);
        let span = match decision.sinks() {
            0 if decision.is_dynamic() => dynamic::new_span(local, callsite, parent, |_| {}),
            0 => None,
            _ => Some(NewSpan::plain(decision)),
        };
        let Some(span) = span.map(NewSpan::captured) else { return slots::DISABLED };
        let handle = open_span(local, callsite, parent, span, || ticks, write);
        // The thread that opened it does not enter it.
        forget_newest(local, handle);
        handle
    };
    local::with(open).filter(|handle| *handle != slots::DISABLED)
}

/// Gives a span further fields.
pub(crate) fn record_fields(handle: u64, write: impl FnOnce(&mut Writer<'_>)) {
    update(handle, Kind::SpanRecord, |_, _| {}, |_, writer| write(writer));
}

/// Emits an event in a span.
pub(crate) fn emit_in(
    handle: u64,
    callsite: &'static Callsite,
    write: impl FnOnce(&mut Writer<'_>),
) {
    local::with(|local| {
        let Some(current) = slots::read_current(handle) else { return stale(local, handle) };
        let mut decision = decision(local, callsite);
        if decision.is_dynamic() {
            decision = dynamic::event_without_fields(local, callsite, handle);
        }
        if decision.sinks() != 0 {
            emit_event(local, callsite, decision, current, |_| {}, write);
        }
    });
}

/// Ends a span at `ticks`, as far as its owner is concerned.
pub(crate) fn end(handle: u64, ticks: u64) {
    local::with(|local| close_at(local, handle, || ticks));
}
