//! What the pipeline tells of itself: `otel.sdk.*` metrics, and a diagnostic while loss lasts.
//!
//! # Invariants
//!
//! - The metrics are set from the ledger, so they are as exact as it is.
//! - Loss is reported by cause at most every ten seconds while it lasts, and once when it ends.
//! - Targets of filters that nobody has registered are reported ([`Targets`]).
//! - A metric that contradicts an earlier one, or has too many series, is reported once.

use super::Parts;
use super::redact::Redactor;
use super::targets::Targets;
use crate::batch::{Builder, NO_SPAN};
use crate::clock;
use crate::diagnostics::{self, Reach};
use crate::intake::Ledger;
use crate::ledger::{Cause, Signal};
use crate::level::Level;
use crate::metric::{Conflict, Labels, Observation};
use crate::record::{Header, Kind, RawRecord, Writer};
use crate::router;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(10);
/// How many conflicts of metrics one report names.
const CONFLICTS_NAMED_MAX: usize = 8;

/// What was reported last.
#[derive(Debug)]
pub(super) struct SelfReport {
    due: Instant,
    lost: BTreeMap<(usize, Cause), u64>,
    losing: bool,
    targets: Targets,
    /// How many different conflicts of metrics were reported.
    conflicts: usize,
}

impl SelfReport {
    pub(super) fn new(now: Instant) -> Self {
        let targets = Targets::default();
        Self { due: now, lost: BTreeMap::new(), losing: false, targets, conflicts: 0 }
    }

    /// Reports the targets of filters that no callsite has, if it is time: they may be mistyped.
    fn look_for_targets(&mut self, parts: &Parts, now: Instant) {
        // A scoped pipeline's filters are a test's.
        if parts.takes_diagnostics
            && let Some(text) =
                self.targets.look(now, router::plan_number(), router::unknown_targets)
        {
            diagnostics::report("filter.target", Level::Warn, text);
        }
    }

    /// Reports what metrics are at odds with each other, or with their limits.
    fn look_for_conflicts(&mut self, parts: &Parts) {
        // A scoped pipeline's metrics are a test's.
        let conflicts = if parts.takes_diagnostics { parts.registry.conflicts() } else { vec![] };
        let new = conflicts.get(self.conflicts..).unwrap_or_default();
        if new.is_empty() {
            return;
        }
        self.conflicts = conflicts.len();
        diagnostics::report("metric.conflict", Level::Warn, text_of(new));
    }

    /// Reports what was lost since the last time, if it is time.
    pub(super) fn tend(&mut self, parts: &Parts, now: Instant) {
        if now < self.due {
            return;
        }
        self.due = now + PERIOD;
        self.look_for_targets(parts, now);
        self.look_for_conflicts(parts);
        let mut losses = Vec::new();
        for (n, sink) in parts.sinks.iter().enumerate() {
            let report = sink.ledger().read(&sink.name);
            for cause in Cause::ALL {
                let total: u64 = Signal::ALL
                    .iter()
                    .map(|signal| report.counts(*signal).dropped_for(cause))
                    .sum();
                let before = self.lost.insert((n, cause), total).unwrap_or_default();
                if total > before {
                    losses.push(format!(
                        "{} of `{}` ({})",
                        total - before,
                        sink.name,
                        cause.as_str()
                    ));
                }
            }
        }
        if !losses.is_empty() {
            let text = format!("lost in the last 10 s: {}", losses.join(", "));
            diagnostics::report("pipeline.loss", Level::Warn, text);
        } else if self.losing {
            let total: u64 = self.lost.values().sum();
            let text = format!("loss has ended: {total} lost since the start");
            diagnostics::report("pipeline.recovered", Level::Warn, text);
        }
        self.losing = !losses.is_empty();
    }
}

fn text_of(conflicts: &[Conflict]) -> String {
    let mut texts: Vec<_> =
        conflicts.iter().take(CONFLICTS_NAMED_MAX).map(ToString::to_string).collect();
    if conflicts.len() > texts.len() {
        texts.push(format!("{} more", conflicts.len() - texts.len()));
    }
    texts.join("; ")
}

/// Puts what the pipeline has to say of itself into the batch, as events of target `telemetry`.
pub(super) fn write_diagnostics(builder: &mut Builder, ledger: &Ledger, redactor: &Redactor) {
    for diagnostic in diagnostics::take_waiting() {
        let sinks = takers(diagnostic.level, diagnostic.reach, ledger);
        if sinks == 0 {
            continue;
        }
        push(builder, ledger, redactor, diagnostic.level, sinks, |writer| {
            writer.origin("telemetry", "", "", 0);
            writer.str(0, &diagnostic.text);
            writer.inline("cause", &diagnostic.cause);
            for (key, value) in &diagnostic.fields {
                writer.inline(key, &value.as_str());
            }
            if !diagnostic.excerpt.is_empty() {
                writer.inline("excerpt", &diagnostic.excerpt.as_str());
            }
        });
    }
}

/// Puts an event of the pipeline's own into the batch, for these sinks.
pub(super) fn push(
    builder: &mut Builder,
    ledger: &Ledger,
    redactor: &Redactor,
    level: Level,
    sinks: u32,
    write: impl FnOnce(&mut Writer<'_>),
) {
    let header = Header {
        kind: Kind::Event,
        flags: 0,
        epoch: ledger.epoch,
        callsite: crate::bridge::log::callsite(level).id(),
        sinks,
        ticks: clock::ticks(),
        trace_high: 0,
        trace_low: 0,
        span_id: 0,
    };
    let record = Writer::to_vec(&header, write);
    let Some(record) = RawRecord::first(&record) else { return };
    let clean = redactor.without_secrets(record);
    let record = clean.as_deref().and_then(RawRecord::first).unwrap_or(record);
    builder.push(record, NO_SPAN, sinks, Signal::Log);
}

/// The sinks that get a diagnostic.
fn takers(level: Level, reach: Reach, ledger: &Ledger) -> u32 {
    if reach == Reach::Everyone {
        return ledger.log_sinks;
    }
    let decision = router::decide_event("telemetry", level, |_, _| 0);
    if decision.epoch() == ledger.epoch { ledger.takers(decision.sinks(), Signal::Log) } else { 0 }
}

/// Sets the `otel.sdk.*` metrics (OpenTelemetry semantic conventions 1.44, SDK metrics).
pub(super) fn publish(parts: &Parts, open_spans: usize) {
    let registry = &parts.registry;
    let names = [
        (Signal::Log, "otel.sdk.exporter.log.exported", "otel.sdk.exporter.log.inflight"),
        (Signal::Span, "otel.sdk.exporter.span.exported", "otel.sdk.exporter.span.inflight"),
        (
            Signal::Metric,
            "otel.sdk.exporter.metric_data_point.exported",
            "otel.sdk.exporter.metric_data_point.inflight",
        ),
    ];
    registry.describe("otel.sdk.span.live", "{span}", "Spans that are open");
    let live = Observation::UpDownCounter(open_spans as i64);
    registry.observe("otel.sdk.span.live", &Labels::from(()), live);
    for sink in &parts.sinks {
        let report = sink.ledger().read(&sink.name);
        let component = || {
            Labels::from([("otel.component.name", sink.name.clone())])
                .with("otel.component.type", sink.name.clone())
        };
        for (signal, exported, inflight) in names {
            let counts = report.counts(signal);
            if counts.emitted == 0 {
                continue;
            }
            let unit = match signal {
                Signal::Log => "{log_record}",
                Signal::Span => "{span}",
                Signal::Metric => "{data_point}",
            };
            registry.describe(exported, unit, "Units whose export has ended, by outcome");
            registry.describe(inflight, unit, "Units that are queued or under way");
            registry.observe(exported, &component(), Observation::Counter(counts.delivered));
            for (cause, count) in &counts.dropped {
                let labels = component().with("error.type", cause.as_str());
                registry.observe(exported, &labels, Observation::Counter(*count));
            }
            let pending = i64::try_from(counts.pending).unwrap_or(i64::MAX);
            registry.observe(inflight, &component(), Observation::UpDownCounter(pending));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Registry;

    #[test]
    fn conflicts_of_metrics_are_named_up_to_a_limit() {
        let registry = Registry::with_series_limit(1);
        for n in 0..10 {
            for user in ["ann", "bob", "cat"] {
                registry.counter(&format!("logins{n}"), [("user", user)]).add(1);
            }
        }
        let text = text_of(&registry.conflicts());
        assert!(text.starts_with("metric `logins0` has 1 series: further ones"), "{text}");
        assert!(text.contains("`logins7`") && text.ends_with("; 2 more"), "{text}");
    }
}
