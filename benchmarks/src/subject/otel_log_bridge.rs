//! opentelemetry-appender-tracing over the SDK's batch log processor.

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    BatchConfig, BatchConfigBuilder, BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider,
};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version, targets};
use crate::Result;
use crate::workload::{Op, tracing_emit};

/// Room for everything a case emits: no record is dropped.
const QUEUE_LARGE: usize = 1 << 18;

/// The SDK's queue: 2,048 records by default, and the rest is dropped. The bridge carries no span's
/// fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtelLogBridge {
    /// Default settings.
    Default,
    /// A queue that holds the whole burst.
    LargeQueue,
}

impl Subject for OtelLogBridge {
    fn name(&self) -> &'static str {
        match self {
            Self::Default => "otel-log-bridge",
            Self::LargeQueue => "otel-log-bridge-large-queue",
        }
    }

    fn version(&self) -> String {
        locked_version("opentelemetry-appender-tracing")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        match purpose {
            // A dropped record is cheaper than a kept one: the call site is measured with a queue
            // that has room.
            Purpose::CallSite => {
                let knows = matches!(op, Op::Event | Op::DisabledLevel | Op::DisabledTarget);
                *self == Self::Default && knows
            }
            Purpose::OtlpLogs => op == Op::Event,
            _ => false,
        }
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let large = *self == Self::LargeQueue || setup.purpose == Purpose::CallSite;
        let config = BatchConfigBuilder::default();
        let config =
            if large { config.with_max_queue_size(QUEUE_LARGE).build() } else { config.build() };
        let provider = match setup.purpose {
            Purpose::CallSite => provider(NoExport, config),
            _ => {
                let endpoint = format!("{}/v1/logs", setup.endpoint()?);
                let builder = opentelemetry_otlp::LogExporter::builder().with_http();
                provider(builder.with_endpoint(endpoint).build()?, config)
            }
        };
        registry().with(OpenTelemetryTracingBridge::new(&provider)).with(targets()?).try_init()?;
        Ok(Box::new(Installed { provider }))
    }
}

fn provider<E: LogExporter + 'static>(exporter: E, config: BatchConfig) -> SdkLoggerProvider {
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(config).build();
    SdkLoggerProvider::builder().with_log_processor(processor).build()
}

/// A provider whose exporter does nothing, with room for everything a case emits.
pub(super) fn provider_without_export() -> SdkLoggerProvider {
    let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE_LARGE);
    provider(NoExport, config.build())
}

#[derive(Debug)]
struct NoExport;

impl LogExporter for NoExport {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        std::hint::black_box(batch.iter().count());
        Ok(())
    }
}

struct Installed {
    provider: SdkLoggerProvider,
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {
        if let Err(error) = self.provider.force_flush() {
            eprintln!("otel-log-bridge: {error}");
        }
    }

    fn finish(self: Box<Self>) -> Outcome {
        if let Err(error) = self.provider.shutdown() {
            eprintln!("otel-log-bridge: {error}");
        }
        Outcome::default()
    }
}
