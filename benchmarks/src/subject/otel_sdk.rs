//! The OpenTelemetry SDK without `tracing` in front of it.

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use super::{otel_log_bridge, tracing_opentelemetry};
use crate::Result;
use crate::workload::{MESSAGE, Op, PEER, SPAN, USER, hot_loop, ratio};

/// Log records and spans by the API, with an exporter that does nothing behind the batch
/// processors.
#[derive(Debug)]
pub(crate) struct OtelSdk;

impl Subject for OtelSdk {
    fn name(&self) -> &'static str {
        "otel-sdk"
    }

    fn version(&self) -> String {
        locked_version("opentelemetry_sdk")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        purpose == Purpose::CallSite && matches!(op, Op::Event | Op::Span | Op::SpanTree)
    }

    fn install(&self, _setup: &Setup) -> Result<Box<dyn Session>> {
        let (logs, spans) = (
            otel_log_bridge::provider_without_export(),
            tracing_opentelemetry::provider_without_export(),
        );
        let (logger, tracer) = (logs.logger("benchmarks"), spans.tracer("benchmarks"));
        Ok(Box::new(Installed { logs, spans, logger, tracer }))
    }
}

struct Installed {
    logs: SdkLoggerProvider,
    spans: SdkTracerProvider,
    logger: SdkLogger,
    tracer: SdkTracer,
}

impl Installed {
    fn log(&self, i: u64) {
        let mut record = self.logger.create_log_record();
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        record.set_body(AnyValue::from(MESSAGE));
        record.add_attribute("count", i as i64);
        record.add_attribute("ratio", ratio(i));
        record.add_attribute("peer", PEER);
        record.add_attribute("ok", true);
        self.logger.emit(record);
    }

    fn span(&self, i: u64) -> SdkSpan {
        self.tracer
            .span_builder(SPAN)
            .with_attributes([KeyValue::new("request_id", i as i64), KeyValue::new("user", USER)])
            .start(&self.tracer)
    }

    fn tree(&self, i: u64, depth: u32) {
        if depth > 0 {
            let _inside = Context::current_with_span(self.span(i)).attach();
            self.tree(i, depth - 1);
        }
    }
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        match op {
            Op::Span => hot_loop(ops, |i| self.tree(i, 1)),
            Op::SpanTree => hot_loop(ops, |i| self.tree(i, 10)),
            _ => {
                let _inside = Context::current_with_span(self.span(7)).attach();
                hot_loop(ops, |i| self.log(i));
            }
        }
    }

    fn settle(&self) {
        let flushed = self.logs.force_flush().and_then(|()| self.spans.force_flush());
        if let Err(error) = flushed {
            eprintln!("otel-sdk: {error}");
        }
    }

    fn finish(self: Box<Self>) -> Outcome {
        self.settle();
        Outcome::default()
    }
}
