//! What the sinks of a pipeline want.
//!
//! # Invariants
//!
//! - A plan never changes: whoever holds one decides by it, whatever is attached meanwhile.
//! - Bit `n` of a decision is sink `n` of the pipeline.

use crate::callsite::{Callsite, Decision};
use crate::export::Signals;
use crate::filter::Filter;
use crate::intake::Intake;
use crate::level::Level;
use std::sync::Arc;

/// What each sink of a pipeline wants.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) epoch: u8,
    pub(crate) sinks: Vec<(Signals, Filter)>,
}

impl Plan {
    /// Which sinks want the records of a callsite.
    pub(crate) fn decide(&self, callsite: &Callsite) -> Decision {
        // A span is wanted where its events are, too: for the fields around them.
        let signals = if callsite.is_span() {
            [Signals::SPANS, Signals::LOGS]
        } else {
            [Signals::LOGS, Signals::LOGS]
        };
        self.decide_for(callsite.target(), callsite.level(), signals)
    }

    /// Which sinks want an event without a callsite of its own.
    pub(crate) fn decide_event(&self, target: &str, level: Level) -> Decision {
        self.decide_for(target, level, [Signals::LOGS, Signals::LOGS])
    }

    fn decide_for(&self, target: &str, level: Level, either: [Signals; 2]) -> Decision {
        let mut sinks = 0;
        for (n, (signals, filter)) in self.sinks.iter().enumerate() {
            let takes = either.iter().any(|wanted| signals.contains(*wanted));
            if takes && filter.enabled(target, level) {
                sinks |= 1 << n;
            }
        }
        Decision { epoch: self.epoch, sinks, urgent: level == Level::Error && sinks != 0 }
    }

    /// The least severe level that any sink wants.
    pub(crate) fn max_level(&self) -> Option<Level> {
        self.sinks.iter().filter_map(|(_, filter)| filter.max_level()).min()
    }
}

/// A pipeline that takes the records of the threads inside its scope only.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) plan: Arc<Plan>,
    pub(crate) intake: Arc<Intake>,
}
