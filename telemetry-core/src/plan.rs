//! What the sinks of a pipeline want.
//!
//! # Invariants
//!
//! - A plan never changes: whoever holds one decides by it, whatever is attached meanwhile.
//! - Bit `n` of a decision is sink `n` of the pipeline.

use crate::callsite::{Callsite, Decision, Verdict};
use crate::error::Error;
use crate::export::Signals;
use crate::filter::Filter;
use crate::intake::Intake;
use crate::level::Level;
use crate::rules::Rules;
use crate::tape::Tape;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// What each sink of a pipeline wants.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) epoch: u8,
    sinks: Vec<(Signals, Filter)>,
    /// The directives of spans and fields, if there are any.
    pub(crate) rules: Option<Rules>,
}

impl Plan {
    /// The plan of a pipeline's sinks.
    ///
    /// # Errors
    ///
    /// The filters have too many directives of spans and fields, all taken together.
    pub(crate) fn new(epoch: u8, sinks: Vec<(Signals, Filter)>) -> Result<Self, Error> {
        let rules = Rules::new(&sinks, next_rules_generation)?;
        Ok(Self { epoch, sinks, rules })
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
        // The fast path does not redact.
        let is_slow = dynamic.is_some() || (static_sinks != 0 && callsite.redacted() != 0);
        let decision = match is_slow {
            true => Decision::dynamic(self.epoch),
            false => Decision::of(self.epoch, static_sinks, callsite.level()),
        };
        Verdict { decision, static_sinks, candidates: dynamic.unwrap_or(0) }
    }

    /// Which sinks want an event without a callsite of its own; `around` is what the spans around
    /// it carry.
    pub(crate) fn decide_event(&self, target: &str, level: Level, around: u64) -> Decision {
        let sinks = self.static_sinks(target, level, false);
        let sinks = match &self.rules {
            Some(rules) => rules.decide(level, sinks, around, 0, false),
            None => sinks,
        };
        Decision::of(self.epoch, sinks, level)
    }

    /// Which sinks want records of a target and a level, spans and fields aside.
    pub(crate) fn static_sinks(&self, target: &str, level: Level, is_span: bool) -> u32 {
        // A span is wanted where its events are, too: for the fields around them.
        let of_spans = if is_span { Signals::SPANS } else { Signals::LOGS };
        let either = [of_spans, Signals::LOGS];
        let mut sinks = 0;
        for (n, (signals, filter)) in self.sinks.iter().enumerate() {
            let takes = either.iter().any(|wanted| signals.contains(*wanted));
            if takes && filter.enabled(target, level) {
                sinks |= 1 << n;
            }
        }
        sinks
    }

    /// The generation of its rules; 0 = it has none.
    pub(crate) fn generation(&self) -> u16 {
        self.rules.as_ref().map_or(0, |rules| rules.generation)
    }

    /// The least severe level that any sink wants.
    pub(crate) fn max_level(&self) -> Option<Level> {
        self.sinks.iter().filter_map(|(_, filter)| filter.max_level()).min()
    }

    /// The filters of its sinks.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.sinks.iter().map(|(_, filter)| filter)
    }
}

fn next_rules_generation() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    loop {
        let generation = NEXT.fetch_add(1, Ordering::Relaxed);
        if generation != 0 {
            return generation;
        }
    }
}

/// What takes the records of the threads inside it: a scoped pipeline, or a capture.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) plan: Arc<Plan>,
    pub(crate) intake: Arc<Intake>,
    /// Where a capture's records go, instead of into buffers of the intake.
    pub(crate) tape: Option<Tape>,
}

impl Scope {
    /// Does it still take records? A capture may have ended while threads are inside it.
    pub(crate) fn is_open(&self) -> bool {
        self.tape.as_ref().is_none_or(|tape| !tape.has_ended())
    }
}
