//! What the pipeline has to say about itself.
//!
//! # Invariants
//!
//! - A diagnostic goes to standard error (as `OTEL_LOG_LEVEL` allows, `info` by default) and into
//!   the pipeline, as a record of target `telemetry`.
//! - At most one per cause in ten seconds; those left out are counted and named by the next one.
//!   Of what is changed in a running pipeline, this holds for standard error only: each change is a
//!   record.
//! - Reporting never fails, waits or panics: standard error may be closed, or a pipe whose reader
//!   has stopped. What has no room there is not printed.

use crate::clock;
use crate::error::Error;
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
    /// Several lines that show what the text is about.
    pub(crate) excerpt: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) reach: Reach,
}

/// Who gets a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The exporters whose filters want it.
    Filtered,
    /// Every exporter that takes logs: it is about the filters.
    Everyone,
}

impl Diagnostic {
    fn new(cause: &'static str, level: Level, text: String) -> Self {
        let (text, excerpt, fields) = (redaction::clean(text), String::new(), Vec::new());
        Self { cause, level, text, excerpt, fields, reach: Reach::Filtered }
    }
}

struct State {
    last: BTreeMap<&'static str, (Instant, u64)>,
    waiting: VecDeque<Diagnostic>,
    /// How many had no room among those that wait.
    left_out: u64,
    least: Option<Level>,
}

static STATE: Mutex<State> = Mutex::new(State {
    last: BTreeMap::new(),
    waiting: VecDeque::new(),
    left_out: 0,
    least: Some(Level::Info),
});

fn state() -> std::sync::MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// How many of a cause were left out since the last one; `None` = one more is left out.
    fn left_out_before(&mut self, cause: &'static str) -> Option<u64> {
        let now = clock::now();
        if self.last.len() >= CAUSES_MAX && !self.last.contains_key(cause) {
            return None;
        }
        let before = self.last.get_mut(cause);
        if let Some((last, left_out)) = before
            && now.saturating_duration_since(*last) < QUIET
        {
            *left_out += 1;
            return None;
        }
        Some(self.last.insert(cause, (now, 0)).map_or(0, |(_, left_out)| left_out))
    }

    fn wait(&mut self, diagnostic: Diagnostic) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    fn prints(&self, level: Level) -> bool {
        self.least.is_some_and(|least| level >= least)
    }
}

/// Sets the least severe level that goes to standard error; `None` = nothing does. Returns what it
/// was before.
pub fn set_level(least: Option<Level>) -> Option<Level> {
    std::mem::replace(&mut state().least, least)
}

/// Reports something about the pipeline itself.
///
/// `cause` names the kind of trouble (`otlp.export`, `file.write`): at most one report per cause
/// is made in [`QUIET`]. The text is printed on one line, control characters escaped.
pub fn report(cause: &'static str, level: Level, text: impl Into<String>) {
    say(Diagnostic::new(cause, level, text.into()));
}

/// Reports errors of one cause with their sources and, where they have one, the spot in the text
/// that is wrong.
pub fn report_errors(cause: &'static str, level: Level, errors: &[Error]) {
    // `Debug` is the text with its sources: whoever handles the error prints the chain.
    let texts: Vec<_> = errors.iter().map(|error| format!("{error:?}")).collect();
    let excerpts: String = errors.iter().filter_map(Error::excerpt).collect();
    say(Diagnostic {
        excerpt: redaction::clean(excerpts),
        ..Diagnostic::new(cause, level, texts.join("; "))
    });
}

fn say(mut diagnostic: Diagnostic) {
    let print = {
        let mut state = state();
        let Some(left_out) = state.left_out_before(diagnostic.cause) else { return };
        note_left_out(&mut diagnostic.text, left_out);
        state.wait(diagnostic.clone());
        state.prints(diagnostic.level)
    };
    if print {
        print_diagnostic(&diagnostic);
    }
}

/// Tells every exporter of a change in the running pipeline, or of one that was refused.
pub(crate) fn audit(
    cause: &'static str,
    level: Level,
    text: String,
    fields: Vec<(&'static str, String)>,
    refused: Option<&Error>,
) {
    let excerpt = redaction::clean(refused.and_then(Error::excerpt).unwrap_or_default().to_owned());
    let fields = fields.into_iter().map(|(key, value)| (key, redaction::clean(value))).collect();
    let reach = Reach::Everyone;
    let mut printed = Diagnostic { excerpt, fields, reach, ..Diagnostic::new(cause, level, text) };
    let print = {
        let mut state = state();
        state.wait(printed.clone());
        let left_out = state.left_out_before(cause);
        note_left_out(&mut printed.text, left_out.unwrap_or_default());
        left_out.is_some() && state.prints(level)
    };
    if print {
        print_diagnostic(&printed);
    }
}

/// Makes a text a record of target `telemetry`, and prints nothing.
pub fn record(cause: &'static str, level: Level, text: impl Into<String>) {
    let diagnostic = Diagnostic::new(cause, level, text.into());
    state().wait(diagnostic);
}

/// Prints a text of many lines on standard error, as long as somebody takes it: it waits for room
/// for a second, and never for the lock of [`std::io::Stderr`].
pub fn print_text(text: &str) {
    standard_error::write_text(text, Duration::from_secs(1));
}

fn note_left_out(text: &mut String, left_out: u64) {
    if left_out > 0 {
        text.push_str(&format!(" ({left_out} more like it since the last report)"));
    }
}

fn print_diagnostic(diagnostic: &Diagnostic) {
    let mut line = format!("telemetry {} {}: ", diagnostic.level, diagnostic.cause);
    crate::document::push_plain(&diagnostic.text, &mut line);
    for part in diagnostic.excerpt.lines() {
        line.push_str("\n  ");
        crate::document::push_plain(part, &mut line);
    }
    // A closed or full standard error leaves nobody to tell; the record is on its way all the same.
    standard_error::write_line(line);
}

/// Takes what is to become records; the worker calls it.
pub(crate) fn take_waiting() -> Vec<Diagnostic> {
    let mut state = state();
    let left_out = std::mem::take(&mut state.left_out);
    let mut waiting: Vec<_> = state.waiting.drain(..).collect();
    if let Some(last) = waiting.last_mut().filter(|_| left_out > 0) {
        last.text.push_str(&format!(" (and {left_out} more reports that had no room)"));
    }
    waiting
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
