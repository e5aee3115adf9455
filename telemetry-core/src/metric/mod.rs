//! Placeholder of the registry.

/// A reading of all metrics.
#[derive(Debug)]
pub struct Snapshot;
