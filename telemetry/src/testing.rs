//! For tests: of what a program emits, and of exporters.
//!
//! ```
//! use telemetry_toolkit::{assert_event, assert_metric, assert_span_tree, testing};
//!
//! #[tracing::instrument]
//! fn charge(amount: u32) {
//!     if amount == 0 {
//!         tracing::warn!(amount, "nothing to charge");
//!     }
//!     metrics::counter!("charges").increment(1);
//! }
//!
//! // In a `#[test]`, beside others that run at the same time:
//! let captured = testing::capture();
//! charge(0);
//! assert_event!(captured, level: Warn, message: testing::contains("nothing"), amount = 0);
//! assert_span_tree!(captured, "charge");
//! assert_metric!(captured, "charges" == 1);
//! ```
//!
//! What is captured is printed as well, in the console's compact style and with the test that
//! fails; `RUST_LOG` says what of it, `info` unless it is set. See `docs/testing.md`.
//!
//! # Invariants
//!
//! - The first call decides how records are printed, for the process.

pub use telemetry_core::testing::*;

/// Prints what the calling thread emits, and what is started in here, with the test: call it in
/// any test, any number of times, from any thread.
///
/// See [`telemetry_core::testing::init_for_tests`]; [`capture`] does it as well.
///
/// ```
/// telemetry_toolkit::testing::init_for_tests();
/// tracing::info!("shown if the test fails");
/// ```
pub fn init_for_tests() {
    print_as_the_console();
    telemetry_core::testing::init_for_tests();
}

/// Begins to capture what the calling thread emits and measures, and everything that is started in
/// here through the wrappers of `task` and [`context`](crate::context), until the capture is
/// dropped.
///
/// See [`telemetry_core::testing::capture`].
///
/// ```
/// use telemetry_toolkit::{assert_event, testing};
///
/// let captured = testing::capture();
/// tracing::info!(port = 8080, "listening");
/// assert_event!(captured, port = 8080);
/// ```
#[must_use = "it captures until it is dropped"]
pub fn capture() -> Capture {
    print_as_the_console();
    telemetry_core::testing::capture()
}

#[cfg(not(feature = "console"))]
fn print_as_the_console() {}

#[cfg(feature = "console")]
fn print_as_the_console() {
    use crate::export::{Ack, Exporter};
    use crate::{Colours, ConsoleExporter, Style};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let lines = Lines::default();
        let console = ConsoleExporter::builder()
            .writer(Box::new(lines.clone()))
            .style(Style::Compact)
            .colours(Colours::Never)
            .build();
        let Ok(mut console) = console else { return };
        print_with(move |batch| {
            console.export(batch.clone(), Ack::for_tests(batch.units(), |_| {}));
            lines.take()
        });
    });
}
