//! telemetry-toolkit side by side with its peers: what a call costs, what a record costs end to
//! end, and what is lost.
//!
//! # Invariants
//!
//! - A global subscriber can be set once a process, so every subject runs in a child process of its
//!   own.
//! - Subjects are interleaved: a round is one batch (or one run) of each, so that drifting load
//!   hits all of them.
//! - Every sink is real: a 256 KiB buffer over a file, or HTTP to a receiver in another process.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: it reads clocks, starts threads and prints tables"
)]

mod callgrind;
mod child;
mod group;
mod harness;
mod receiver;
mod sink;
mod subject;
mod usage;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::harness::Report;

/// What every fallible function here returns: the message is for a person at a terminal.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures telemetry-toolkit, and with `--peers` the libraries it is compared with.
#[derive(Debug, Parser)]
#[command(name = "telemetry-benchmarks")]
pub(crate) struct Options {
    /// What to measure.
    #[arg(value_enum)]
    group: GroupName,
    /// Measure the peers too.
    #[arg(long)]
    peers: bool,
    /// Measure only these subjects (repeat the option), peers included.
    #[arg(long = "subject", value_name = "NAME")]
    subjects: Vec<String>,
    /// Append one JSON object a line to this file.
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Count instructions a call under valgrind too (callsite, span and metrics).
    #[arg(long)]
    callgrind: bool,
    /// Batches of each subject (callsite and span).
    #[arg(long, default_value_t = 31)]
    batches: usize,
    /// Operations a batch (callsite and span); each case has its own default.
    #[arg(long)]
    ops: Option<u64>,
    /// Runs of each subject (filter, metrics, file, otlp and loss).
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Events a run (file).
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Records a burst (otlp).
    #[arg(long, default_value_t = 200_000)]
    burst: u64,
    /// Where the files go; the default is the system's temporary directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A group of cases that are measured the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupName {
    /// Every group, in this order.
    All,
    /// What an event costs its caller.
    Callsite,
    /// What a span costs its caller.
    Span,
    /// What a filter costs, beside `LevelFilter` and `EnvFilter`.
    Filter,
    /// What a measurement costs, and what is kept of those that nobody reads.
    Metrics,
    /// Two million events into a JSON file.
    File,
    /// Logs and spans over OTLP to a null receiver.
    Otlp,
    /// What is lost when something goes wrong, and who says so.
    Loss,
    /// What live spans and threads keep in memory.
    Memory,
    /// What nothing costs, and how soon one record is visible.
    Idle,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("__child") => child::serve(&words[1..]),
        Some("__filter") => group::filter::serve(&words[1..]),
        Some("__metrics") => group::metrics::serve(&words[1..]),
        Some("__receiver") => receiver::serve(),
        _ => measure(&Options::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("telemetry-benchmarks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<()> {
    let mut report = Report::create(options.jsonl.as_deref())?;
    let wanted = |group| options.group == group || options.group == GroupName::All;
    type Run = fn(&Options, &mut Report) -> Result<()>;
    let groups: [(GroupName, &str, Run); 9] = [
        (GroupName::Callsite, "callsite", group::callsite::run),
        (GroupName::Span, "span", group::span::run),
        (GroupName::Filter, "filter", group::filter::run),
        (GroupName::Metrics, "metrics", group::metrics::run),
        (GroupName::File, "file", group::file::run),
        (GroupName::Otlp, "otlp", group::otlp::run),
        (GroupName::Loss, "loss", group::loss::run),
        (GroupName::Memory, "memory", group::memory::run),
        (GroupName::Idle, "idle", group::idle::run),
    ];
    for (name, title, run) in groups {
        if wanted(name) {
            run(options, &mut report)?;
            report.print(title);
        }
    }
    Ok(())
}
