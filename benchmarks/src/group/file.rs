//! Two million events into a JSON file as fast as possible, until all are in the file.
//!
//! # Invariants
//!
//! - `delivered` is the number of events in the file, counted after shutdown.
//! - Time and processor time run from the first event until shutdown has returned.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;
use std::time::Instant;

use memchr::memmem::Finder;

use crate::child::Child;
use crate::harness::{Report, Values, largest, median, samples, smallest};
use crate::subject::{self, Purpose, Session, Subject};
use crate::usage::{cpu_ns, rss_peak_bytes};
use crate::workload::{MESSAGE, Op};
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
    let each = events / threads as u64;
    let emitted = each * threads as u64;
    let (begin, cpu_begin) = (Instant::now(), cpu_ns());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| live.emit(op, each));
        }
    });
    let outcome = live.finish();
    let (elapsed, cpu) = (begin.elapsed(), cpu_ns() - cpu_begin);
    let peak = rss_peak_bytes();
    let (delivered, bytes) = count_events(dir)?;
    Ok(Values::default()
        .with("per_s", delivered as f64 / elapsed.as_secs_f64())
        .with("delivered", delivered as f64)
        .with("lost", emitted as f64 - delivered as f64)
        .with("cpu_ns_per_record", cpu as f64 / delivered.max(1) as f64)
        .with("peak_rss_mb", peak as f64 / 1e6)
        .with("bytes_per_record", bytes as f64 / delivered.max(1) as f64)
        .with_some("blocked_ms", outcome.blocked_ms))
}

/// Events and their bytes in all files of `dir`: a subject may rotate.
///
/// Only whole lines that say what the workload says count: a subject may also write its spans or
/// diagnostics.
fn count_events(dir: &Path) -> Result<(u64, u64)> {
    let message = Finder::new(MESSAGE);
    let (mut events, mut bytes) = (0, 0);
    let mut line = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let mut file = BufReader::with_capacity(256 * 1024, File::open(entry?.path())?);
        while file.read_until(b'\n', &mut line)? > 0 {
            if line.ends_with(b"\n") && message.find(&line).is_some() {
                events += 1;
                bytes += line.len() as u64;
            }
            line.clear();
        }
    }
    Ok((events, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_the_workload_count() {
        let dir = tempfile::tempdir().unwrap();
        let event = format!("{{\"message\":\"{MESSAGE}\"}}\n");
        let torn = &event[..event.len() - 3];
        let text = format!("{event}{{\"span\":\"request\"}}\n{event}{torn}");
        std::fs::write(dir.path().join("events.jsonl"), text).unwrap();
        assert_eq!(count_events(dir.path()).unwrap(), (2, 2 * event.len() as u64));
    }
}
