//! The record and its way off the calling thread.
//!
//! The modules stand in the order in which a record meets them; a module uses only those that
//! stand below it.

#![deny(unsafe_code)]

pub mod bridge;

mod attached;
#[expect(unsafe_code, reason = "a thread's state is reached through a raw pointer")]
mod local;
mod macros;
#[expect(unsafe_code, reason = "span slots are shared memory of one type for ever")]
mod recorder;
mod router;

#[expect(unsafe_code, reason = "registers hooks with the C library")]
pub mod exit;
pub mod pipeline;
mod runner;
pub mod testing;
mod worker;

pub mod output;

pub mod batch;
#[expect(unsafe_code, reason = "the table holds leaked entries behind atomic pointers")]
pub mod callsite;
#[expect(unsafe_code, reason = "one producer and one consumer share raw memory")]
mod chunk;
pub mod export;
pub mod filter;
#[expect(unsafe_code, reason = "call sites count in a ledger behind an atomic pointer")]
mod intake;
#[expect(unsafe_code, reason = "writes and reads typed bytes in lent memory")]
pub mod record;

#[expect(unsafe_code, reason = "reads the processor's counter")]
pub mod clock;
pub mod context;
pub mod diagnostics;
pub mod ledger;
pub mod metric;
pub mod resource;
pub mod time_text;

mod error;
mod level;
mod sync;

#[doc(hidden)]
pub use macros::Site;

pub use error::Error;
pub use intake::{Waits, set_async_probe};
pub use level::Level;
pub use local::mark_own_thread;
pub use router::Sampler;
