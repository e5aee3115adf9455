//! From records to the bytes of OTLP requests, without a structure in between.
//!
//! # Invariants
//!
//! - The bytes are what prost writes for the same message: ascending fields, minimal lengths,
//!   defaults left out; the tests compare them byte by byte.
//! - Nothing here allocates for a record, up to a dozen attributes.

pub(crate) mod attributes;
pub(crate) mod envelope;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod prepared;
pub(crate) mod spans;
pub(crate) mod wire;

#[cfg(test)]
mod tests;
