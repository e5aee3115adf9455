//! What an event costs its caller, wanted and unwanted.

use super::Case;
use crate::harness::Report;
use crate::workload::Op;
use crate::{Options, Result};

const CASES: [Case; 7] = [
    Case::new("event_4_fields_in_span", Op::Event, 2_000),
    Case::new("event_macro_4_fields_in_span", Op::EventMacro, 2_000),
    Case::new("event_3_debug_fields_in_instrument", Op::Instrumented, 2_000),
    Case::new("disabled_level", Op::DisabledLevel, 20_000),
    Case::new("disabled_target", Op::DisabledTarget, 20_000),
    Case::new("event_4_fields_in_span_2t", Op::Event, 1_000).on(2),
    Case::new("event_macro_4_fields_in_span_2t", Op::EventMacro, 1_000).on(2),
];

/// Measures the group.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    super::rounds("callsite", &CASES, options, report)
}
