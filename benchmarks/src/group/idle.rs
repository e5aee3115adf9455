//! What nothing costs, and how soon one record can be read in the file.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::harness::{Report, Values, largest, median};
use crate::receiver::Receiver;
use crate::subject::{self, Purpose, Session, Setup};
use crate::usage::cpu_ns;
use crate::workload::Op;
use crate::{Options, Result};

/// Case, request word, seconds or records.
const CASES: [(&str, &str, u64); 2] = [("idle_cpu", "cpu", 20), ("latency_file", "latency", 50)];
/// Time after the last record until a service counts as idle.
const QUIET: Duration = Duration::from_secs(3);
const VISIBLE_MAX: Duration = Duration::from_secs(5);

/// Measures the group: every case in a fresh process.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let receiver = Receiver::start()?;
    for (case, word, count) in CASES {
        for subject in subject::chosen(options, Purpose::Idle, &[Op::Event]) {
            let dir = super::directory(options)?;
            let setup = super::setup(Purpose::Idle, dir.path(), subject);
            let setup = Setup { endpoint: Some(receiver.endpoint()), ..setup };
            let measured = Child::start(subject, &setup).and_then(|mut child| {
                let values = child.ask(&format!("idle {word} {count}"))?;
                child.end()?;
                Ok(values)
            });
            match measured {
                Ok(values) => report.add(super::row("idle", case, subject, 1, values))?,
                Err(error) => super::left_out(case, subject, &error),
            }
        }
    }
    Ok(())
}

/// In the child.
pub(crate) fn answer(session: &dyn Session, case: &str, dir: &Path, count: u64) -> Result<Values> {
    match case {
        "cpu" => Ok(idle_cpu(session, Duration::from_secs(count))),
        "latency" => latency(session, dir, count),
        _ => Err(format!("unknown case `{case}`").into()),
    }
}

fn idle_cpu(session: &dyn Session, time: Duration) -> Values {
    session.emit(Op::Event, 1);
    thread::sleep(QUIET);
    let (begin, cpu_begin) = (Instant::now(), cpu_ns());
    thread::sleep(time);
    let share = (cpu_ns() - cpu_begin) as f64 / begin.elapsed().as_nanos() as f64;
    Values::default().with("cpu_percent", share * 100.0)
}

/// From the call to the line in the file, with pauses of many lengths between the calls.
fn latency(session: &dyn Session, dir: &Path, count: u64) -> Result<Values> {
    session.emit(Op::Event, 1);
    let mut waits_ms = Vec::new();
    for i in 0..count {
        // Primes apart, so that no fixed interval of a worker is always met at the same place.
        thread::sleep(Duration::from_millis(120 + i * 37 % 101));
        let bytes = bytes_in(dir)?;
        let begin = Instant::now();
        session.emit(Op::Event, 1);
        while bytes_in(dir)? == bytes {
            if begin.elapsed() > VISIBLE_MAX {
                return Err("a record was not in the file after 5 s".into());
            }
            thread::sleep(Duration::from_micros(200));
        }
        waits_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Values::default()
        .with_some("latency_ms_median", median(&waits_ms))
        .with_some("latency_ms_max", largest(&waits_ms)))
}

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
