//! What a span costs its caller: new, enter, exit, close.

use super::Case;
use crate::harness::Report;
use crate::workload::Op;
use crate::{Options, Result};

const CASES: [Case; 3] = [
    Case::new("span_2_fields", Op::Span, 2_000),
    Case::new("span_tree_10", Op::SpanTree, 200),
    Case::new("span_2_fields_2t", Op::Span, 1_000).on(2),
];

/// Measures the group.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    super::rounds("span", &CASES, options, report)
}
