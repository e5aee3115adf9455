//! Foreign call sites: the facades that other libraries emit through.

pub mod log;
pub mod metrics;
