//! What the sinks of a pipeline want.
//!
//! # Invariants
//!
//! - A plan never changes: whoever holds one decides by it, whatever is attached meanwhile.
//! - Bit `n` of a decision is sink `n` of the pipeline.
//! - Plans have numbers that grow, so that what was found out under one is not taken for
//!   another's.

use crate::callsite::{Callsite, Decision, Verdict};
use crate::error::Error;
use crate::export::Signals;
use crate::filter::Filter;
use crate::intake::Intake;
use crate::level::Level;
use crate::rate_limit::RateLimit;
use crate::rules::{Group, NUMBER_MAX, Rules};
use crate::tape::Tape;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What each sink of a pipeline wants.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) epoch: u8,
    /// Never 0.
    pub(crate) number: u32,
    groups: Vec<Group>,
    /// The directives of spans and fields, if there are any.
    pub(crate) rules: Option<Rules>,
    limit: Option<RateLimit>,
}

impl Plan {
    /// The plan of a pipeline's sinks; `before` is the one that it replaces.
    ///
    /// # Errors
    ///
    /// The filters have too many directives of spans and fields, all taken together.
    pub(crate) fn new(
        epoch: u8,
        sinks: impl IntoIterator<Item = (Signals, Filter)>,
        limit: Option<RateLimit>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let groups = groups(sinks);
        let number = next_number();
        let rules = Rules::new(&groups, number, before.and_then(|plan| plan.rules.as_ref()))?;
        Ok(Self { epoch, number, groups, rules, limit })
    }

    /// Which sinks want the records of a callsite.
    pub(crate) fn decide(&self, callsite: &Callsite) -> Decision {
        self.judge(callsite).decision
    }

    /// As [`Plan::decide`], with what is needed to complete it where spans and fields decide, or
    /// fields are redacted.
    pub(crate) fn judge(&self, callsite: &Callsite) -> Verdict {
        let is_span = callsite.is_span();
        let static_sinks = self.static_sinks(callsite.target(), callsite.level(), is_span);
        let dynamic = self.rules.as_ref().and_then(|rules| {
            let candidates = rules.candidates(callsite);
            let may_change = rules.may_change(callsite.level(), static_sinks, is_span);
            // A span is there for what it carries, even if its own fate is certain.
            (may_change || (candidates != 0 && is_span)).then_some(candidates)
        });
        let (epoch, number) = (self.epoch, self.number);
        let is_limited = !is_span && self.is_limited(callsite.target(), callsite.level());
        let verdict = match dynamic {
            Some(candidates) => Verdict::dynamic(epoch, number, static_sinks, candidates),
            // The fast path takes the target of a `log` record for `log`.
            None if callsite.is_log_record() => Verdict::dynamic(epoch, number, static_sinks, 0),
            // Nor does it redact.
            None if static_sinks != 0 && callsite.redacted() != 0 => {
                Verdict::redacting(epoch, number, static_sinks)
            }
            None => Verdict::of(Decision::of(epoch, static_sinks, callsite.level()), static_sinks),
        };
        verdict.limited(is_limited)
    }

    fn is_limited(&self, target: &str, level: Level) -> bool {
        self.limit.as_ref().is_some_and(|limit| limit.holds_for(target, level))
    }

    /// Which sinks want an event without a callsite of its own; `around` is what the spans around
    /// it carry.
    pub(crate) fn decide_event(&self, target: &str, level: Level, around: u64) -> Decision {
        let sinks = self.static_sinks(target, level, false);
        let sinks = match &self.rules {
            Some(rules) => rules.decide(level, sinks, around, 0, false),
            None => sinks,
        };
        Decision::of(self.epoch, sinks, level).limited(self.is_limited(target, level))
    }

    /// Which sinks want records of a target and a level, spans and fields aside.
    pub(crate) fn static_sinks(&self, target: &str, level: Level, is_span: bool) -> u32 {
        let wanting = self
            .groups
            .iter()
            .filter(|group| group.sinks(is_span) != 0 && group.filter.enabled(target, level));
        wanting.fold(0, |sinks, group| sinks | group.sinks(is_span))
    }

    /// The least severe level that any sink wants.
    pub(crate) fn max_level(&self) -> Option<Level> {
        self.filters().filter_map(Filter::max_level).min()
    }

    /// The filters of its sinks, each once.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.groups.iter().map(|group| &group.filter)
    }
}

/// The sinks by their filters: an equal one is asked once.
fn groups(sinks: impl IntoIterator<Item = (Signals, Filter)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (n, (signals, filter)) in sinks.into_iter().enumerate() {
        let at = groups.iter().position(|group| group.filter == filter).unwrap_or_else(|| {
            groups.push(Group { filter, event_sinks: 0, span_sinks: 0 });
            groups.len() - 1
        });
        let (logs, spans) = (signals.contains(Signals::LOGS), signals.contains(Signals::SPANS));
        groups[at].event_sinks |= u32::from(logs) << n;
        groups[at].span_sinks |= u32::from(logs || spans) << n;
    }
    groups.retain(|group| group.span_sinks != 0);
    groups
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & NUMBER_MAX;
        if number != 0 {
            return number;
        }
    }
}

/// What takes the records of the threads inside it: a scoped pipeline, or a capture.
#[derive(Debug)]
pub(crate) struct Scope {
    first: Arc<Plan>,
    /// The latest one, once there is another.
    later: Mutex<Option<Arc<Plan>>>,
    has_later: AtomicBool,
    pub(crate) intake: Arc<Intake>,
    /// Where a capture's records go, instead of into buffers of the intake.
    pub(crate) tape: Option<Tape>,
}

impl Scope {
    pub(crate) fn new(plan: Arc<Plan>, intake: Arc<Intake>, tape: Option<Tape>) -> Self {
        let (later, has_later) = (Mutex::new(None), AtomicBool::new(false));
        Self { first: plan, later, has_later, intake, tape }
    }

    /// That of its plans.
    pub(crate) fn epoch(&self) -> u8 {
        self.first.epoch
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        // Acquire: whoever finds that there is another finds it.
        let later = self.has_later.load(Ordering::Acquire).then(|| self.later().clone()).flatten();
        later.unwrap_or_else(|| Arc::clone(&self.first))
    }

    fn later(&self) -> MutexGuard<'_, Option<Arc<Plan>>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_plan(&self, plan: Arc<Plan>) {
        *self.later() = Some(plan);
        self.has_later.store(true, Ordering::Release);
    }

    /// Does it still take records? A capture may have ended while threads are inside it.
    pub(crate) fn is_open(&self) -> bool {
        self.tape.as_ref().is_none_or(|tape| !tape.has_ended())
    }
}
