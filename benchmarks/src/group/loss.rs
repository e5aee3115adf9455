//! What is lost when something goes wrong, and who says so.
//!
//! Every subject is set up as its own documentation shows, and emits from one thread.
//!
//! # Invariants
//!
//! - `delivered` is what the files hold afterwards, event by event: the workload numbers them.
//! - `counted_lost` is what the library itself says, by its API or in its file; nothing is asked
//!   of a process that has ended.
//! - `unexplained` = `emitted` - `delivered` - `counted_lost`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use memchr::memmem;

use crate::child::Child;
use crate::harness::{Report, Values, largest, median, samples, smallest};
use crate::subject::{self, Purpose, Session, Setup, Subject};
use crate::workload::{MESSAGE, Op};
use crate::{Options, Result};

/// Events a case.
const EVENTS: u64 = 50_000;
/// What a slow disk takes: so many bytes, then a pause.
const SLOW_BYTES: usize = 32 * 1024;
const SLOW_PAUSE: Duration = Duration::from_millis(8);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The file takes 4 MB/s (a named pipe whose reader takes its time).
    SlowDisk,
    /// The file system holds 4 MiB.
    FullDisk,
    /// `std::process::exit` right after the last event.
    ProcessExit,
    /// `std::process::abort` right after the last event.
    Abort,
    /// Killed right after the last event.
    SigKill,
    /// The file is deleted between two halves.
    DeletedFile,
}

const FAULTS: [(Fault, &str); 6] = [
    (Fault::SlowDisk, "slow_disk"),
    (Fault::FullDisk, "full_disk"),
    (Fault::ProcessExit, "process_exit"),
    (Fault::Abort, "abort"),
    (Fault::SigKill, "sigkill"),
    (Fault::DeletedFile, "deleted_file"),
];

/// Measures the group: one process a run, the worst run of each.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let ops = [Op::Event, Op::EventMacro];
    for (fault, case) in FAULTS {
        for subject in subject::chosen(options, Purpose::Loss, &ops) {
            if fault == Fault::SlowDisk && !subject.writes_where_it_is_told() {
                super::left_out(
                    case,
                    subject,
                    &"it names its files itself: no pipe can stand there",
                );
                continue;
            }
            let mut runs = Vec::new();
            for _ in 0..options.runs {
                match once(subject, options, fault) {
                    Ok(values) => runs.push(values),
                    Err(error) => super::left_out(case, subject, &error),
                }
            }
            if !runs.is_empty() {
                report.add(super::row("loss", case, subject, 1, worst(&runs)))?;
            }
        }
    }
    Ok(())
}

fn worst(runs: &[Values]) -> Values {
    Values::default()
        .with("emitted", EVENTS as f64)
        .with_some("delivered", smallest(&samples(runs, "delivered")))
        .with_some("counted_lost", largest(&samples(runs, "counted_lost")))
        .with_some("unexplained", largest(&samples(runs, "unexplained")))
        .with_some("unexplained_median", median(&samples(runs, "unexplained")))
}

fn once(subject: &dyn Subject, options: &Options, fault: Fault) -> Result<Values> {
    let dir = super::directory(options)?;
    let setup = super::setup(Purpose::Loss, dir.path(), subject);
    fs::create_dir_all(&setup.dir)?;
    let place = Place::prepare(fault, &setup)?;
    let child = Child::start(subject, &setup)?;
    let op = super::event_op(subject, Purpose::Loss).word();
    let (saved, counted) = strike(child, fault, op, &setup, dir.path())?;
    let found = place.collect(&setup, saved)?;
    let times = if fault == Fault::DeletedFile { 2 } else { 1 };
    let delivered = found.delivered(times);
    let counted = counted.or(found.reported);
    Ok(Values::default()
        .with("delivered", delivered as f64)
        .with_some("counted_lost", counted.map(|counted| counted as f64))
        .with("unexplained", EVENTS as f64 - delivered as f64 - counted.unwrap_or(0) as f64))
}

/// Lets the child emit, and the fault happen; returns files that were saved from it, and what the
/// library says it lost.
fn strike(
    mut child: Child,
    fault: Fault,
    op: &str,
    setup: &Setup,
    dir: &Path,
) -> Result<(Vec<PathBuf>, Option<u64>)> {
    let mut saved = Vec::new();
    match fault {
        Fault::ProcessExit => {
            return child.ask_last(&format!("loss exit {op} {EVENTS}")).map(|()| (saved, None));
        }
        Fault::Abort => {
            return child.ask_last(&format!("loss abort {op} {EVENTS}")).map(|()| (saved, None));
        }
        Fault::SigKill => {
            child.ask(&format!("loss emit {op} {EVENTS}"))?;
            return child.kill().map(|()| (saved, None));
        }
        Fault::SlowDisk | Fault::FullDisk => {
            child.ask(&format!("loss emit {op} {EVENTS}"))?;
        }
        Fault::DeletedFile => {
            let half = EVENTS / 2;
            child.ask(&format!("loss settle {op} {half}"))?;
            saved = save_and_delete(&setup.dir, &dir.join("saved"))?;
            child.ask(&format!("loss emit {op} {half}"))?;
        }
    }
    let answer = child.ask(&format!("loss finish {op} 0"))?;
    child.end()?;
    Ok((saved, answer.get("counted_lost").map(|lost| lost as u64)))
}

/// Copies what the files hold now, and deletes them.
fn save_and_delete(from: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(to)?;
    let mut saved = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        fs::remove_file(entry.path())?;
        saved.push(copy);
    }
    Ok(saved)
}

/// In the child: emits, and ends as it is told.
pub(crate) fn answer(
    session: &mut Option<Box<dyn Session>>,
    what: &str,
    op: Op,
    events: u64,
) -> Result<Values> {
    let live = session.as_deref().ok_or("the session is over")?;
    match what {
        "finish" => {
            let outcome = session.take().ok_or("the session is over")?.finish();
            let lost = outcome.counted_lost.map(|lost| lost as f64);
            return Ok(Values::default().with_some("counted_lost", lost));
        }
        "exit" => {
            live.emit(op, events);
            std::process::exit(0);
        }
        "abort" => {
            live.emit(op, events);
            std::process::abort();
        }
        "settle" => {
            live.emit(op, events);
            live.settle();
        }
        _ => live.emit(op, events),
    }
    Ok(Values::default())
}

/// Where the subject writes.
enum Place {
    Files,
    Pipe { reader: JoinHandle<std::io::Result<Vec<u8>>>, over: Over },
    Small { _mounted: Mounted },
}

/// Tells the pipe's reader that nothing comes any more, at the latest when it is dropped.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Place {
    fn prepare(fault: Fault, setup: &Setup) -> Result<Self> {
        match fault {
            Fault::SlowDisk => {
                let path = setup.json_file();
                run_command(Command::new("mkfifo").arg(&path))?;
                let over = Arc::new(AtomicBool::new(false));
                // Both ways: it opens without a writer, and ends when it is told.
                let mut options = OpenOptions::new();
                let pipe =
                    options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
                let reader = thread::spawn({
                    let over = Arc::clone(&over);
                    move || read_slowly(pipe, &over)
                });
                Ok(Self::Pipe { reader, over: Over(over) })
            }
            Fault::FullDisk => Ok(Self::Small { _mounted: Mounted::at(&setup.dir)? }),
            _ => Ok(Self::Files),
        }
    }

    fn collect(self, setup: &Setup, saved: Vec<PathBuf>) -> Result<Found> {
        let mut found = Found::default();
        for path in saved {
            found.add(File::open(path)?)?;
        }
        if let Self::Pipe { reader, over } = self {
            drop(over);
            let bytes = reader.join().map_err(|_| "the reader of the pipe panicked")??;
            found.add(&bytes[..])?;
            return Ok(found);
        }
        for entry in fs::read_dir(&setup.dir)? {
            found.add(File::open(entry?.path())?)?;
        }
        Ok(found)
    }
}

fn read_slowly(mut pipe: File, over: &AtomicBool) -> std::io::Result<Vec<u8>> {
    let (mut all, mut some) = (Vec::new(), vec![0; SLOW_BYTES]);
    loop {
        let ends = over.load(Ordering::Acquire);
        match pipe.read(&mut some) {
            Ok(read) => all.extend_from_slice(&some[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && ends => return Ok(all),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        thread::sleep(SLOW_PAUSE);
    }
}

/// A file system of 4 MiB, until it is dropped. It needs the right to mount.
struct Mounted(PathBuf);

impl Mounted {
    fn at(dir: &Path) -> Result<Self> {
        let mut mount = Command::new("mount");
        run_command(mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir))?;
        Ok(Self(dir.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = run_command(Command::new("umount").arg("--lazy").arg(&self.0)) {
            eprintln!("loss: {error}");
        }
    }
}

fn run_command(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {}", text.trim()).into())
}

/// What files hold.
#[derive(Debug, Default)]
struct Found {
    /// How often each event is there.
    events: BTreeMap<u64, u64>,
    /// Losses that the library reports in its own file (slog-async).
    reported: Option<u64>,
}

impl Found {
    fn add(&mut self, source: impl Read) -> std::io::Result<()> {
        let mut source = BufReader::with_capacity(256 * 1024, source);
        let mut line = Vec::new();
        while source.read_until(b'\n', &mut line)? > 0 {
            // A line without an end is half a line.
            if line.ends_with(b"\n") {
                self.add_line(&line);
            }
            line.clear();
        }
        Ok(())
    }

    fn add_line(&mut self, line: &[u8]) {
        let Some(count) = number_behind(line, b"count") else { return };
        if memmem::find(line, MESSAGE.as_bytes()).is_some() {
            *self.events.entry(count).or_default() += 1;
        } else if memmem::find(line, b"channel overflow").is_some() {
            *self.reported.get_or_insert(0) += count;
        }
    }

    /// How many events were delivered, where each was emitted `times`.
    fn delivered(&self, times: u64) -> u64 {
        self.events.values().map(|seen| *seen.min(&times)).sum()
    }
}

/// The number that stands behind a name, whatever is between them.
fn number_behind(line: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &line[memmem::find(line, name)? + name.len()..];
    let digits = rest.iter().skip_while(|byte| !byte.is_ascii_digit());
    let digits: String =
        digits.take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_as_often_as_it_was_emitted_and_half_a_line_never() {
        let mut found = Found::default();
        let line = |n: u32| format!("{{\"message\":\"{MESSAGE}\",\"count\":{n}}}\n");
        let report = "{\"msg\":\"slog-async: … channel overflow\",\"count\":7}\n";
        let text = [line(1), line(1), line(2), report.to_owned(), line(3)].concat();
        found.add(&text.as_bytes()[..text.len() - 1]).unwrap();
        assert_eq!((found.delivered(1), found.delivered(2)), (2, 3));
        assert_eq!(found.reported, Some(7));
    }
}
