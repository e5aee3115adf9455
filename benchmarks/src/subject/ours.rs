//! telemetry-toolkit itself.

use super::{Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::Op;

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
        locked_version("telemetry-toolkit")
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn runs(&self, _purpose: Purpose, op: Op) -> bool {
        (op == Op::EventMacro) == (*self == Ours::EventMacro)
    }

    fn install(&self, _setup: &Setup) -> Result<Box<dyn Session>> {
        Err("not available".into())
    }
}
