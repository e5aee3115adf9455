//! Instructions a call, counted by valgrind: figures that do not move with the load of the machine.
//!
//! # Invariants
//!
//! - Only what the calling thread does inside `hot_loop` is counted (callgrind keeps the toggle a
//!   thread).
//! - The difference of a run of 2 N and one of N leaves out warm-up and first calls.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::child::Child;
use crate::subject::{Setup, Subject};
use crate::workload::Op;

const RECORDS: u64 = 1_000;

/// Instructions one `op` of `subject` takes on the calling thread.
///
/// # Errors
///
/// Fails where valgrind is missing or the subject cannot be installed.
pub(crate) fn instructions(subject: &dyn Subject, setup: &Setup, op: Op) -> Result<f64> {
    let ops = RECORDS / op.records().max(1);
    let short = total(subject, setup, op, ops)?;
    let long = total(subject, setup, op, 2 * ops)?;
    Ok(long.saturating_sub(short) as f64 / ops as f64)
}

/// Instructions that this program takes inside `hot_loop` when it is started with `words`.
///
/// # Errors
///
/// Fails where valgrind is missing or the program fails.
pub(crate) fn total_of(dir: &Path, words: &[OsString]) -> Result<u64> {
    let out = dir.join("callgrind.out");
    let program = valgrind(&out);
    let status = Command::new(&program[0])
        .args(&program[1..])
        .arg(std::env::current_exe()?)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("under valgrind: {status}").into());
    }
    read_total(&out)
}

fn valgrind(out: &Path) -> Vec<OsString> {
    let mut out_option = OsString::from("--callgrind-out-file=");
    out_option.push(out);
    let program = ["valgrind", "--tool=callgrind", "--toggle-collect=*hot_loop*"];
    program.map(OsString::from).into_iter().chain([out_option]).collect()
}

fn total(subject: &dyn Subject, setup: &Setup, op: Op, ops: u64) -> Result<u64> {
    let out = setup.dir.join("callgrind.out");
    let mut child = Child::start_under(&valgrind(&out), subject, setup)?;
    // First calls, and what they leave to others to do.
    child.ask(&format!("batch {} 1 1", op.word()))?;
    child.ask(&format!("batch {} {ops} 1", op.word()))?;
    child.end()?;
    read_total(&out)
}

fn read_total(out: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(out)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals:"));
    Ok(totals.ok_or("callgrind wrote no totals")?.trim().parse()?)
}
