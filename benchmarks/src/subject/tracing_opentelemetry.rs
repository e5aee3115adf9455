//! tracing-opentelemetry over the SDK's batch span processor.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfig, BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version, targets};
use crate::Result;
use crate::workload::{Op, tracing_emit};

/// Room for everything a case emits: no record is dropped.
const QUEUE_LARGE: usize = 1 << 18;

/// The SDK's queue: 2,048 spans by default, and the rest is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TracingOpenTelemetry {
    /// Default settings.
    Default,
    /// A queue that holds the whole burst.
    LargeQueue,
}

impl Subject for TracingOpenTelemetry {
    fn name(&self) -> &'static str {
        match self {
            Self::Default => "tracing-opentelemetry",
            Self::LargeQueue => "tracing-opentelemetry-large-queue",
        }
    }

    fn version(&self) -> String {
        locked_version("tracing-opentelemetry")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        match purpose {
            // A dropped span is cheaper than a kept one: the call site is measured with a queue
            // that has room.
            Purpose::CallSite => *self == Self::Default && matches!(op, Op::Span | Op::SpanTree),
            Purpose::OtlpSpans => op == Op::Span,
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
                let endpoint = format!("{}/v1/traces", setup.endpoint()?);
                let builder = opentelemetry_otlp::SpanExporter::builder().with_http();
                provider(builder.with_endpoint(endpoint).build()?, config)
            }
        };
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("benchmarks"));
        registry().with(layer).with(targets()?).try_init()?;
        Ok(Box::new(Installed { provider }))
    }
}

fn provider<E: SpanExporter + 'static>(exporter: E, config: BatchConfig) -> SdkTracerProvider {
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    SdkTracerProvider::builder().with_span_processor(processor).build()
}

/// A provider whose exporter does nothing, with room for everything a case emits.
pub(super) fn provider_without_export() -> SdkTracerProvider {
    let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE_LARGE);
    provider(NoExport, config.build())
}

#[derive(Debug)]
struct NoExport;

impl SpanExporter for NoExport {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        drop(std::hint::black_box(batch));
        Ok(())
    }
}

struct Installed {
    provider: SdkTracerProvider,
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {
        if let Err(error) = self.provider.force_flush() {
            eprintln!("tracing-opentelemetry: {error}");
        }
    }

    fn finish(self: Box<Self>) -> Outcome {
        if let Err(error) = self.provider.shutdown() {
            eprintln!("tracing-opentelemetry: {error}");
        }
        Outcome::default()
    }
}
