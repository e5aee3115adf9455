//! tracing's macros with nobody listening: the floor of what an instrumented library costs.

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::{Op, tracing_emit};

/// No subscriber.
#[derive(Debug)]
pub(crate) struct TracingOff;

impl Subject for TracingOff {
    fn name(&self) -> &'static str {
        "tracing-off"
    }

    fn version(&self) -> String {
        locked_version("tracing")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        purpose == Purpose::CallSite && op != Op::EventMacro
    }

    fn install(&self, _setup: &Setup) -> Result<Box<dyn Session>> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl Session for Nothing {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {}

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::default()
    }
}
