//! telemetry-toolkit itself.

use std::time::Duration;

use telemetry_toolkit::{ConsoleExporter, RateLimit, Telemetry, event};
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::{FILTER, Op, PEER, USER, hot_loop, ratio, tracing_emit};

/// The ways in that are measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    /// tracing's macros.
    Tracing,
    /// The library's own `event!`.
    EventMacro,
    /// tracing's macros, with a rate limit that nothing reaches.
    Limited,
    /// tracing's macros, with the recorder as a layer on a `Registry`.
    Layer,
    /// tracing's macros, where every call waits until its line is written.
    WriteThrough,
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        match self {
            Ours::Tracing => "telemetry",
            Ours::EventMacro => "telemetry-event-macro",
            Ours::Limited => "telemetry-limited",
            Ours::Layer => "telemetry-layer",
            Ours::WriteThrough => "telemetry-write-through",
        }
    }

    fn version(&self) -> String {
        locked_version("telemetry-toolkit")
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        let takes_part = match self {
            Ours::Tracing | Ours::EventMacro => true,
            // Behind the call site the faces do not differ.
            Ours::Layer => matches!(purpose, Purpose::CallSite | Purpose::Memory),
            Ours::Limited => purpose == Purpose::CallSite && op == Op::Event,
            Ours::WriteThrough => purpose == Purpose::Loss,
        };
        takes_part && (op == Op::EventMacro) == (*self == Ours::EventMacro)
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        // A burst from one call site is what is measured.
        let builder = telemetry_toolkit::builder().filter(FILTER).poller(false).metrics(false);
        let unreached = RateLimit::per_second(1_000_000).burst(100_000_000);
        let builder = builder.rate_limit((*self == Ours::Limited).then_some(unreached));
        let telemetry = match setup.purpose {
            Purpose::OtlpLogs | Purpose::OtlpSpans => {
                builder.no_console().otlp_endpoint(setup.endpoint()?)
            }
            Purpose::Idle => {
                let endpoint = setup.endpoint.clone();
                let builder = builder.console(ConsoleExporter::builder().stderr().build()?);
                let builder = builder.json_file(setup.json_file());
                builder.otlp_endpoint(endpoint.unwrap_or_else(|| "http://127.0.0.1:9".to_owned()))
            }
            Purpose::CallSite | Purpose::File | Purpose::Memory | Purpose::Loss => {
                let builder = builder.no_console().json_file(setup.json_file());
                builder.write_through(*self == Ours::WriteThrough)
            }
        };
        if *self == Ours::Layer {
            let (telemetry, layer) = telemetry.init_layer()?;
            registry().with(layer).try_init()?;
            return Ok(Box::new(Installed(telemetry)));
        }
        Ok(Box::new(Installed(telemetry.init()?)))
    }
}

struct Installed(Telemetry);

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        if op != Op::EventMacro {
            return tracing_emit(op, ops);
        }
        let span = info_span!("request", request_id = 7_u64, user = USER);
        let _inside = span.enter();
        hot_loop(ops, |i| {
            event!(Info, "request.handled", { count = i, ratio = ratio(i) }, {
                peer = PEER,
                ok = true,
                message = "request handled",
            });
        });
    }

    fn settle(&self) {
        let _ = self.0.flush(Duration::from_secs(60));
    }

    fn finish(self: Box<Self>) -> Outcome {
        let report = self.0.shutdown_within(Duration::from_secs(60));
        Outcome {
            blocked_ms: Some(report.blocked.as_secs_f64() * 1e3),
            counted_lost: Some(report.lost()),
        }
    }
}
