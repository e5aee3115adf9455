//! The record and its way off the calling thread.
//! Placeholder.

pub mod bridge;
pub mod metric;
