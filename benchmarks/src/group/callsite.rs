//! What an event costs its caller, wanted and unwanted.

use super::Case;
use crate::harness::Report;
use crate::workload::Op;
use crate::{Options, Result};

const CASES: [Case; 4] = [
    Case { name: "event_4_fields_in_span", op: Op::Event, ops: 2_000 },
    Case { name: "event_macro_4_fields_in_span", op: Op::EventMacro, ops: 2_000 },
    Case { name: "disabled_level", op: Op::DisabledLevel, ops: 20_000 },
    Case { name: "disabled_target", op: Op::DisabledTarget, ops: 20_000 },
];

/// Measures the group.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    super::rounds("callsite", &CASES, options, report)
}
