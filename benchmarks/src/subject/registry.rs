//! tracing-subscriber's `Registry` alone: it allots spans and keeps nothing in them.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version, targets};
use crate::Result;
use crate::workload::{Op, tracing_emit};

/// The span store that every stack of layers stands on.
#[derive(Debug)]
pub(crate) struct TracingRegistry;

impl Subject for TracingRegistry {
    fn name(&self) -> &'static str {
        "tracing-registry"
    }

    fn version(&self) -> String {
        locked_version("tracing-subscriber")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        let purposes = matches!(purpose, Purpose::CallSite | Purpose::Memory);
        purposes && matches!(op, Op::Span | Op::SpanTree)
    }

    fn install(&self, _setup: &Setup) -> Result<Box<dyn Session>> {
        registry().with(targets()?).try_init()?;
        Ok(Box::new(Installed))
    }
}

struct Installed;

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {}

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::default()
    }
}
