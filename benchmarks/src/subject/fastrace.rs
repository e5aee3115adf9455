//! fastrace child spans, with a reporter that drops what it is given.

use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanContext, SpanRecord};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::{Op, USER, hot_loop};

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
        let root = Span::root("root", SpanContext::random());
        match op {
            Op::SpanTree => hot_loop(ops, |i| tree(i, 10, &root)),
            _ => hot_loop(ops, |i| {
                let span = child(i, &root);
                drop(span.set_local_parent());
            }),
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

fn child(i: u64, parent: &Span) -> Span {
    Span::enter_with_parent("request", parent)
        .with_properties(|| [("request_id", i.to_string()), ("user", USER.to_owned())])
}

fn tree(i: u64, depth: u32, parent: &Span) {
    if depth > 0 {
        let span = child(i, parent);
        let _inside = span.set_local_parent();
        tree(i, depth - 1, &span);
    }
}
