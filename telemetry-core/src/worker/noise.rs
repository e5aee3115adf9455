//! Tells of call sites whose events were suppressed because they are too many.
//!
//! # Invariants
//!
//! - What is told of a callsite adds up to what was suppressed there, at every flush and at the end.
//! - A callsite is told of a second after its first event was suppressed, then every ten seconds at
//!   most while more are, and at a flush.
//! - Whoever lost events hears of them, whatever its filter says of the target `telemetry`.

use super::redact::Redactor;
use super::report;
use crate::batch::Builder;
use crate::callsite::{self, Callsite};
use crate::clock;
use crate::intake::Ledger;
use crate::ledger::Signal;
use crate::level::Level;
use crate::rate_limit::{Harvest, RateLimit};
use crate::record::Writer;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long after the first event that is suppressed this is told.
const FIRST: Duration = Duration::from_secs(1);
/// How long nothing more is told of the callsite then.
const PERIOD: Duration = Duration::from_secs(10);

/// How long the counter of ticks is watched before meters rely on its rate: until then, and that is
/// a moment after the start, nothing is suppressed.
const PACE_AFTER: Duration = Duration::from_millis(2);

/// A callsite that something is to be told of.
#[derive(Debug)]
struct Noisy {
    callsite: &'static Callsite,
    due: Instant,
}

/// The callsites that are too loud; owned by the worker.
#[derive(Debug)]
pub(super) struct Noise {
    limit: Option<RateLimit>,
    paced_from: Instant,
    is_paced: bool,
    noisy: Vec<Noisy>,
    /// When something was told of a callsite, by its id, for one period.
    told: HashMap<u32, Instant>,
}

/// What is told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    Due,
    All,
}

impl Noise {
    pub(super) fn new(limit: Option<RateLimit>, now: Instant) -> Self {
        let (noisy, told) = (Vec::new(), HashMap::new());
        Self { limit, paced_from: now + PACE_AFTER, is_paced: false, noisy, told }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let paced_from = self.limit.as_ref().filter(|_| !self.is_paced).map(|_| self.paced_from);
        self.noisy.iter().map(|noisy| noisy.due).chain(paced_from).min()
    }

    /// Lets the meters keep the time, and puts what there is to tell into the batch.
    pub(super) fn tell(
        &mut self,
        builder: &mut Builder,
        ledger: &Ledger,
        redactor: &Redactor,
        telling: Telling,
    ) {
        let Some(limit) = &self.limit else { return };
        let now = clock::now();
        if self.paced_from <= now {
            limit.set_pace(builder.anchor());
            self.is_paced = true;
        }
        self.told.retain(|_, told| now.saturating_duration_since(*told) < PERIOD);
        for callsite in callsite::take_noisy() {
            let told = self.told.get(&callsite.id());
            let due = told.map_or(now, |told| *told + PERIOD).max(now + FIRST);
            self.noisy.push(Noisy { callsite, due });
        }
        let is_over = |noisy: &mut Noisy| telling == Telling::All || noisy.due <= now;
        let over: Vec<_> = self.noisy.extract_if(.., is_over).collect();
        for Noisy { callsite, .. } in over {
            let harvest = callsite.meter().harvest();
            let sinks = ledger.takers(harvest.sinks, Signal::Log);
            // What was suppressed under a pipeline that is gone is in its report.
            if harvest.epoch == ledger.epoch && harvest.count > 0 && sinks != 0 {
                let ns = builder.anchor().duration_ns(harvest.since, clock::ticks());
                report::push(builder, ledger, redactor, Level::Warn, sinks, |writer| {
                    write(writer, callsite, harvest, Duration::from_nanos(ns), limit);
                });
                self.told.insert(callsite.id(), now);
            }
        }
    }
}

impl Drop for Noise {
    /// Nobody is told any more; the meters are left so that they can be noted again.
    fn drop(&mut self) {
        for noisy in &self.noisy {
            noisy.callsite.meter().harvest();
        }
    }
}

fn write(
    writer: &mut Writer<'_>,
    callsite: &Callsite,
    harvest: Harvest,
    period: Duration,
    limit: &RateLimit,
) {
    let place = match (callsite.file(), callsite.line()) {
        (Some(file), Some(line)) => format!("`{file}:{line}`"),
        _ => format!("target `{}`", callsite.target()),
    };
    let count = harvest.count;
    let events = if count == 1 { "event" } else { "events" };
    let seconds = period.as_secs_f64();
    let text =
        format!("{count} {events} of {place} suppressed in {seconds:.1} s: {}", limit.rule());
    writer.origin("telemetry", "", "", 0);
    writer.str(0, &text);
    writer.inline("cause", &"rate_limit");
    writer.inline("suppressed", &count);
    writer.inline("period_s", &seconds);
    writer.inline("callsite.target", &callsite.target());
    if let Some(name) = callsite.event_name() {
        writer.inline("callsite.event", &name);
    }
    if let (Some(file), Some(line)) = (callsite.file(), callsite.line()) {
        writer.inline("callsite.file", &file);
        writer.inline("callsite.line", &line);
    }
}
