//! Two million events into a JSON file as fast as possible, until all are in the file.
//!
//! # Invariants
//!
//! - `delivered` is the number of lines in the file, counted after shutdown.
//! - Time and processor time run from the first event until shutdown has returned.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Instant;

use crate::child::Child;
use crate::harness::{Report, Values, largest, median, samples, smallest};
use crate::subject::{self, Purpose, Session, Subject};
use crate::usage::{cpu_ns, rss_peak_bytes};
use crate::workload::Op;
use crate::{Options, Result};

const CASES: [(&str, usize); 2] = [("json_2m_1t", 1), ("json_2m_2t", 2)];

/// Measures the group: one process a run.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let subjects = subject::chosen(options, Purpose::File, &[Op::Event, Op::EventMacro]);
    for (case, threads) in CASES {
        let mut runs: Vec<Vec<Values>> = vec![Vec::new(); subjects.len()];
        for _ in 0..options.runs {
            for (subject, runs) in subjects.iter().zip(&mut runs) {
                match once(*subject, options, threads) {
                    Ok(values) => runs.push(values),
                    Err(error) => super::left_out(case, *subject, &error),
                }
            }
        }
        for (subject, runs) in subjects.iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
            report.add(super::row("file", case, *subject, threads, summary(runs)))?;
        }
    }
    Ok(())
}

fn once(subject: &dyn Subject, options: &Options, threads: usize) -> Result<Values> {
    let dir = super::directory(options)?;
    let mut child = Child::start(subject, &super::setup(Purpose::File, dir.path(), subject))?;
    let op = super::event_op(subject, Purpose::File);
    let values = child.ask(&format!("file {} {} {threads}", op.word(), options.events))?;
    child.end()?;
    Ok(values)
}

/// Medians, except that what was delivered and lost is that of the worst run.
pub(super) fn summary(runs: &[Values]) -> Values {
    let middle = |name: &str| median(&samples(runs, name));
    Values::default()
        .with_some("per_s", middle("per_s").map(f64::round))
        .with_some("delivered", smallest(&samples(runs, "delivered")))
        .with_some("lost", largest(&samples(runs, "lost")))
        .with_some("cpu_ns_per_record", middle("cpu_ns_per_record"))
        .with_some("peak_rss_mb", middle("peak_rss_mb"))
        .with_some("blocked_ms", middle("blocked_ms"))
        .with_some("bytes_per_record", middle("bytes_per_record"))
}

/// In the child: emits, shuts down, counts what is in the directory.
pub(crate) fn answer(
    session: &mut Option<Box<dyn Session>>,
    dir: &Path,
    op: Op,
    events: u64,
    threads: usize,
) -> Result<Values> {
    let live = session.take().ok_or("the session is over")?;
    let (begin, cpu_begin) = (Instant::now(), cpu_ns());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| live.emit(op, events / threads as u64));
        }
    });
    let outcome = live.finish();
    let (elapsed, cpu) = (begin.elapsed(), cpu_ns() - cpu_begin);
    let peak = rss_peak_bytes();
    let (lines, bytes) = count_lines(dir)?;
    let emitted = events / threads as u64 * threads as u64;
    Ok(Values::default()
        .with("per_s", lines as f64 / elapsed.as_secs_f64())
        .with("delivered", lines as f64)
        .with("lost", emitted as f64 - lines as f64)
        .with("cpu_ns_per_record", cpu as f64 / lines.max(1) as f64)
        .with("peak_rss_mb", peak as f64 / 1e6)
        .with("bytes_per_record", bytes as f64 / lines.max(1) as f64)
        .with_some("blocked_ms", outcome.blocked_ms))
}

/// Lines and bytes of all files in `dir`: a subject may rotate.
///
/// Only lines of the workload count, so that a subject's own diagnostics are not taken for events.
fn count_lines(dir: &Path) -> Result<(u64, u64)> {
    let (mut lines, mut bytes) = (0, 0);
    let mut buffer = vec![0; 256 * 1024];
    for entry in std::fs::read_dir(dir)? {
        let mut file = File::open(entry?.path())?;
        loop {
            let taken = file.read(&mut buffer)?;
            if taken == 0 {
                break;
            }
            bytes += taken as u64;
            lines += buffer[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
    }
    Ok((lines, bytes))
}
