//! A program for the command line: it counts lines. The result stands on standard output, what
//! happened on standard error in lines for people, and the exit code says whether all went well.
//! Every line is written before the program goes on, so that a crash loses none.
//!
//! `cargo run --example cli -- README.md`; `RUST_LOG=debug` shows more, `TELEMETRY_JSON_FILE=FILE`
//! keeps a record of the run, `--abort` crashes at the end.

#![expect(clippy::disallowed_macros, reason = "a program, and no part of the pipeline")]

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use telemetry_toolkit::{ConsoleExporter, Style, Telemetry, Time};
use tracing::{debug, error, info, info_span};

fn telemetry() -> Result<Telemetry, telemetry_toolkit::Error> {
    let console = ConsoleExporter::builder().stderr().style(Style::Pretty).time(Time::SinceStart);
    telemetry_toolkit::builder()
        .service("cli", env!("CARGO_PKG_VERSION"))
        .console(console.build()?)
        .write_through(true)
        .poller(false)
        .from_env()
        .init()
}

fn count(path: &str) -> io::Result<usize> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| line.map(|_| 1)).sum()
}

/// Counts the lines of all files, and returns whether it could.
#[expect(clippy::print_stdout, reason = "the result of the program")]
fn run(paths: &[String]) -> bool {
    let mut is_good = true;
    for path in paths {
        let _span = info_span!("count", path).entered();
        debug!("opening");
        match count(path) {
            Ok(lines) => {
                info!(lines, "counted");
                println!("{lines} {path}");
            }
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "cannot be counted");
                is_good = false;
            }
        }
    }
    is_good
}

#[expect(clippy::print_stderr, reason = "without telemetry there is no other way")]
fn main() -> ExitCode {
    let (switches, paths): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if paths.is_empty() || switches.iter().any(|switch| switch != "--abort") {
        eprintln!("usage: cli [--abort] FILE…");
        return ExitCode::from(2);
    }
    let telemetry = match telemetry() {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let is_good = run(&paths);
    info!(is_good, "done");
    if !switches.is_empty() {
        std::process::abort();
    }
    let report = telemetry.shutdown();
    if is_good && report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
