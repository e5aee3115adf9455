//! Records that spans and fields decide about, and those with fields that are redacted.
//!
//! Everything here stands behind a branch that a callsite without redacted fields, which no
//! directive of spans or fields can touch, never takes: its decision has sinks, or is not
//! `dynamic`.
//!
//! # Invariants
//!
//! - No lock that another thread holds is waited for, except the first time a thread meets new
//!   rules: it then copies them. Its copy is its own, the patterns' scratch memory included.
//! - A `Debug` that logs finds `Local::holding` set: for what it logs, no `Debug` is called.

use super::slots::{self, Shown};
use super::{decision, emit, emit_event, lost};
use crate::callsite::{Callsite, Decision, Verdict};
use crate::filter::FieldValue;
use crate::ledger::Signal;
use crate::local::{Around, Current, Local, mode};
use crate::record::{Header, RawField, RawKey, Value, Writer};
use crate::router;
use crate::rules::{Carried, Holder, Rules};
use crate::tape;
use tracing_core::span::{Attributes, Record};

/// Calls `f` with the rules that decide about this thread's records, and what they say of a
/// callsite; `None` where there are none (any more).
fn with_rules<R>(
    local: &Local,
    callsite: &Callsite,
    f: impl FnOnce(&Rules, Verdict) -> R,
) -> Option<R> {
    if local.mode.get() & mode::SCOPED != 0
        && let Some(scope) = local.takers.scope()
    {
        let rules = scope.plan.rules.as_ref()?;
        return Some(f(rules, scope.plan.judge(callsite)));
    }
    let generation = router::rules_generation();
    if generation == 0 {
        return None; // without the lock behind which they would be
    }
    let is_current = |rules: &Option<Rules>| {
        rules.as_ref().is_some_and(|rules| u32::from(rules.generation) == generation)
    };
    if !is_current(&*local.rules.try_borrow().ok()?) {
        let rules = router::attached_rules();
        // Inside a user's `Debug` the ones before are in use: they decide once more.
        if let Ok(mut place) = local.rules.try_borrow_mut() {
            *place = rules;
        }
    }
    let rules = local.rules.try_borrow().ok()?;
    Some(f(rules.as_ref()?, callsite.verdict()))
}

/// What targets and levels say, where there are no rules: fields of the callsite are redacted.
fn without_rules(local: &Local, callsite: &Callsite) -> Decision {
    let scope = match local.mode.get() & mode::SCOPED {
        0 => None,
        _ => local.takers.scope(),
    };
    let verdict = scope.map_or_else(|| callsite.verdict(), |scope| scope.plan.judge(callsite));
    Decision::of(verdict.decision.epoch(), verdict.static_sinks, callsite.level())
}

/// The directives that a span and the spans around it carry.
fn around(local: &Local, handle: u64, rules: &Rules) -> u64 {
    if local.mode.get() & mode::SCOPED != 0 {
        return slots::carried_around(handle, rules.generation);
    }
    let version = router::carried_version();
    let last = local.around.get();
    if last.handle == handle && last.version == version {
        return last.directives;
    }
    let directives = slots::carried_around(handle, rules.generation);
    local.around.set(Around { handle, version, directives });
    directives
}

/// Lets `visit` hold a record's fields; returns what it carries.
fn held(
    local: &Local,
    rules: &Rules,
    candidates: u64,
    before: Option<Carried>,
    visit: impl FnOnce(&mut Holder<'_>),
) -> Carried {
    if candidates == 0 {
        return Carried::default();
    }
    let is_nested = local.holding.replace(true);
    let mut holder = rules.holder(candidates, before.unwrap_or_default(), !is_nested);
    visit(&mut holder);
    local.holding.set(is_nested);
    holder.carried()
}

/// Is a record wanted, as far as one can tell without its fields?
#[inline]
pub(super) fn is_wanted(local: &Local, callsite: &Callsite, handle: u64) -> bool {
    let last = local.around.get();
    let is_last = last.handle == handle
        && last.version == router::carried_version()
        && local.mode.get() & mode::SCOPED == 0;
    let verdict = callsite.verdict();
    if is_last && last.directives == 0 && verdict.candidates == 0 {
        // As mostly: no directive of spans applies here.
        return verdict.static_sinks != 0;
    }
    is_wanted_here(local, callsite, handle)
}

#[inline(never)]
fn is_wanted_here(local: &Local, callsite: &Callsite, handle: u64) -> bool {
    with_rules(local, callsite, |rules, verdict| {
        if verdict.candidates != 0 {
            return true;
        }
        let around = around(local, handle, rules);
        let (level, is_span) = (callsite.level(), callsite.is_span());
        rules.decide(level, verdict.static_sinks, around, 0, is_span) != 0
    })
    .unwrap_or_else(|| without_rules(local, callsite).sinks() != 0)
}

/// Records an event of `tracing`, if it is wanted.
#[cold]
#[inline(never)]
pub(super) fn tracing_event(
    local: &Local,
    callsite: &Callsite,
    event: &tracing_core::Event<'_>,
    current: impl FnOnce(&Local) -> Current,
) {
    if !decision(local, callsite).is_dynamic() {
        return;
    }
    let current = current(local);
    let decided = with_rules(local, callsite, |rules, verdict| {
        let around = around(local, current.handle, rules);
        let own = held(local, rules, verdict.candidates, None, |holder| event.record(holder));
        let level = callsite.level();
        let sinks = rules.decide(level, verdict.static_sinks, around, own.directives, false);
        Decision::of(verdict.decision.epoch(), sinks, level)
    });
    let decision = decided.unwrap_or_else(|| without_rules(local, callsite));
    if decision.sinks() != 0 {
        local.last_callsite.set(callsite.id());
        let lead = |writer: &mut Writer<'_>| writer.redact(callsite.redacted());
        emit_event(local, callsite, decision, current, lead, |writer| event.record(writer));
    }
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
    let decided = with_rules(local, callsite, |rules, verdict| {
        if verdict.candidates != 0 {
            local.mode.set(local.mode.get() | mode::LATE);
            return verdict.decision;
        }
        let around = around(local, local.current.get().handle, rules);
        let level = callsite.level();
        let sinks = rules.decide(level, verdict.static_sinks, around, 0, false);
        Decision::of(verdict.decision.epoch(), sinks, level)
    });
    let decided = decided.unwrap_or_else(|| without_rules(local, callsite));
    if callsite.redacted() != 0 && !decided.is_nobody() {
        local.mode.set(local.mode.get() | mode::REDACTS);
    }
    decided
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
            let decided = with_rules(local, callsite, |rules, verdict| {
                let around = around(local, current.handle, rules);
                let own = held(local, rules, verdict.candidates, None, |holder| {
                    writer.fields().for_each(|field| hold(holder, callsite, &field));
                });
                rules.decide(callsite.level(), verdict.static_sinks, around, own.directives, false)
            });
            sinks = decided.unwrap_or(0);
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
    pub(super) rules: u16,
    /// Opened in a capture.
    is_captured: bool,
}

impl NewSpan {
    /// A span that no directive of spans or fields can touch.
    #[inline(always)]
    pub(super) fn plain(decision: Decision) -> Self {
        let carried = Carried { directives: 0, tests: 0 };
        Self { decision, carried, rules: 0, is_captured: false }
    }

    /// The span with the mark of a capture's, if a capture has decided.
    pub(super) fn captured(self) -> Self {
        Self { is_captured: self.decision.epoch() == tape::EPOCH, ..self }
    }

    #[inline(always)]
    pub(super) fn shown(&self) -> Shown {
        match self.rules == 0 || self.decision.sinks() != 0 {
            true if self.is_captured => Shown::Captured,
            true => Shown::Yes,
            false => Shown::No,
        }
    }
}

/// Decides about a new span; `None` = it is not even there.
///
/// A span that rules could have touched is there whoever wants it.
#[inline(never)]
pub(super) fn new_span(
    local: &Local,
    callsite: &Callsite,
    attributes: &Attributes<'_>,
    parent: Current,
) -> Option<NewSpan> {
    with_rules(local, callsite, |rules, verdict| {
        let around = around(local, parent.handle, rules);
        let visit = |holder: &mut Holder<'_>| attributes.record(holder);
        let carried = held(local, rules, verdict.candidates, None, visit);
        let level = callsite.level();
        let sinks = rules.decide(level, verdict.static_sinks, around, carried.directives, true);
        let decision = Decision::of(verdict.decision.epoch(), sinks, level);
        NewSpan { decision, carried, rules: rules.generation, is_captured: false }
    })
    .or_else(|| Some(NewSpan::plain(without_rules(local, callsite))))
    .filter(|span| span.rules != 0 || span.decision.sinks() != 0)
}

/// Looks again at what a span carries: fields were recorded.
#[cold]
#[inline(never)]
pub(super) fn record(local: &Local, handle: u64, facts: &slots::SpanFacts, values: &Record<'_>) {
    let Some(callsite) = crate::callsite::by_id(facts.callsite) else { return };
    let Some(before) = slots::carried(handle) else { return };
    with_rules(local, callsite, |rules, verdict| {
        if rules.generation != facts.rules || verdict.candidates == 0 {
            return;
        }
        let visit = |holder: &mut Holder<'_>| values.record(holder);
        let now = held(local, rules, verdict.candidates, Some(before), visit);
        if now != before {
            slots::set_carried(handle, before, now);
            router::change_carried_version();
        }
    });
}
