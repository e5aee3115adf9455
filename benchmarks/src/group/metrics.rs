//! What a measurement costs: through a handle that is kept, through a macro or a call with labels,
//! and what is kept in memory when nobody reads.
//!
//! Beside us stand `metrics` with the recorder of its Prometheus exporter, which nobody scrapes, and
//! the OpenTelemetry SDK with a reader that comes once an hour.

mod subject;

use std::ffi::OsString;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Instant;

use crate::harness::{Report, Row, Values, median, samples, smallest};
use crate::usage::rss_bytes;
use crate::{Options, Result, callgrind};
use subject::{SUBJECTS, Subject};

const THREADS: [usize; 2] = [1, 2];
const OPS_A_BATCH: u64 = 20_000;
const BATCHES: usize = 15;
const CALLGRIND_OPS: u64 = 1_000;
/// Observations of one histogram that nobody reads.
const UNREAD: u64 = 10_000_000;

/// One thing a subject can be asked to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// A counter's handle that is kept.
    CounterBound,
    /// A counter with two labels that are literals.
    CounterLiteral,
    /// A counter with a label that is a literal and one that is one of sixteen texts.
    CounterLabelled,
    /// A gauge's handle that is kept.
    GaugeBound,
    /// A histogram's handle that is kept.
    HistogramBound,
    /// A histogram with two labels that are literals.
    HistogramLiteral,
}

impl Op {
    const ALL: [(Op, &str); 6] = [
        (Op::CounterBound, "counter_bound"),
        (Op::CounterLiteral, "counter_2_literals"),
        (Op::CounterLabelled, "counter_2_labels"),
        (Op::GaugeBound, "gauge_bound"),
        (Op::HistogramBound, "histogram_bound"),
        (Op::HistogramLiteral, "histogram_2_literals"),
    ];

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(op, _)| *op)
    }
}

/// Measures the group.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let mut found: Vec<(&Subject, Vec<Values>)> =
        SUBJECTS.iter().filter(|subject| is_asked(options, subject)).map(|s| (s, vec![])).collect();
    // In rounds, so that drifting load hits all of them.
    for _ in 0..options.runs {
        for (subject, runs) in &mut found {
            runs.push(in_child(&["times", subject.name])?);
        }
    }
    for (op, word) in Op::ALL {
        for (subject, runs) in found.iter().filter(|(subject, _)| subject.runs(op)) {
            for threads in THREADS {
                let ns = samples(runs, &format!("{word}_{threads}"));
                let mut values = Values::default()
                    .with_some("ns_min", smallest(&ns))
                    .with_some("ns_median", median(&ns));
                if options.callgrind && threads == 1 {
                    values = values.with("ir", instructions(options, subject, word)?);
                }
                report.add(row(word, subject, threads, values))?;
            }
        }
    }
    for (subject, _) in &found {
        let values = in_child(&["memory", subject.name])?;
        report.add(row("unread_10m", subject, 1, values))?;
    }
    Ok(())
}

fn is_asked(options: &Options, subject: &Subject) -> bool {
    match options.subjects.is_empty() {
        true => options.peers || subject.is_ours,
        false => options.subjects.iter().any(|name| name == subject.name),
    }
}

fn row(case: &str, subject: &Subject, threads: usize, values: Values) -> Row {
    let version = crate::subject::locked_version(subject.package);
    Row { group: "metrics", case: case.to_owned(), subject: subject.name, version, threads, values }
}

fn in_child(words: &[&str]) -> Result<Values> {
    let output = Command::new(std::env::current_exe()?)
        .arg("__metrics")
        .args(words)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("`{}` failed", words.join(" ")).into());
    }
    Ok(Values::from_words(&String::from_utf8(output.stdout)?))
}

/// Instructions a call, without the first ones: the difference of a run of 2 N and one of N.
fn instructions(options: &Options, subject: &Subject, op: &str) -> Result<f64> {
    let dir = super::directory(options)?;
    let total = |ops: u64| {
        let words = ["__metrics", "count", subject.name, op, &ops.to_string()].map(OsString::from);
        callgrind::total_of(dir.path(), &words)
    };
    let (short, long) = (total(CALLGRIND_OPS)?, total(2 * CALLGRIND_OPS)?);
    Ok((long.saturating_sub(short) as f64 / CALLGRIND_OPS as f64).round())
}

/// Runs as a child: installs the subject, measures, answers in one line.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (what, name) = (words.first(), words.get(1));
    let subject = SUBJECTS.iter().find(|subject| Some(&subject.name) == name);
    let measuring = (subject.ok_or("unknown subject")?.install)()?;
    let is_run = |op: Op| subject.is_some_and(|subject| subject.runs(op));
    let values = match what {
        Some(&"times") => {
            let mut values = Values::default();
            for (op, word) in Op::ALL.into_iter().filter(|(op, _)| is_run(*op)) {
                for threads in THREADS {
                    let ns: Vec<f64> =
                        (0..BATCHES).filter_map(|_| batch(&*measuring, op, threads)).collect();
                    values = values.with_some(&format!("{word}_{threads}"), median(&ns));
                }
            }
            values
        }
        Some(&"count") => {
            let op = words.get(2).and_then(|word| Op::parse(word)).ok_or("unknown operation")?;
            measuring(op, words.get(3).ok_or("missing number")?.parse()?);
            Values::default()
        }
        Some(&"memory") => {
            measuring(Op::HistogramBound, 1_000);
            let before = rss_bytes();
            measuring(Op::HistogramBound, UNREAD);
            let grown = rss_bytes().saturating_sub(before);
            Values::default().with("rss_delta_mb", grown as f64 / 1e6)
        }
        _ => return Err("unknown request".into()),
    };
    println!("{}", values.to_words());
    Ok(())
}

/// Nanoseconds of one operation, on so many threads at once.
fn batch(measuring: &subject::Measuring, op: Op, threads: usize) -> Option<f64> {
    let barrier = Barrier::new(threads);
    let one = || {
        measuring(op, 64);
        barrier.wait();
        let begin = Instant::now();
        measuring(op, black_box(OPS_A_BATCH));
        begin.elapsed().as_nanos() as f64 / OPS_A_BATCH as f64
    };
    let took: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    median(&took)
}
