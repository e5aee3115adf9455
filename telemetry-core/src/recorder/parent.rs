//! An open span gets another parent, and with it another trace.
//!
//! # Invariants
//!
//! - The caller holds the span open: its slot is its own, and is read by others meanwhile.
//! - One span at a time gets another parent, so that what the one before held is given up once.
//! - The calling thread is in the new trace at once. What was opened inside the span before keeps
//!   the trace that it has; so do threads that are inside, until they enter the span again.
//! - The worker learns of it by a record, in the order of the thread's records.

use super::slots;
use super::span::{adopt, disown, forget_newest, release_parents, stale, update, write_state};
use crate::intake::Intake;
use crate::local::{self, Current, Local};
use crate::observer::{self, Place};
use crate::record::{Kind, flag};
use crate::router;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// Makes a span of another process, or one that is known by its ids only, the parent of an open
/// span; `false` when the span is not open, or would be its own parent.
pub(crate) fn set_parent(handle: u64, parent: &Current) -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if router::is_forked() {
        return false; // the lock may be held by a thread that is not there
    }
    let changed = local::with(|local| {
        let Some(before) = slots::read(handle) else {
            stale(local, handle);
            return None;
        };
        if before.span_id == parent.span_id {
            return None;
        }
        let callsite = crate::callsite::by_id(before.callsite)?;
        // Before the lock: a sampler is the user's code.
        let flags = adopt(parent, callsite);
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        slots::set_parent(handle, parent, flags)
    });
    let Some(before) = changed.flatten() else { return false };
    local::with(|local| {
        forget(local, handle);
        enter_anew(local, handle);
        if before.parent != 0 {
            release_parents(local, before.parent);
        }
    });
    update(
        handle,
        Kind::SpanParent,
        |_, _| {},
        |facts, writer| {
            writer.leading_u64(parent.span_id);
            if facts.flags & flag::STATE != 0 {
                write_state(writer, facts.trace_high, facts.trace_low);
            }
        },
    );
    if before.flags & flag::HOLDS_STATE != 0 {
        disown(before.trace_high, before.trace_low);
    }
    if router::has_rules() {
        router::change_carried_version();
    }
    true
}

/// What threads remember of the span holds no more: of this one mostly, or of the one that opened
/// it, whichever that is.
fn forget(local: &Local, handle: u64) {
    if local.newest_handle().load(Ordering::Relaxed) == handle {
        return forget_newest(local, handle);
    }
    for buffer in Intake::global().buffers() {
        // Relaxed: the thread learns of it as soon as somebody hands the span to it.
        let newest = &buffer.newest_span;
        let _ = newest.compare_exchange(handle, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Lets the thread be in the new trace if it is in the span.
fn enter_anew(local: &Local, handle: u64) {
    let Some(now) = slots::read_current(handle) else { return };
    if local.current.get().handle == handle {
        observer::left(Place::span(handle));
        local.set_current(now);
        observer::entered(Place::span(handle));
    }
    local.stack.change(handle, |entry| *entry = now);
}
