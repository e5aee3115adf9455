//! telemetry-toolkit itself.

use std::time::Duration;

use telemetry_core::event;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_json::JsonExporter;
use tracing::info_span;

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::{FILTER, Op, USER, PEER, hot_loop, ratio, tracing_emit};

/// The ways in that are measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    /// tracing's macros.
    Tracing,
    /// The library's own `event!`.
    EventMacro,
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        match self {
            Ours::Tracing => "telemetry",
            Ours::EventMacro => "telemetry-event-macro",
        }
    }

    fn version(&self) -> String {
        locked_version("telemetry-core")
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn runs(&self, _purpose: Purpose, op: Op) -> bool {
        (op == Op::EventMacro) == (*self == Ours::EventMacro)
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let json = JsonExporter::builder().file(setup.json_file()).metrics(false).build()?;
        let filter: Filter = FILTER.parse()?;
        let mut builder = Pipeline::builder();
        if setup.purpose != Purpose::OtlpLogs && setup.purpose != Purpose::OtlpSpans {
            builder = builder.sink(SinkBuilder::new(json).filter(filter));
        }
        Ok(Box::new(Attached(builder.attach()?)))
    }
}

struct Attached(Pipeline);

impl Session for Attached {
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
        let report = self.0.shutdown(Duration::from_secs(60));
        Outcome { blocked_ms: Some(report.blocked.as_secs_f64() * 1e3) }
    }
}
