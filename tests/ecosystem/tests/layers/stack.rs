//! The process's one stack of layers, and what became of what the tests emit.

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use telemetry_toolkit::testing::{CapturedRecord, MemoryExporter};
use telemetry_toolkit::{SinkBuilder, Telemetry};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;

pub(crate) struct Stack {
    telemetry: Telemetry,
    memory: MemoryExporter,
    pub(crate) text: Text,
    pub(crate) otel: InMemorySpanExporter,
}

/// What a `fmt` layer has written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    pub(crate) fn lines_with(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

static STACK: LazyLock<Stack> = LazyLock::new(|| {
    let (memory, text) = (MemoryExporter::new("memory"), Text::default());
    let otel = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(otel.clone()).build();
    let written = text.clone();
    let fmt = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || written.clone())
        .with_filter(LevelFilter::WARN);
    let sink = SinkBuilder::new(memory.clone()).filter("debug".parse().unwrap());
    let telemetry = Telemetry::builder()
        .no_console()
        .poller(false)
        .exporter(sink)
        // Their layer has spans of its own here, which it attaches: they are not ours.
        .opentelemetry(false)
        .layer(tracing_error::ErrorLayer::default())
        .layer(sentry_tracing::layer().with_filter(LevelFilter::INFO))
        .layer(
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("tests"))
                .with_filter(LevelFilter::INFO),
        )
        .layer(fmt)
        .init()
        .unwrap();
    Stack { telemetry, memory, text, otel }
});

pub(crate) fn stack() -> &'static Stack {
    &STACK
}

impl Stack {
    /// What our exporter has of a target.
    pub(crate) fn records(&self, target: &str) -> Vec<CapturedRecord> {
        let report = self.telemetry.flush(Duration::from_secs(20)).unwrap();
        assert!(!report.timed_out && report.lost() == 0, "{report}");
        self.memory.records().into_iter().filter(|record| record.target == target).collect()
    }
}
