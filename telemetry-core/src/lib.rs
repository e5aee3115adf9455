//! The record and its way off the calling thread.
//!
//! The modules stand in the order in which they use each other: a module uses only those below
//! it. First the side of the exporters and the pipeline, then the way of a record from its call
//! site to the worker, then what both are made of.

#![deny(unsafe_code)]

pub mod testing;

pub mod output;

#[expect(unsafe_code, reason = "registers a hook with the C library")]
pub mod exit;
pub mod inspect;
pub mod pipeline;
#[cfg_attr(unix, expect(unsafe_code, reason = "registers an action with a signal handler"))]
pub mod signal;
mod filter_file;
#[expect(unsafe_code, reason = "registers a hook with the C library")]
mod fork;
mod worker;
mod runner;
mod control;

mod macros;
pub mod bridge;
pub mod context;
#[expect(unsafe_code, reason = "span slots are shared memory of one type for ever")]
mod recorder;
mod scope;
mod router;
mod sampler;
#[expect(unsafe_code, reason = "a thread's state is reached through a raw pointer")]
mod local;
mod takers;
mod plan;
mod tape;
#[expect(unsafe_code, reason = "call sites count in a ledger behind an atomic pointer")]
mod intake;
mod flush;
mod own;
mod observer;
#[expect(unsafe_code, reason = "one producer and one consumer share raw memory")]
mod chunk;

mod rules;
pub mod export;
pub mod batch;
#[expect(unsafe_code, reason = "the table holds leaked entries behind atomic pointers")]
pub mod callsite;
pub mod filter;
mod rate_limit;
#[expect(unsafe_code, reason = "writes and reads typed bytes in lent memory")]
pub mod record;

mod propagation;
pub mod resource;
pub mod metric;
pub mod watch;
pub mod diagnostics;
#[expect(unsafe_code, reason = "asks standard error for room")]
mod standard_error;
#[cfg(unix)]
#[expect(unsafe_code, reason = "asks the kernel about sockets and users")]
pub mod peer;
pub mod redaction;
pub mod ledger;
#[expect(unsafe_code, reason = "reads the processor's counter")]
pub mod clock;
pub mod time_text;
pub mod document;
pub mod variables;
mod level;
mod error;
mod sync;

#[doc(hidden)]
pub use macros::{MeasureSite, Site, SiteLabels, label_value as __label_value};
#[doc(hidden)]
pub use metrics as __metrics;
#[doc(hidden)]
pub use sync::is_forked;

pub use error::Error;
pub use intake::{Waits, set_async_probe};
pub use level::Level;
pub use local::mark_own_thread;
pub use macros::Measured;
#[cfg(feature = "layer")]
pub use recorder::layer::TelemetryLayer;
pub use sampler::Sampler;
