//! The recorder as a layer on a `Registry`, which is the process's `tracing` subscriber.

use std::sync::Once;
use telemetry_core::TelemetryLayer;
use telemetry_core::pipeline::{Builder, Pipeline};
use tracing_subscriber::layer::SubscriberExt;

/// Does whoever calls `tracing` hold a span's parent open, beside our recorder?
pub(crate) const HOLDS_PARENTS_ITSELF: bool = true;

/// What a pipeline is made of, in a process with this face.
pub(crate) fn builder() -> Builder {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new());
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    Pipeline::builder()
}
