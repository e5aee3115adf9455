//! Logs and spans over OTLP HTTP to a null receiver in another process.
//!
//! # Invariants
//!
//! - `delivered` is what the receiver counted in the bodies, after the sender has shut down.
//! - Processor time is the sender's alone, divided by what was delivered: who drops everything is
//!   not cheap.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::harness::{Report, Values};
use crate::receiver::Receiver;
use crate::subject::{self, Purpose, Session, Setup, Subject};
use crate::usage::{cpu_ns, rss_peak_bytes};
use crate::workload::Op;
use crate::{Options, Result};

const SUSTAINED_PER_S: u64 = 50_000;
const SUSTAINED_RECORDS: u64 = 5 * SUSTAINED_PER_S;
/// A paced sender wakes this often.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    purpose: Purpose,
    /// 0: as fast as possible.
    per_s: u64,
}

const CASES: [Case; 4] = [
    Case { name: "logs_burst_200k", purpose: Purpose::OtlpLogs, per_s: 0 },
    Case { name: "spans_burst_200k", purpose: Purpose::OtlpSpans, per_s: 0 },
    Case { name: "logs_sustained", purpose: Purpose::OtlpLogs, per_s: SUSTAINED_PER_S },
    Case { name: "spans_sustained", purpose: Purpose::OtlpSpans, per_s: SUSTAINED_PER_S },
];

/// Measures the group: one sender a run, one receiver for all.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let receiver = Receiver::start()?;
    for case in CASES {
        let ops: &[Op] = match case.purpose {
            Purpose::OtlpSpans => &[Op::Span],
            _ => &[Op::Event, Op::EventMacro],
        };
        let subjects = subject::chosen(options, case.purpose, ops);
        let mut runs: Vec<Vec<Values>> = vec![Vec::new(); subjects.len()];
        for _ in 0..options.runs {
            for (subject, runs) in subjects.iter().zip(&mut runs) {
                match once(case, *subject, &receiver, options) {
                    Ok(values) => runs.push(values),
                    Err(error) => super::left_out(case.name, *subject, &error),
                }
            }
        }
        for (subject, runs) in subjects.iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
            let values = super::file::summary(runs);
            report.add(super::row("otlp", case.name, *subject, 1, values))?;
        }
    }
    Ok(())
}

fn once(
    case: Case,
    subject: &dyn Subject,
    receiver: &Receiver,
    options: &Options,
) -> Result<Values> {
    let dir = super::directory(options)?;
    let mut child = Child::start(subject, &setup(case.purpose, dir.path(), subject, receiver))?;
    let op = match case.purpose {
        Purpose::OtlpSpans => Op::Span,
        purpose => super::event_op(subject, purpose),
    };
    let records = if case.per_s == 0 { options.burst } else { SUSTAINED_RECORDS };
    let before = receiver.counts()?;
    let run = child.ask(&format!("otlp {} {records} {}", op.word(), case.per_s))?;
    let after = receiver.counts()?;
    child.end()?;
    if after.malformed > before.malformed {
        return Err("the receiver got a body it could not read".into());
    }
    let delivered = match case.purpose {
        Purpose::OtlpSpans => after.spans - before.spans,
        _ => after.logs - before.logs,
    };
    let body_bytes = after.body_bytes - before.body_bytes;
    let ratio = |name: &str| run.get(name).map(|total| total / delivered.max(1) as f64);
    let per_s = run.get("elapsed_s").map(|elapsed| delivered as f64 / elapsed);
    Ok(Values::default()
        .with_some("per_s", per_s)
        .with("delivered", delivered as f64)
        .with("lost", records as f64 - delivered as f64)
        .with_some("cpu_ns_per_record", ratio("cpu_ns"))
        .with("bytes_per_record", body_bytes as f64 / delivered.max(1) as f64)
        .with_some("peak_rss_mb", run.get("peak_rss_mb"))
        .with_some("blocked_ms", run.get("blocked_ms")))
}

fn setup(purpose: Purpose, dir: &Path, subject: &dyn Subject, receiver: &Receiver) -> Setup {
    Setup { endpoint: Some(receiver.endpoint()), ..super::setup(purpose, dir, subject) }
}

/// In the child: emits at once or paced, and shuts down.
pub(crate) fn answer(
    session: &mut Option<Box<dyn Session>>,
    op: Op,
    records: u64,
    per_s: u64,
) -> Result<Values> {
    let live = session.take().ok_or("the session is over")?;
    let (begin, cpu_begin) = (Instant::now(), cpu_ns());
    if per_s == 0 {
        live.emit(op, records);
    } else {
        paced(&*live, op, records, per_s);
    }
    let outcome = live.finish();
    Ok(Values::default()
        .with("elapsed_s", begin.elapsed().as_secs_f64())
        .with("cpu_ns", (cpu_ns() - cpu_begin) as f64)
        .with("peak_rss_mb", rss_peak_bytes() as f64 / 1e6)
        .with_some("blocked_ms", outcome.blocked_ms))
}

fn paced(session: &dyn Session, op: Op, records: u64, per_s: u64) {
    let begin = Instant::now();
    let mut emitted = 0;
    while emitted < records {
        let due = (begin.elapsed().as_secs_f64() * per_s as f64) as u64;
        let now = due.min(records).saturating_sub(emitted);
        if now > 0 {
            session.emit(op, now);
        }
        emitted += now;
        thread::sleep(TICK);
    }
}
