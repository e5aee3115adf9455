//! Foreign call sites: other crates' facades, made to write into ours.

pub mod metrics;
