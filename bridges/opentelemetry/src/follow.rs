//! One idea of where a thread is, on both sides: their `Context::current()` and our spans.
//!
//! What we enter is attached there, as a context whose span is ours; what they attach is entered
//! here, as a parent. Both sides say what they do, so nobody has to ask.
//!
//! # Invariants
//!
//! - Whatever was entered or attached last, on whichever side, is current on both.
//! - What one side does because of the other is not told back to it.
//! - Guards may go in any order on both sides. They tell us nothing of a context that is detached
//!   while it is not the current one: it is left here as soon as the current one changes.
//! - A thread that is ending is left alone: their state may be gone before ours.

use crate::convert;
use crate::tracer::Span;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::context::ContextObserver;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, ContextGuard};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use telemetry_core::context::{self, Baggage, Guard, Observer, OpenSpan, Place};

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Are contexts followed?
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Something that a thread is in, on both sides. Its guards leave it when they are dropped.
#[expect(dead_code, reason = "guards are there to be dropped")]
enum Held {
    /// We entered it, and attached it there.
    Ours(Place, ContextGuard),
    /// They attached it, and we entered what is new in it.
    Theirs(Key, Vec<Guard>),
}

/// What of a context of theirs matters here: its span, and where its baggage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    span_id: [u8; 8],
    baggage: usize,
}

impl Key {
    fn of(context: &Context) -> Self {
        Self {
            span_id: context.span().span_context().span_id().to_bytes(),
            baggage: std::ptr::from_ref(context.baggage()).addr(),
        }
    }
}

/// The places of a thread, the innermost last.
struct Places(Vec<Held>);

impl Drop for Places {
    fn drop(&mut self) {
        // The other side's state may be gone by now, and a guard would ask for it.
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

thread_local! {
    static PLACES: RefCell<Places> = const { RefCell::new(Places(Vec::new())) };
    /// Is this side acting because of the other one?
    static IS_ACTING: Cell<bool> = const { Cell::new(false) };
    /// Was their state asked for before ours, so that ours is gone first at the thread's end?
    static IS_READY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` unless it would be because of itself; nothing that it does is told back.
fn act(f: impl FnOnce()) {
    if IS_ACTING.replace(true) {
        return;
    }
    // Their state refuses, by a panic, what would change it while somebody reads it.
    let _ = catch_unwind(AssertUnwindSafe(f));
    IS_ACTING.set(false);
}

/// Lets `f` change the thread's places; `None` when the thread is ending.
fn with_places<R>(f: impl FnOnce(&mut Vec<Held>) -> R) -> Option<R> {
    let changed = PLACES.try_with(|places| Some(f(&mut places.try_borrow_mut().ok()?.0)));
    changed.ok().flatten()
}

fn push(held: Held) {
    let mut held = Some(held);
    with_places(|places| places.extend(held.take()));
    // Where it found no room it is left at once, outside of the borrow.
    drop(held);
}

/// Leaves what they have detached without a word, now that this is their current context.
fn settle(now: Key) {
    let is_gone = |held: &mut Held| matches!(held, Held::Theirs(key, ..) if *key != now);
    while let Some(gone) = with_places(|places| places.pop_if(is_gone)).flatten() {
        drop(gone);
    }
}

/// Is told what we enter.
pub(crate) struct OfOurs {
    scope: Arc<str>,
}

impl OfOurs {
    pub(crate) fn new() -> Self {
        Self { scope: "opentelemetry".into() }
    }

    /// Their current context with what we have entered; `None` when nothing is new to them.
    fn context(&self, place: Place) -> Option<Context> {
        if !place.is_span() {
            let baggage = context::baggage();
            return Context::map_current(|now| {
                (convert::baggage(now.baggage()) != baggage)
                    .then(|| now.with_baggage(convert::to_their_baggage(&baggage)))
            });
        }
        match (OpenSpan::current(), context::current()) {
            (Some(handle), _) => {
                Some(Context::current_with_span(Span::of(Arc::clone(&self.scope), handle)))
            }
            (None, Some(span)) => {
                let span = convert::to_their_span(&span);
                Some(Context::map_current(|now| now.with_remote_span_context(span)))
            }
            // A span that is none: there is no context without the one that it has.
            (None, None) => Some(Context::map_current(|now| {
                now.with_remote_span_context(opentelemetry::trace::SpanContext::NONE)
            })),
        }
    }
}

impl Observer for OfOurs {
    fn entered(&self, place: Place) {
        act(|| {
            if !IS_READY.replace(true) {
                Context::map_current(|_| ());
            }
            // Not at the thread's end, where nothing could leave it again.
            if with_places(|_| ()).is_some()
                && let Some(context) = self.context(place)
            {
                push(Held::Ours(place, context.attach()));
            }
        });
    }

    fn left(&self, place: Place) {
        act(|| {
            let taken = with_places(|places| {
                let is_it = |held: &Held| matches!(held, Held::Ours(it, _) if *it == place);
                places.iter().rposition(is_it).map(|at| places.remove(at))
            });
            if let Some(Some(held)) = taken {
                drop(held);
                settle(Context::map_current(Key::of));
            }
        });
    }
}

/// Is told what they attach. It must not ask for their current context: it is changing just now.
pub(crate) struct OfTheirs;

impl ContextObserver for OfTheirs {
    fn on_context_enter(&self, from: &Context, to: &Context) {
        act(|| {
            IS_READY.set(true);
            let (before, now) = (Key::of(from), Key::of(to));
            if before == now || with_places(|_| ()).is_none() {
                return;
            }
            let span = (before.span_id != now.span_id).then(|| {
                match convert::span(to.span().span_context()) {
                    Some(span) => span.enter(),
                    None => context::outside(),
                }
            });
            let baggage = (before.baggage != now.baggage)
                .then(|| context::with_baggage(convert::baggage(to.baggage())));
            push(Held::Theirs(now, [span, baggage].into_iter().flatten().collect()));
        });
    }

    fn on_context_exit(&self, _: &Context, to: &Context) {
        act(|| settle(Key::of(to)));
    }
}

/// Begins to follow, if it has not begun; `false` when another library follows one of the sides.
pub(crate) fn begin() -> bool {
    static BEGUN: OnceLock<bool> = OnceLock::new();
    *BEGUN.get_or_init(begin_once)
}

fn begin_once() -> bool {
    if !context::set_observer(OfOurs::new()) {
        return false;
    }
    opentelemetry::context::GlobalContextObserver::set(Arc::new(OfTheirs));
    // Whether they took it they do not tell: it shows.
    let before = context::baggage();
    let mark = Baggage::parse(["telemetry-opentelemetry=1"]);
    let guard = Context::current_with_baggage(convert::to_their_baggage(&mark)).attach();
    let is_heard = context::baggage() == mark;
    drop(guard);
    IS_ON.store(is_heard, Ordering::Relaxed);
    is_heard && context::baggage() == before
}
