//! The states of the traces that have one: what `tracestate` said, until the trace is over here.
//!
//! # Invariants
//!
//! - Most traces have none: nothing here is reached for them, because of a flag beside the ids.
//! - An entry has holders: contexts that are carried, and the spans without a parent here, which stay
//!   open until the last span inside is over. The last holder removes it.
//! - At most [`STATES_MAX`] traces; the state of one beyond is not sent on, and that is said.
//! - Two requests of one trace share an entry: the later one's state replaces the earlier one's.

use crate::level::Level;
use crate::propagation::{TraceId, TraceState};
use crate::{diagnostics, router};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many traces with a state are known at once: 32 MiB if all states are as long as can be.
const STATES_MAX: usize = 1 << 14;

#[derive(Debug)]
struct Entry {
    state: TraceState,
    holders: usize,
}

type Shard = BTreeMap<u128, Entry>;

static SHARDS: [Mutex<Shard>; 16] = [const { Mutex::new(BTreeMap::new()) }; 16];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// `None` in a fork's child, where a lock may be held by a thread that is not there.
fn shard(trace_id: TraceId) -> Option<MutexGuard<'static, Shard>> {
    if router::is_forked() {
        return None;
    }
    let shard = &SHARDS[trace_id.get() as usize % SHARDS.len()];
    Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps the state of a trace for one holder; `false` when there is no room.
pub(crate) fn keep(trace_id: TraceId, state: &TraceState) -> bool {
    let Some(mut shard) = shard(trace_id) else { return false };
    if let Some(entry) = shard.get_mut(&trace_id.get()) {
        entry.state = state.clone();
        entry.holders += 1;
        return true;
    }
    // Relaxed: the count is a limit, not a message.
    if COUNT.fetch_add(1, Ordering::Relaxed) >= STATES_MAX {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        drop(shard);
        let text = format!("trace states of more than {STATES_MAX} traces: one is not sent on");
        diagnostics::report("context.trace_state", Level::Warn, text);
        return false;
    }
    shard.insert(trace_id.get(), Entry { state: state.clone(), holders: 1 });
    true
}

/// Adds a holder; `false` when the state is not known.
pub(crate) fn hold(trace_id: TraceId) -> bool {
    let Some(mut shard) = shard(trace_id) else { return false };
    let entry = shard.get_mut(&trace_id.get());
    entry.map(|entry| entry.holders += 1).is_some()
}

/// Gives up a holder.
pub(crate) fn release(trace_id: TraceId) {
    let Some(mut shard) = shard(trace_id) else { return };
    let Some(entry) = shard.get_mut(&trace_id.get()) else { return };
    entry.holders -= 1;
    if entry.holders == 0 {
        shard.remove(&trace_id.get());
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of a trace; empty when it is not known.
pub(crate) fn get(trace_id: TraceId) -> TraceState {
    let shard = shard(trace_id);
    shard
        .and_then(|shard| shard.get(&trace_id.get()).map(|entry| entry.state.clone()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_holder_removes_the_state() {
        let trace_id = TraceId::new(0xA11CE).unwrap();
        let state = TraceState::parse(["a=1"]).unwrap();
        assert!(!hold(trace_id));
        assert!(keep(trace_id, &state) && hold(trace_id));
        release(trace_id);
        assert_eq!(get(trace_id), state);
        release(trace_id);
        assert!(get(trace_id).is_empty());
        release(trace_id);
    }
}
