//! What every subject is asked to do, and the content that makes their records equal.
//!
//! # Invariants
//!
//! - One event is a message and four fields (u64, f64, &str, bool) inside one span of two fields.
//! - `hot_loop` is never inlined and is called for nothing else: callgrind counts only what is
//!   inside it.

use std::hint::black_box;

use tracing::{Span, debug, info, info_span, instrument};

/// The filter every subject gets: `DisabledLevel` is below it, `DisabledTarget` is switched off by
/// it.
pub(crate) const FILTER: &str = "info,benchmarks::off=off";
/// The target that `FILTER` switches off.
pub(crate) const TARGET_OFF: &str = "benchmarks::off";
/// What every event says; the macros need it as a literal.
pub(crate) const MESSAGE: &str = "request handled";
/// The string field of every event.
pub(crate) const PEER: &str = "10.0.0.7:443";
/// The name of every span.
pub(crate) const SPAN: &str = "request";
/// The string field of every span.
pub(crate) const USER: &str = "ada";

/// One thing a subject can be asked to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// An info event with four fields, inside a span.
    Event,
    /// The same, through a subject's own macro instead of tracing's.
    EventMacro,
    /// A call of an instrumented function with two arguments, with an info event of three `?`
    /// fields in it: what a handler in a service looks like.
    Instrumented,
    /// A debug event, where the level is info.
    DisabledLevel,
    /// An info event of a target that a directive switched off.
    DisabledTarget,
    /// A span with two fields: new, enter, exit, close.
    Span,
    /// Ten spans inside each other.
    SpanTree,
}

impl Op {
    const ALL: [(Op, &str); 7] = [
        (Op::Event, "event"),
        (Op::EventMacro, "event_macro"),
        (Op::Instrumented, "instrumented"),
        (Op::DisabledLevel, "disabled_level"),
        (Op::DisabledTarget, "disabled_target"),
        (Op::Span, "span"),
        (Op::SpanTree, "span_tree"),
    ];

    /// The word for it between parent and child.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, word)| word)
    }

    /// Finds an operation by its word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(op, _)| *op)
    }

    /// How many records one operation writes.
    pub(crate) fn records(self) -> u64 {
        match self {
            Op::DisabledLevel | Op::DisabledTarget => 0,
            Op::SpanTree => 10,
            Op::Event | Op::EventMacro | Op::Instrumented | Op::Span => 1,
        }
    }

    /// Whether its records are events.
    pub(crate) fn is_event(self) -> bool {
        matches!(self, Op::Event | Op::EventMacro | Op::Instrumented)
    }
}

/// Repeats `body` for 0 to `ops` - 1.
#[inline(never)]
pub(crate) fn hot_loop<F: FnMut(u64)>(ops: u64, mut body: F) {
    for i in 0..ops {
        body(black_box(i));
    }
}

/// The ratio field of event `i`: a number with digits to print.
#[inline(always)]
pub(crate) fn ratio(i: u64) -> f64 {
    i as f64 * 0.37
}

/// Repeats `op` with tracing's macros, for whatever subscriber is installed.
pub(crate) fn tracing_emit(op: Op, ops: u64) {
    match op {
        Op::Event | Op::EventMacro => {
            let span = info_span!("request", request_id = 7_u64, user = USER);
            let _inside = span.enter();
            hot_loop(ops, |i| {
                info!(count = i, ratio = ratio(i), peer = PEER, ok = true, "request handled")
            });
        }
        Op::Instrumented => hot_loop(ops, |i| handle(i, USER)),
        Op::DisabledLevel => hot_loop(ops, |i| {
            debug!(count = i, ratio = ratio(i), peer = PEER, ok = true, "request handled");
        }),
        Op::DisabledTarget => hot_loop(ops, |i| {
            info!(
                target: TARGET_OFF, count = i, ratio = ratio(i), peer = PEER, ok = true,
                "request handled"
            );
        }),
        Op::Span => hot_loop(ops, |i| {
            let span = info_span!("request", request_id = i, user = USER);
            drop(span.enter());
        }),
        Op::SpanTree => hot_loop(ops, |i| tracing_tree(i, 10)),
    }
}

#[instrument(name = "request")]
fn handle(request_id: u64, user: &str) {
    let (peer, parts, last) = ((PEER, 443), [1_u8, 2, 3], Some(request_id));
    info!(?peer, ?parts, ?last, "request handled");
}

fn tracing_tree(i: u64, depth: u32) {
    if depth > 0 {
        let span = info_span!("request", request_id = i, user = USER);
        let _inside = span.enter();
        tracing_tree(i, depth - 1);
    }
}

/// Makes one live span with two fields.
pub(crate) fn tracing_span(i: u64) -> Span {
    info_span!("request", request_id = i, user = USER)
}
