//! Captures: what a test's thread, and everything that it starts, emits.
//!
//! # Invariants
//!
//! - A capture gets the records of its own threads and tasks, all of them up to its limit, and
//!   nobody else's, whoever hit a call site first.
//! - A capture has no thread and no buffers of its own: it is a tape, and whoever asks reads it.
//! - What does not fit is counted, and every assertion that fails says so.

use super::measured;
use super::memory::CapturedRecord;
use super::printing::{Printed, Printing, next_batch};
use super::setup;
use super::tree::SpanTree;
use crate::context::{Carried, InContext, Scoped};
use crate::export::Signals;
use crate::filter::Filter;
use crate::intake::{Intake, Ledger};
use crate::ledger::SinkLedger;
use crate::level::Level;
use crate::local;
use crate::plan::{Plan, Scope};
use crate::record::Kind;
use crate::redaction;
use crate::scope::{self, Entered};
use crate::tape::{self, Tape};
use crate::worker::join::Join;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How many bytes of records a capture keeps: some 100,000 events.
pub const CAPTURE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The sinks of a capture: bits of a record's mask.
pub(super) const KEPT: u32 = 1;
pub(super) const PRINTED: u32 = 2;

/// Begins to capture what the calling thread emits, and everything that is started in here with
/// [`context::spawn_thread`](crate::context::spawn_thread), the `task` functions of the facade or
/// [`Carried`], until the capture is dropped.
///
/// It captures everything, whatever `RUST_LOG` says, which decides about what is printed (see
/// [`init_for_tests`](super::init_for_tests), which this calls). A pipeline that is attached to
/// the process, an outer capture and other libraries' subscribers do not get what a capture takes.
///
/// ```
/// use telemetry_core::{assert_event, testing};
///
/// fn connect(peer: &str) {
///     tracing::warn!(peer, attempt = 3, "slow");
/// }
///
/// let captured = testing::capture();
/// connect("10.0.0.1");
/// assert_event!(captured, level: Warn, message: "slow", peer = "10.0.0.1", attempt = 3);
/// ```
#[must_use = "it captures until it is dropped"]
pub fn capture() -> Capture {
    setup::turn_on();
    let ledger = ledger();
    let printing = Arc::new(Printing::new(Printed::IsKept, &ledger));
    let scope = scope_of(kept_plan(), &ledger, &printing, |tape| tape.measuring(measured::new));
    let entered = scope::enter(&scope);
    Capture { scope, ledger, printing, _entered: entered }
}

/// A scope that prints and keeps nothing.
pub(super) fn printing_scope() -> Arc<Scope> {
    let ledger = ledger();
    let printing = Arc::new(Printing::new(Printed::IsForgotten, &ledger));
    scope_of(printed_plan(), &ledger, &printing, |tape| tape)
}

fn scope_of(
    plan: Arc<Plan>,
    ledger: &Arc<Ledger>,
    printing: &Arc<Printing>,
    complete: impl FnOnce(Tape) -> Tape,
) -> Arc<Scope> {
    let intake = Arc::new(Intake::new());
    intake.set_ledger(ledger);
    let printing = Arc::clone(printing);
    let on_news = move |tape: &Tape, sinks| printing.on_news(tape, sinks);
    let tape = complete(Tape::new(CAPTURE_BYTES_MAX, on_news));
    Arc::new(Scope::new(plan, intake, Some(tape)))
}

fn kept_plan() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    Arc::clone(PLAN.get_or_init(|| plan(Signals::LOGS | Signals::SPANS)))
}

fn printed_plan() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    Arc::clone(PLAN.get_or_init(|| plan(Signals::NONE)))
}

fn plan(kept: Signals) -> Arc<Plan> {
    let sinks = |filter| vec![(kept, Filter::level(Level::Trace)), (Signals::LOGS, filter)];
    let plan = Plan::new(tape::EPOCH, sinks(setup::filter()), None, None).or_else(|error| {
        setup::report_filter(&error);
        Plan::new(tape::EPOCH, sinks(Filter::level(Level::Info)), None, None)
    });
    Arc::new(plan.expect("a filter of one level is within all limits"))
}

pub(super) fn ledger() -> Arc<Ledger> {
    Arc::new(Ledger {
        epoch: tape::EPOCH,
        log_sinks: KEPT | PRINTED,
        span_sinks: KEPT,
        sinks: vec![SinkLedger::default(), SinkLedger::default()],
    })
}

/// What a test's threads emit; see [`capture`].
///
/// Its drop ends the capture. What its threads and tasks emit later goes to the attached pipeline,
/// or nowhere.
pub struct Capture {
    pub(super) scope: Arc<Scope>,
    ledger: Arc<Ledger>,
    printing: Arc<Printing>,
    _entered: Entered,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl Capture {
    /// Lets `read` read what was captured so far.
    fn read<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        let bytes = self.scope.tape.as_ref().map(|tape| {
            self.printing.print(tape);
            local::quietly(|| tape.from(0))
        });
        local::quietly(|| read(&bytes.unwrap_or_default()))
    }

    /// Events and finished spans, in the order in which they happened and ended.
    pub fn records(&self) -> Vec<CapturedRecord> {
        self.read(|mut rest| {
            let mut join = Join::new(Arc::default(), ledger(), redaction::patterns());
            let mut records = Vec::new();
            while !rest.is_empty() {
                let batch = next_batch(&mut join, &mut rest, KEPT);
                records.extend(batch.records().map(|record| CapturedRecord::of(&record)));
            }
            records
        })
    }

    /// The events, in the order in which they happened.
    pub fn events(&self) -> Vec<CapturedRecord> {
        self.of_kind(Kind::Event)
    }

    /// The spans that were opened in the capture and are over, in the order of their ends.
    pub fn spans(&self) -> Vec<CapturedRecord> {
        self.of_kind(Kind::SpanClose)
    }

    fn of_kind(&self, kind: Kind) -> Vec<CapturedRecord> {
        self.records().into_iter().filter(|record| record.kind == kind).collect()
    }

    /// The spans that were opened in the capture, open ones too, each with those inside it.
    pub fn span_tree(&self) -> SpanTree {
        self.read(|bytes| SpanTree::of(bytes, KEPT))
    }

    /// Does the line of any event, as it is printed, have this text in it?
    ///
    /// ```
    /// let captured = telemetry_core::testing::capture();
    /// tracing::info!(port = 8080, "listening");
    /// assert!(captured.contains("listening") && captured.contains("port=8080"));
    /// ```
    pub fn contains(&self, text: &str) -> bool {
        self.events().iter().any(|event| event.to_string().contains(text))
    }

    /// How many events and spans were not kept: beyond [`CAPTURE_BYTES_MAX`], or emitted by a
    /// `Debug` that was called by a `Debug` while a record was written.
    pub fn lost(&self) -> u64 {
        self.ledger.sinks.first().map_or(0, |sink| sink.read("capture").lost())
    }

    /// Everything in a form that is the same in every run, as JSON: for tests that hold it against
    /// a file.
    ///
    /// Ids are numbered in the order in which they come (`trace 1`, `span 2`), times, durations and
    /// lines of source files are left out. What comes from several threads may still come in
    /// another order.
    ///
    /// ```
    /// let captured = telemetry_core::testing::capture();
    /// tracing::info_span!("request", route = "/").in_scope(|| tracing::warn!("slow"));
    /// let json = captured.to_json();
    /// assert!(json.contains(r#""message": "slow""#), "{json}");
    /// ```
    pub fn to_json(&self) -> String {
        super::json::of(&self.records())
    }

    /// The future with its records captured, wherever it is polled: for code that starts tasks or
    /// threads in another way than through [`Carried`].
    pub fn in_capture<F: Future>(&self, future: F) -> Scoped<F> {
        future.in_context(Carried::of_capture(Arc::clone(&self.scope)))
    }

    /// Why something may be missing.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = setup::notes();
        let lost = self.lost();
        if lost > 0 {
            let limit = CAPTURE_BYTES_MAX / 1024 / 1024;
            notes.push(format!(
                "{lost} events and spans were not kept: a capture holds {limit} MiB"
            ));
        }
        notes
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(tape) = &self.scope.tape {
            self.printing.print(tape);
            tape.end();
        }
    }
}
