//! The record and its way off the calling thread.
//!
//! The modules stand in the order in which a record meets them, last first: a module uses only
//! those below it.

#![deny(unsafe_code)]

pub mod testing;

pub mod bridge;

pub mod batch;
#[expect(unsafe_code, reason = "the table holds leaked entries behind atomic pointers")]
pub mod callsite;
pub mod export;
#[expect(unsafe_code, reason = "writes and reads typed bytes in lent memory")]
pub mod record;

#[expect(unsafe_code, reason = "reads the processor's counter")]
pub mod clock;
pub mod context;
pub mod ledger;
pub mod metric;
pub mod resource;

mod error;
mod level;
mod sync;

pub use error::Error;
pub use level::Level;
