//! Samples what nobody calls out: process statistics, and measurements of your own, on a thread
//! of its own, into a [`Registry`](telemetry_core::metric::Registry).
//!
//! # Invariants
//!
//! - What cannot be read is absent and reported once: never 0, never the last value.
//! - A measurement that fails or panics stops no other; it is tried again, ever more rarely, and
//!   never given up.
//! - Ticks do not drift: each is the one before plus the period. Missed ones are skipped and
//!   counted; there is no burst after a suspend.
//! - The thread never outlives its [`PollerHandle`] by more than the measurement that runs.
//!
//! ```
//! use telemetry_core::metric::Registry;
//! use telemetry_poller::Poller;
//!
//! let registry = Registry::new();
//! let poller = Poller::builder()
//!     .registry(registry.clone())
//!     .measure("queue", |measure| {
//!         measure.up_down_counter("queue.length", [("queue", "mail")], 3);
//!         Ok(())
//!     })
//!     .start()?;
//! poller.poll_now()?;
//! assert_eq!(registry.up_down_counter("queue.length", [("queue", "mail")]).value(), 3);
//! poller.shutdown()?;
//! # Ok::<(), telemetry_poller::Error>(())
//! ```
//!
//! The default set of `process.*` metrics is documented in [`process`].

mod engine;
mod error;
mod measure;
mod poller;
pub mod process;
mod report;
mod schedule;
mod worker;

pub use error::Error;
pub use measure::{Measure, MeasureError};
pub use poller::{Builder, PERIOD_MAX, PERIOD_MIN, PolledValues, Poller, PollerHandle};
pub use report::{Failure, MeasurementInfo, PollReport, PolledValue};
