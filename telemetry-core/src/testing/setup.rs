//! What has to be there in a process before its first capture.
//!
//! # Invariants
//!
//! - The global `tracing` subscriber is left alone: each thread of a capture has ours, as long as it
//!   is inside. So it does not matter who else installs one, or when.
//! - So is the `metrics` recorder. The global `log` logger is taken if nobody has it: it cannot be
//!   lent to threads.

use super::capture::printing_scope;
use crate::bridge::{self, metrics::Recorder};
use crate::diagnostics;
use crate::error::Error;
use crate::filter::Filter;
use crate::level::Level;
use crate::metric;
use crate::router;
use crate::scope::{self, Entered};
use crate::variables;
use std::cell::RefCell;
use std::sync::OnceLock;

/// What captures go without, because another library has it.
static MISSING: OnceLock<Vec<String>> = OnceLock::new();

thread_local! {
    /// The printing of a thread's records, until the thread ends.
    static PRINTS: RefCell<Option<Entered>> = const { RefCell::new(None) };
}

/// Prints what the calling thread emits, and what is started in here, with the test: call it in
/// any test, any number of times, from any thread.
///
/// `libtest` shows what is printed with the test that failed. `RUST_LOG` says what is printed,
/// `info` unless it is set. Other threads of the process print nothing; if a pipeline is attached,
/// it goes on taking their records. [`capture`](super::capture) calls this for itself.
///
/// Where another library's `tracing` subscriber is there already (`tracing-test`, `test-log`), it
/// keeps the thread, and captures take it from there.
///
/// ```
/// telemetry_core::testing::init_for_tests();
/// tracing::info!("printed with the test");
/// ```
pub fn init_for_tests() {
    turn_on();
    if scope::current_capture().is_some() || router::is_foreign_here() {
        return;
    }
    // Where the thread is at its end, nothing is printed any more.
    let _ = PRINTS.try_with(|prints| {
        let entered = scope::enter(&printing_scope());
        drop(prints.replace(Some(entered)));
    });
}

/// Makes captures possible in this process.
pub(super) fn turn_on() {
    MISSING.get_or_init(|| {
        crate::fork::watch();
        router::allow_captures();
        print_before_panics();
        scope::set_process_recorder(Box::new(Recorder::new(metric::global().clone())));
        let log = bridge::log::install().err().map(|error| error.to_string());
        log.into_iter().map(|error| format!("records of the `log` crate: {error}")).collect()
    });
}

/// Prints what other threads have emitted before a test's panic is printed.
fn print_before_panics() {
    // The standard library refuses, by a panic, to change hooks during one.
    if std::thread::panicking() {
        return;
    }
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(tape) = scope::current_capture().as_ref().and_then(|scope| scope.tape.as_ref())
        {
            tape.tell_all();
        }
        previous(panic);
    }));
}

/// What is printed: `RUST_LOG`, else `info`.
pub(super) fn filter() -> Filter {
    let (text, errors) = variables::read(|variable| variable("RUST_LOG"));
    errors.iter().for_each(report_filter);
    let text = text.filter(|text| !text.is_empty());
    let filter = text.map_or_else(|| Ok(Filter::level(Level::Info)), |text| text.parse());
    filter.unwrap_or_else(|error| {
        report_filter(&error);
        Filter::level(Level::Info)
    })
}

pub(super) fn report_filter(error: &Error) {
    let text = format!("{error:?}; `info` is printed");
    diagnostics::report("RUST_LOG", Level::Warn, text);
}

/// Why something may be missing in a capture.
pub(super) fn notes() -> Vec<String> {
    let mut notes: Vec<_> =
        MISSING.get().into_iter().flatten().map(|what| format!("not captured: {what}")).collect();
    if router::is_foreign_here() {
        notes.push(
            "another library's `tracing` subscriber was set for this thread after the capture \
             began: it has what is emitted here"
                .to_owned(),
        );
    }
    notes
}
