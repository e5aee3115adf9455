//! The groups of cases; those about call sites share the rounds below.

pub(crate) mod callsite;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod idle;
pub(crate) mod loss;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod span;

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use crate::child::Child;
use crate::harness::{Report, Row, Values, median, samples, smallest};
use crate::subject::{self, Purpose, Setup, Subject};
use crate::workload::Op;
use crate::{Options, Result, callgrind};

/// One case of a call-site group.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    op: Op,
    /// Operations a batch and thread: 2,000 records fit into every queue, the SDK's default of
    /// 2,048 included.
    ops: u64,
    threads: usize,
}

impl Case {
    const fn new(name: &'static str, op: Op, ops: u64) -> Self {
        Self { name, op, ops, threads: 1 }
    }

    /// The same on so many threads at once.
    const fn on(self, threads: usize) -> Self {
        Self { threads, ..self }
    }
}

/// A directory that is gone when the group is done.
fn directory(options: &Options) -> Result<TempDir> {
    Ok(match &options.dir {
        Some(dir) => TempDir::new_in(dir)?,
        None => TempDir::new()?,
    })
}

fn setup(purpose: Purpose, dir: &Path, subject: &dyn Subject) -> Setup {
    Setup { purpose, dir: dir.join(subject.name()), endpoint: None }
}

/// Measures `cases` in rounds: one batch of every subject, again and again, in processes that stay.
fn rounds(
    group: &'static str,
    cases: &[Case],
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let dir = directory(options)?;
    let ops: Vec<Op> = cases.iter().map(|case| case.op).collect();
    let mut children = Vec::new();
    for subject in subject::chosen(options, Purpose::CallSite, &ops) {
        match Child::start(subject, &setup(Purpose::CallSite, dir.path(), subject)) {
            Ok(child) => children.push((subject, child)),
            Err(error) => left_out(group, subject, &error),
        }
    }
    for case in cases {
        for (subject, mut values) in measure(case, options, &mut children) {
            if options.callgrind && case.threads == 1 {
                let setup = setup(Purpose::CallSite, &dir.path().join("callgrind"), subject);
                match callgrind::instructions(subject, &setup, case.op) {
                    Ok(ir) => values = values.with("ir", ir.round()),
                    Err(error) => left_out("callgrind", subject, &error),
                }
            }
            report.add(row(group, case.name, subject, case.threads, values))?;
        }
    }
    children.into_iter().try_for_each(|(_, child)| child.end())
}

type Installed = (&'static dyn Subject, Child);

/// Runs the rounds of one case; a subject that fails is left out of this and of later cases.
fn measure(
    case: &Case,
    options: &Options,
    children: &mut Vec<Installed>,
) -> Vec<(&'static dyn Subject, Values)> {
    let ops = options.ops.unwrap_or(case.ops);
    let request = format!("batch {} {ops} {}", case.op.word(), case.threads);
    let mut batches: BTreeMap<&str, Vec<Values>> = BTreeMap::new();
    for _ in 0..options.batches {
        children.retain_mut(|(subject, child)| {
            if !subject.runs(Purpose::CallSite, case.op) {
                return true;
            }
            let answer = child.ask(&request).map_err(|error| left_out(case.name, *subject, &error));
            let alive = answer.is_ok();
            batches.entry(subject.name()).or_default().extend(answer);
            alive
        });
    }
    let measured = |(subject, _): &Installed| {
        batches.get(subject.name()).map(|batches| (*subject, summary(batches)))
    };
    children.iter().filter_map(measured).collect()
}

fn summary(batches: &[Values]) -> Values {
    let ns = samples(batches, "ns");
    Values::default()
        .with_some("ns_min", smallest(&ns))
        .with_some("ns_median", median(&ns))
        .with_some("cpu_ns_per_record", median(&samples(batches, "cpu_ns_per_record")))
}

fn row(
    group: &'static str,
    case: &str,
    subject: &dyn Subject,
    threads: usize,
    values: Values,
) -> Row {
    let (subject, version) = (subject.name(), subject.version());
    Row { group, case: case.to_owned(), subject, version, threads, values }
}

fn left_out(group: &str, subject: &dyn Subject, error: &dyn std::fmt::Display) {
    eprintln!("{group}: {} is left out: {error}", subject.name());
}

/// The way in a subject is measured by where a case is not about call sites.
fn event_op(subject: &dyn Subject, purpose: Purpose) -> Op {
    if subject.runs(purpose, Op::EventMacro) { Op::EventMacro } else { Op::Event }
}
