//! Records that spans and fields decide about, and those with fields that are redacted.
//!
//! Everything here stands behind a branch that a callsite without redacted fields, which no
//! directive of spans or fields can touch, never takes: its decision has sinks, or is not
//! `dynamic`.
//!
//! # Invariants
//!
//! - No lock that another thread holds is waited for, except the first time a thread meets a new
//!   plan: it then copies the rules. Its copy is its own, the patterns' scratch memory included.
//! - One plan decides about a record, whatever is attached meanwhile: what a callsite remembers is
//!   used only if it is that plan's.
//! - A `Debug` that logs finds `Local::holding` set: for what it logs, no `Debug` is called.

use super::slots::{self, Shown};
use super::{decision, emit, emit_event, is_admitted, log_record, lost};
use crate::callsite::{Callsite, Decision, Verdict};
use crate::filter::FieldValue;
use crate::ledger::Signal;
use crate::local::{Around, Current, Known, Local, mode};
use crate::plan::Plan;
use crate::record::{Header, RawField, RawKey, Value, Writer};
use crate::router;
use crate::rules::{Carried, Holder, Rules};
use crate::tape;
use tracing_core::span::Record;

/// What decides about a record of this thread.
struct Judge<'a> {
    plan: &'a Plan,
    rules: Option<&'a Rules>,
    /// What the plan says of the record's callsite.
    verdict: Verdict,
    /// What is found out of the spans around holds as long as this is `router::carried_version`;
    /// `None` = it is not kept.
    version: Option<u64>,
}

/// Calls `f` with the plan that decides about this thread's records, and what it says of a
/// callsite; `None` where there is none (any more).
fn judged<R>(local: &Local, callsite: &Callsite, f: impl FnOnce(&Judge<'_>) -> R) -> Option<R> {
    if local.mode.get() & mode::SCOPED != 0
        && let Some(scope) = local.takers.scope()
    {
        let plan = scope.plan();
        let (rules, verdict) = (plan.rules.as_ref(), plan.judge(callsite));
        return Some(f(&Judge { plan: &plan, rules, verdict, version: None }));
    }
    // The version first: if it is that of the latest plan, so is the plan.
    let version = router::carried_version();
    let number = router::plan_number();
    let is_current =
        |known: &Option<Known>| known.as_ref().map_or(0, |known| known.plan.number) == number;
    if !is_current(&*local.known.try_borrow().ok()?) {
        let known = router::attached_plan();
        // Inside a user's `Debug` the one before is in use: it decides once more.
        if let Ok(mut place) = local.known.try_borrow_mut() {
            *place = known;
        }
    }
    let known = local.known.try_borrow().ok()?;
    let Known { plan, rules } = known.as_ref()?;
    let verdict = callsite.verdict(plan.number).unwrap_or_else(|| plan.judge(callsite));
    let version = (plan.number == number).then_some(version);
    Some(f(&Judge { plan, rules: rules.as_ref(), verdict, version }))
}

impl Judge<'_> {
    /// Which sinks want an event, by the spans around it and by what it carries itself.
    fn event_sinks(&self, local: &Local, callsite: &Callsite, handle: u64, own: u64) -> u32 {
        let Some(rules) = self.rules else { return self.verdict.static_sinks };
        let around = self.around(local, handle, rules);
        rules.decide(callsite.level(), self.verdict.static_sinks, around, own, false)
    }

    /// The directives that a span and the spans around it carry.
    fn around(&self, local: &Local, handle: u64, rules: &Rules) -> u64 {
        let last = local.around.get();
        if last.handle == handle && Some(last.version) == self.version {
            return last.directives;
        }
        let directives = slots::carried_around(handle, self.plan.epoch, rules);
        if let Some(version) = self.version {
            local.around.set(Around { handle, version, directives });
        }
        directives
    }

    /// Lets `visit` hold a record's fields; returns what it carries.
    fn held(
        &self,
        local: &Local,
        before: Option<Carried>,
        visit: impl FnOnce(&mut Holder<'_>),
    ) -> Carried {
        let (Some(rules), 1..) = (self.rules, self.verdict.candidates) else {
            return Carried::default();
        };
        let is_nested = local.holding.replace(true);
        let before = before.unwrap_or_default();
        let mut holder = rules.holder(self.verdict.candidates, before, !is_nested);
        visit(&mut holder);
        local.holding.set(is_nested);
        holder.carried()
    }

    fn decision(&self, callsite: &Callsite, sinks: u32) -> Decision {
        let decision = Decision::of(self.plan.epoch, sinks, callsite.level());
        decision.limited(self.verdict.decision.is_limited())
    }
}

/// Is a record wanted, as far as one can tell without its fields?
#[inline]
pub(super) fn is_wanted(
    local: &Local,
    callsite: &Callsite,
    decision: Decision,
    handle: u64,
) -> bool {
    if decision.is_certain() {
        return true;
    }
    let last = local.around.get();
    let is_last = last.handle == handle
        && last.version == router::carried_version()
        && local.mode.get() & mode::SCOPED == 0;
    if is_last && last.directives == 0 && !decision.asks_fields() {
        // As mostly: no directive of spans applies here.
        return decision.is_wanted_otherwise();
    }
    is_wanted_here(local, callsite, handle)
}

#[inline(never)]
fn is_wanted_here(local: &Local, callsite: &Callsite, handle: u64) -> bool {
    judged(local, callsite, |judge| {
        let Some(rules) = judge.rules else { return judge.verdict.static_sinks != 0 };
        if judge.verdict.candidates != 0 {
            return true;
        }
        let around = judge.around(local, handle, rules);
        let (level, is_span) = (callsite.level(), callsite.is_span());
        rules.decide(level, judge.verdict.static_sinks, around, 0, is_span) != 0
    })
    .unwrap_or(false)
}

/// Records an event of `tracing`, if it is wanted.
#[cold]
#[inline(never)]
pub(super) fn tracing_event(
    local: &Local,
    callsite: &'static Callsite,
    event: &tracing_core::Event<'_>,
    current: impl FnOnce(&Local) -> Current,
) {
    if !decision(local, callsite).is_dynamic() {
        return;
    }
    if callsite.is_log_record() {
        return log_record::event(local, callsite, event, current);
    }
    let current = current(local);
    let decided = judged(local, callsite, |judge| {
        let own = judge.held(local, None, |holder| event.record(holder));
        let sinks = judge.event_sinks(local, callsite, current.handle, own.directives);
        judge.decision(callsite, sinks)
    });
    if let Some(decision) = decided.filter(|decision| decision.sinks() != 0) {
        local.last_callsite.set(callsite.id());
        let lead = |writer: &mut Writer<'_>| writer.redact(callsite.redacted());
        emit_event(local, callsite, decision, current, lead, |writer| event.record(writer));
    }
}

/// Decides about an event in a span, without a look at its fields.
#[cold]
#[inline(never)]
pub(super) fn event_without_fields(local: &Local, callsite: &Callsite, handle: u64) -> Decision {
    let decided = judged(local, callsite, |judge| {
        judge.decision(callsite, judge.event_sinks(local, callsite, handle, 0))
    });
    decided.unwrap_or(Decision::NOBODY)
}

/// Decides about an event of our own macro.
///
/// Its values can be asked for once only: where they decide, it is written and decided about then
/// ([`mode::LATE`], [`emit_late`]).
#[cold]
#[inline(never)]
pub(crate) fn own_event(local: &Local, callsite: &Callsite, decision: Decision) -> Decision {
    if !decision.is_dynamic() {
        return Decision::NOBODY;
    }
    let decided = judged(local, callsite, |judge| {
        if judge.verdict.candidates != 0 {
            local.mode.set(local.mode.get() | mode::LATE);
            return judge.verdict.decision.unlimited();
        }
        let sinks = judge.event_sinks(local, callsite, local.current.get().handle, 0);
        judge.decision(callsite, sinks)
    });
    let decided = decided.unwrap_or(Decision::NOBODY);
    if callsite.redacted() != 0 && !decided.is_nobody() {
        local.mode.set(local.mode.get() | mode::REDACTS);
    }
    decided
}

/// Decides about an event whose own fields have no say, inside a span.
pub(crate) fn of_place(local: &Local, place: &Callsite, handle: u64) -> Decision {
    let decision = decision(local, place);
    if decision.sinks() != 0 || !decision.is_dynamic() {
        return decision;
    }
    let decided = judged(local, place, |judge| {
        let sinks = judge.event_sinks(local, place, handle, 0);
        judge.decision(place, sinks)
    });
    decided.unwrap_or(Decision::NOBODY)
}

/// Writes a record, and takes it back if its fields say that nobody wants it.
#[cold]
#[inline(never)]
pub(super) fn emit_late(local: &Local, header: Header, write: &mut dyn FnMut(&mut Writer<'_>)) {
    let Some(callsite) = crate::callsite::by_id(header.callsite) else { return };
    let current = local.current.get();
    let mut sinks = 0;
    let written = emit(
        local,
        &header,
        |_| {},
        |writer| {
            write(writer);
            let decided = judged(local, callsite, |judge| {
                let own = judge.held(local, None, |holder| {
                    writer.fields().for_each(|field| hold(holder, callsite, &field));
                });
                let sinks = judge.event_sinks(local, callsite, current.handle, own.directives);
                judge.decision(callsite, sinks)
            });
            let decided = decided.unwrap_or(Decision::NOBODY);
            let is_admitted =
                !decided.is_limited() || is_admitted(local, callsite, decided, header.ticks);
            sinks = if is_admitted { decided.sinks() } else { 0 };
            writer.decide(sinks);
        },
    );
    if let Err(cause) = written
        && sinks != 0
    {
        lost(local, Header { sinks, ..header }, Signal::Log, cause);
    }
    super::wake_if_urgent(local, Decision::of(header.epoch, sinks, callsite.level()));
}

fn hold(holder: &mut Holder<'_>, callsite: &Callsite, field: &RawField<'_>) {
    let name = match field.key {
        RawKey::Index(index) => callsite.fields().get(usize::from(index)).map(String::as_str),
        RawKey::Inline(name) => Some(name),
    };
    let Some(name) = name else { return };
    let value = match field.value {
        Value::I64(value) => FieldValue::Integer(value.into()),
        Value::U64(value) => FieldValue::Integer(value.into()),
        Value::I128(value) => FieldValue::Integer(value),
        Value::U128(value) => FieldValue::from(value),
        Value::F64(value) => FieldValue::Float(value),
        Value::Bool(value) => FieldValue::Bool(value),
        Value::Str(text) | Value::Formatted(text) => FieldValue::Text(text),
        Value::Bytes(_) => return,
        Value::Error(mut chain) => FieldValue::Text(chain.next().unwrap_or_default()),
    };
    holder.hold(name, value);
}

/// What becomes of a new span.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewSpan {
    pub(super) decision: Decision,
    pub(super) carried: Carried,
    /// That of the pipeline; a decision that nobody wants it has none.
    pub(super) epoch: u8,
    /// The number of the plan that says what it carries; 0 = nothing can touch it.
    pub(super) plan: u32,
    /// Opened in a capture.
    is_captured: bool,
}

impl NewSpan {
    /// A span that no directive of spans or fields can touch.
    #[inline(always)]
    pub(super) fn plain(decision: Decision) -> Self {
        let carried = Carried { directives: 0, tests: 0 };
        Self { decision, carried, epoch: decision.epoch(), plan: 0, is_captured: false }
    }

    /// The span with the mark of a capture's, if a capture has decided.
    pub(super) fn captured(self) -> Self {
        Self { is_captured: self.decision.epoch() == tape::EPOCH, ..self }
    }

    #[inline(always)]
    pub(super) fn shown(&self) -> Shown {
        match self.plan == 0 || self.decision.sinks() != 0 {
            true if self.is_captured => Shown::Captured,
            true => Shown::Yes,
            false => Shown::No,
        }
    }
}

/// Decides about a new span, whose fields `visit` lets be held; `None` = it is not even there.
///
/// A span that rules could have touched is there whoever wants it.
#[inline(never)]
pub(super) fn new_span(
    local: &Local,
    callsite: &Callsite,
    parent: Current,
    visit: impl FnOnce(&mut Holder<'_>),
) -> Option<NewSpan> {
    let decided = judged(local, callsite, |judge| {
        let static_sinks = judge.verdict.static_sinks;
        let Some(rules) = judge.rules else {
            return NewSpan::plain(judge.decision(callsite, static_sinks));
        };
        let around = judge.around(local, parent.handle, rules);
        let carried = judge.held(local, None, visit);
        let level = callsite.level();
        let sinks = rules.decide(level, static_sinks, around, carried.directives, true);
        let decision = judge.decision(callsite, sinks);
        let (epoch, plan) = (judge.plan.epoch, judge.plan.number);
        NewSpan { decision, carried, epoch, plan, is_captured: false }
    });
    decided.filter(|span| span.plan != 0 || span.decision.sinks() != 0)
}

/// Looks again at what a span carries: fields were recorded.
#[cold]
#[inline(never)]
pub(super) fn record(local: &Local, handle: u64, facts: &slots::SpanFacts, values: &Record<'_>) {
    let Some(callsite) = crate::callsite::by_id(facts.callsite) else { return };
    if !decision(local, callsite).is_dynamic() {
        return;
    }
    judged(local, callsite, |judge| {
        let (plan, Some(rules)) = (judge.plan, judge.rules) else { return };
        if judge.verdict.candidates == 0 || plan.epoch != facts.epoch {
            return;
        }
        let Some(before) = slots::carried(handle, plan.epoch, rules) else { return };
        let now = judge.held(local, Some(before), |holder| values.record(holder));
        if now != before {
            slots::set_carried(handle, before, now, plan.number);
            router::change_carried_version();
        }
    });
}
