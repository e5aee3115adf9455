//! What the pipeline has to say about itself.
//!
//! # Invariants
//!
//! - A diagnostic goes to standard error (as `OTEL_LOG_LEVEL` allows, `info` by default) and into
//!   the pipeline, as a record of target `telemetry`.
//! - At most one per cause in ten seconds; those left out are counted and named by the next one.
//! - Reporting never fails, waits or panics: standard error may be closed, or a pipe whose reader
//!   has stopped. What has no room there is not printed.

use crate::clock;
use crate::level::Level;
use crate::redaction;
use crate::standard_error;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cause stays silent after it was reported.
pub const QUIET: Duration = Duration::from_secs(10);
/// How many diagnostics wait for the worker at most.
const WAITING_MAX: usize = 64;
/// How many causes are told apart at most.
const CAUSES_MAX: usize = 256;

/// A diagnostic that is to become a record.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostic {
    pub(crate) cause: &'static str,
    pub(crate) level: Level,
    pub(crate) text: String,
}

struct State {
    last: BTreeMap<&'static str, (Instant, u64)>,
    waiting: VecDeque<Diagnostic>,
    least: Option<Level>,
}

static STATE: Mutex<State> =
    Mutex::new(State { last: BTreeMap::new(), waiting: VecDeque::new(), least: Some(Level::Info) });

fn state() -> std::sync::MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the least severe level that goes to standard error; `None` = nothing does.
pub fn set_level(least: Option<Level>) {
    state().least = least;
}

/// Reports something about the pipeline itself.
///
/// `cause` names the kind of trouble (`otlp.export`, `file.write`): at most one report per cause
/// is made in [`QUIET`]. The text is printed on one line, control characters escaped.
pub fn report(cause: &'static str, level: Level, text: impl Into<String>) {
    let mut text = redaction::clean(text.into());
    let print = {
        let mut state = state();
        let now = clock::now();
        if state.last.len() >= CAUSES_MAX && !state.last.contains_key(cause) {
            return;
        }
        let (last, left_out) = state.last.get(cause).copied().unwrap_or((now, 0));
        let is_first = !state.last.contains_key(cause);
        if !is_first && now.saturating_duration_since(last) < QUIET {
            state.last.insert(cause, (last, left_out + 1));
            return;
        }
        if left_out > 0 {
            text.push_str(&format!(" ({left_out} more like it since the last report)"));
        }
        state.last.insert(cause, (now, 0));
        if state.waiting.len() < WAITING_MAX {
            state.waiting.push_back(Diagnostic { cause, level, text: text.clone() });
        }
        state.least.is_some_and(|least| level >= least)
    };
    if print {
        print_line(cause, level, &text);
    }
}

fn print_line(cause: &str, level: Level, text: &str) {
    let mut line = format!("telemetry {level} {cause}: ");
    crate::document::push_plain(text, &mut line);
    // A closed or full standard error leaves nobody to tell; the record is on its way all the same.
    standard_error::write_line(line);
}

/// Takes what is to become records; the worker calls it.
pub(crate) fn take_waiting() -> Vec<Diagnostic> {
    state().waiting.drain(..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_reported_once_in_its_quiet_time() {
        report("test.once", Level::Trace, "first");
        report("test.once", Level::Trace, "second");
        let waiting: Vec<_> =
            take_waiting().into_iter().filter(|said| said.cause == "test.once").collect();
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].text, "first");
    }
}
