//! What live spans and threads keep in memory.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use tracing::Span;
use tracing::span::EnteredSpan;

use crate::child::Child;
use crate::harness::{Report, Values};
use crate::subject::{self, Purpose, Session};
use crate::usage::rss_bytes;
use crate::workload::{Op, tracing_span};
use crate::{Options, Result};

/// Case, request word, number.
const CASES: [(&str, &str, u64); 4] = [
    ("live_spans_1m", "live", 1_000_000),
    ("nested_1k", "nested", 1_000),
    ("nested_10k", "nested", 10_000),
    ("threads_1000", "threads", 1_000),
];

/// Measures the group: every case in a fresh process.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    for (case, word, count) in CASES {
        for subject in subject::chosen(options, Purpose::Memory, &[Op::Span]) {
            let dir = super::directory(options)?;
            let setup = super::setup(Purpose::Memory, dir.path(), subject);
            let measured = Child::start(subject, &setup).and_then(|mut child| {
                let values = child.ask(&format!("memory {word} {count}"))?;
                child.end()?;
                Ok(values)
            });
            match measured {
                Ok(values) => report.add(super::row("memory", case, subject, 1, values))?,
                Err(error) => super::left_out(case, subject, &error),
            }
        }
    }
    Ok(())
}

/// In the child.
pub(crate) fn answer(session: &dyn Session, case: &str, count: u64) -> Result<Values> {
    match case {
        "live" => Ok(live_spans(session, count)),
        "nested" => Ok(nested(session, count)),
        "threads" => Ok(threads(session, count as usize)),
        _ => Err(format!("unknown case `{case}`").into()),
    }
}

fn live_spans(session: &dyn Session, count: u64) -> Values {
    drop(tracing_span(0));
    // The handles are the caller's: their memory is touched before the first reading.
    let mut spans: Vec<Span> = (0..count).map(|_| Span::none()).collect();
    session.settle();
    let empty = rss_bytes();
    spans.iter_mut().zip(0..).for_each(|(span, i)| *span = tracing_span(i));
    session.settle();
    let live = rss_bytes();
    spans.iter_mut().for_each(|span| *span = Span::none());
    session.settle();
    let closed = rss_bytes();
    let above = |bytes: u64| bytes.saturating_sub(empty) as f64;
    Values::default()
        .with("bytes_each", above(live) / count as f64)
        .with("rss_live_mb", above(live) / 1e6)
        .with("rss_closed_mb", above(closed) / 1e6)
}

/// Spans inside each other, all entered; the second of two passes is measured.
fn nested(session: &dyn Session, count: u64) -> Values {
    let pass = || {
        let begin = Instant::now();
        let mut entered: Vec<EnteredSpan> = Vec::with_capacity(count as usize);
        (0..count).for_each(|i| entered.push(tracing_span(i).entered()));
        while let Some(innermost) = entered.pop() {
            drop(innermost);
        }
        let elapsed = begin.elapsed();
        session.settle();
        elapsed
    };
    pass();
    let elapsed = pass();
    Values::default()
        .with("total_ns", elapsed.as_nanos() as f64)
        .with("ns_median", elapsed.as_nanos() as f64 / count as f64)
}

/// Threads that are all alive before the first of them logs, and until the last reading.
fn threads(session: &dyn Session, count: usize) -> Values {
    let step = Barrier::new(count + 1);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                step.wait();
                step.wait();
                session.emit(Op::Event, 1);
                step.wait();
                step.wait();
            });
        }
        step.wait();
        let silent = rss_bytes();
        step.wait();
        step.wait();
        session.settle();
        let logged = rss_bytes();
        step.wait();
        Values::default()
            .with("rss_delta_mb", logged.saturating_sub(silent) as f64 / 1e6)
            .with("rss_silent_mb", silent as f64 / 1e6)
    })
}
