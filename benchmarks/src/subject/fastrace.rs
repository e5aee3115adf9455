//! fastrace's local child spans, its cheapest, with a reporter that drops what it is given.

use std::borrow::Cow;

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanContext, SpanRecord};
use fastrace::local::LocalSpan;

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::{Op, SPAN, USER, hot_loop};

/// Spans under one root.
const ROOT_SPANS: u64 = 2_000;

/// Spans only.
#[derive(Debug)]
pub(crate) struct Fastrace;

impl Subject for Fastrace {
    fn name(&self) -> &'static str {
        "fastrace"
    }

    fn version(&self) -> String {
        locked_version("fastrace")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        purpose == Purpose::CallSite && matches!(op, Op::Span | Op::SpanTree)
    }

    fn install(&self, _setup: &Setup) -> Result<Box<dyn Session>> {
        fastrace::set_reporter(NoReport, Config::default());
        Ok(Box::new(Installed))
    }
}

struct NoReport;

impl Reporter for NoReport {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        drop(std::hint::black_box(spans));
    }
}

struct Installed;

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        // A local parent holds 10,240 spans and drops the rest in silence.
        let ops_per_root = ROOT_SPANS / op.records();
        let mut left = ops;
        while left > 0 {
            let now = left.min(ops_per_root);
            let root = Span::root("root", SpanContext::random());
            let _parent = root.set_local_parent();
            match op {
                Op::SpanTree => hot_loop(now, |i| tree(i, 10)),
                _ => hot_loop(now, |i| drop(child(i))),
            }
            left -= now;
        }
    }

    fn settle(&self) {
        fastrace::flush();
    }

    fn finish(self: Box<Self>) -> Outcome {
        fastrace::flush();
        Outcome::default()
    }
}

fn child(i: u64) -> LocalSpan {
    LocalSpan::enter_with_local_parent(SPAN).with_properties(|| {
        [("request_id", Cow::Owned(i.to_string())), ("user", Cow::Borrowed(USER))]
    })
}

fn tree(i: u64, depth: u32) {
    if depth > 0 {
        let _inside = child(i);
        tree(i, depth - 1);
    }
}
