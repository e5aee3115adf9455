//! What a span costs its caller: new, enter, exit, close.

use super::Case;
use crate::harness::Report;
use crate::workload::Op;
use crate::{Options, Result};

const CASES: [Case; 2] = [
    Case { name: "span_2_fields", op: Op::Span, ops: 2_000 },
    Case { name: "span_tree_10", op: Op::SpanTree, ops: 200 },
];

/// Measures the group.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    super::rounds("span", &CASES, options, report)
}
