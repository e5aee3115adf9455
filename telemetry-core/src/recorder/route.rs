//! Where a record goes: to whoever decided about it.
//!
//! Everything here is cold: a thread that only the attached pipeline listens to, and a span that
//! was not opened in a capture, never come here.
//!
//! # Invariants
//!
//! - An event, and the start of a span, go to the thread's innermost taker of their epoch.
//! - What becomes of a span goes where its start went, from whichever thread it comes.
//! - A capture that is gone, or a fork's parent's, gets nothing, and nobody else gets it instead.

use super::{after_commit, slots};
use crate::batch::SPAN_DEPTH_MAX;
use crate::chunk::Producer;
use crate::clock;
use crate::intake::Intake;
use crate::local::{self, Local};
use crate::plan::Scope;
use crate::record::{Header, Kind, Writer, flag};
use crate::router;
use crate::sync::lock_std as lock;
use crate::takers::Taker;
use crate::tape::{self, Tape};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

/// The captures of the spans that were opened in one, by span id, until the spans are over.
static OWNERS: LazyLock<Mutex<HashMap<u64, Weak<Scope>>>> = LazyLock::new(Mutex::default);

/// Notes that a span is a capture's.
pub(super) fn own(local: &Local, span_id: u64) {
    let Some(scope) = local.takers.scope() else { return };
    let Some(tape) = &scope.tape else { return };
    // An allocator that logs must not come here again while the locks are held.
    local::quietly(|| {
        tape.meet(span_id);
        lock(&OWNERS).insert(span_id, Arc::downgrade(&scope));
    });
}

/// Forgets whose a span was.
pub(super) fn disown(span_id: u64) {
    if router::is_forked() {
        return;
    }
    local::quietly(|| {
        let owner = lock(&OWNERS).remove(&span_id).and_then(|scope| scope.upgrade());
        if let Some(tape) = owner.as_ref().and_then(|scope| scope.tape.as_ref()) {
            tape.part(span_id);
        }
    });
}

fn owner(span_id: u64) -> Option<Arc<Scope>> {
    if router::is_forked() {
        return None;
    }
    lock(&OWNERS).get(&span_id).and_then(Weak::upgrade)
}

/// Where a record goes.
#[derive(Debug)]
pub(super) enum Route {
    /// Into the thread's own buffer, which the attached pipeline's worker reads.
    Attached,
    Taken(Taker),
    /// Whoever wanted it is gone.
    Nowhere,
}

impl Route {
    pub(super) fn of(local: &Local, header: &Header) -> Self {
        let is_captured = header.epoch == tape::EPOCH;
        if is_captured && !matches!(header.kind, Kind::Event | Kind::SpanStart) {
            return match owner(header.span_id) {
                Some(scope) => Self::Taken(Taker { scope, producer: None }),
                None => Self::Nowhere,
            };
        }
        match local.takers.of_epoch(header.epoch) {
            Some(taker) => Self::Taken(taker),
            None if is_captured => Self::Nowhere,
            None => Self::Attached,
        }
    }

    /// Writes the record; `false` when it found no room.
    pub(super) fn write(
        &self,
        local: &Local,
        header: &Header,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> bool {
        match self.end(local) {
            End::Buffer(producer) => producer.write(header, write),
            End::Tape(tape) => {
                if matches!(header.kind, Kind::Event | Kind::SpanStart) {
                    introduce(local, tape, header);
                }
                let record = Writer::to_vec(header, write);
                !record.is_empty() && tape.push(&record)
            }
            End::Nowhere => true,
        }
    }

    /// Copies a finished record; `false` when it found no room.
    pub(super) fn append(&self, local: &Local, record: &[u8]) -> bool {
        match self.end(local) {
            End::Buffer(producer) => producer.append(record),
            // As above: the record before it is written, so nothing else stops a nested one.
            End::Tape(tape) => local::quietly(|| tape.push(record)),
            End::Nowhere => true,
        }
    }

    fn end<'a>(&'a self, local: &'a Local) -> End<'a> {
        match self {
            Self::Attached => End::Buffer(local.producer()),
            Self::Taken(Taker { producer: Some(producer), .. }) => End::Buffer(producer),
            Self::Taken(Taker { scope, producer: None }) => {
                scope.tape.as_ref().map_or(End::Nowhere, End::Tape)
            }
            Self::Nowhere => End::Nowhere,
        }
    }

    /// Tells whoever reads that there is a record more.
    pub(super) fn after_commit(&self, local: &Local, header: &Header) {
        match self {
            Self::Attached => after_commit(local, &local.intake, header.kind),
            Self::Taken(Taker { scope, producer: Some(_) }) => {
                after_commit(local, &scope.intake, header.kind);
            }
            Self::Taken(Taker { scope, producer: None }) => {
                if let Some(tape) = &scope.tape {
                    tape.after_record(header.kind, header.sinks);
                }
            }
            Self::Nowhere => {}
        }
    }

    /// The intake in which what is lost on this way is counted.
    pub(super) fn intake<'a>(&'a self, local: &'a Local) -> &'a Intake {
        match self {
            Self::Taken(taker) => &taker.scope.intake,
            Self::Attached | Self::Nowhere => &local.intake,
        }
    }
}

/// What a route ends in.
enum End<'a> {
    Buffer(&'a Producer),
    Tape(&'a Tape),
    Nowhere,
}

/// Puts starts of the spans around a record on the tape that were opened outside of the capture,
/// so that it can name them. Their fields are not known any more.
fn introduce(local: &Local, tape: &Tape, header: &Header) {
    let around = [local.current.get(), local.newest.get()];
    let around = around.iter().find(|current| current.span_id == header.span_id);
    let Some(mut handle) = around.map(|current| current.handle) else { return };
    let mut unknown = Vec::new();
    while handle != 0 && unknown.len() < SPAN_DEPTH_MAX {
        let Some(facts) = slots::read(handle) else { break };
        // A span that nobody wants has the ids of the one around it.
        let is_shown = facts.sinks != 0;
        let is_itself = facts.span_id == header.span_id && header.kind == Kind::SpanStart;
        if is_shown && !is_itself && !tape.meet(facts.span_id) {
            break;
        }
        if is_shown && !is_itself {
            unknown.push(facts);
        }
        handle = facts.parent;
    }
    for facts in unknown.iter().rev() {
        let parent_id = slots::read(facts.parent).map_or(0, |parent| parent.span_id);
        let start = Header {
            kind: Kind::SpanStart,
            flags: facts.flags & !flag::STATE, // which is not told here
            epoch: tape::EPOCH,
            callsite: facts.callsite,
            sinks: 0, // it is nobody's to report
            ticks: clock::ticks(),
            trace_high: facts.trace_high,
            trace_low: facts.trace_low,
            span_id: facts.span_id,
        };
        tape.push(&Writer::to_vec(&start, |writer| writer.leading_u64(parent_id)));
    }
}
