//! One subject in a process of its own, and the lines it exchanges with its parent.
//!
//! # Invariants
//!
//! - A child answers every request with one line: `ok NAME=NUMBER…` or `err TEXT`; nothing else
//!   goes to its stdout.
//! - A child ends when its stdin closes, so that none outlives its parent.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Barrier;
use std::time::Instant;

use crate::Result;
use crate::group;
use crate::harness::Values;
use crate::subject::{self, Purpose, Session, Setup, Subject};
use crate::usage::cpu_ns;
use crate::workload::Op;

const WARM_UP_OPS: u64 = 64;

/// A subject's process, seen from the parent.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts `subject` and waits until it is installed.
    pub(crate) fn start(subject: &dyn Subject, setup: &Setup) -> Result<Self> {
        Self::start_under(&[], subject, setup)
    }

    /// Starts `subject` under another program, such as valgrind.
    pub(crate) fn start_under(
        program: &[OsString],
        subject: &dyn Subject,
        setup: &Setup,
    ) -> Result<Self> {
        std::fs::create_dir_all(&setup.dir)?;
        let mut words: Vec<OsString> = program.to_vec();
        words.push(std::env::current_exe()?.into());
        words.extend(["__child", subject.name(), setup.purpose.word()].map(OsString::from));
        words.push(setup.dir.clone().into());
        words.push(setup.endpoint.clone().unwrap_or_default().into());
        // A console's lines, and what is said of faults that are wanted, nobody reads here.
        let loud = !matches!(setup.purpose, Purpose::Idle | Purpose::Loss);
        let quiet = !loud || !program.is_empty();
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if quiet { Stdio::null() } else { Stdio::inherit() })
            .spawn()?;
        let stdin = process.stdin.take().ok_or("the child has no stdin")?;
        let stdout = BufReader::new(process.stdout.take().ok_or("the child has no stdout")?);
        let mut child = Self { process, stdin, stdout };
        child.answer()?;
        Ok(child)
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Values> {
        writeln!(self.stdin, "{request}")?;
        self.stdin.flush()?;
        self.answer()
    }

    /// Sends a request that the child does not survive, and waits for its end.
    pub(crate) fn ask_last(mut self, request: &str) -> Result<()> {
        writeln!(self.stdin, "{request}")?;
        self.stdin.flush()?;
        self.process.wait()?;
        Ok(())
    }

    /// Kills the child and waits for its end.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Lets the child end and waits for it.
    pub(crate) fn end(self) -> Result<()> {
        let Self { mut process, stdin, stdout } = self;
        drop((stdin, stdout));
        process.wait()?;
        Ok(())
    }

    fn answer(&mut self) -> Result<Values> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        match line.trim_end().split_once(' ') {
            Some(("ok", words)) => Ok(Values::from_words(words)),
            Some(("err", text)) => Err(text.into()),
            _ if line.trim_end() == "ok" => Ok(Values::default()),
            _ => {
                Err(format!("the child ended early (its last line: `{}`)", line.trim_end()).into())
            }
        }
    }
}

/// Runs as a child: installs the subject, then answers requests until stdin closes.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    let [name, purpose, dir, endpoint] = words else {
        return Err("a child needs a subject, a purpose, a directory and an endpoint".into());
    };
    let setup = Setup {
        purpose: Purpose::parse(purpose).ok_or("unknown purpose")?,
        dir: PathBuf::from(dir),
        endpoint: Some(endpoint.clone()).filter(|endpoint| !endpoint.is_empty()),
    };
    let subject = subject::find(name).ok_or("unknown subject")?;
    let mut session = match subject.install(&setup) {
        Ok(session) => Some(session),
        Err(error) => {
            println!("err {error}");
            return Ok(());
        }
    };
    println!("ok");
    for line in std::io::stdin().lines() {
        match answer(&line?, &setup.dir, &mut session) {
            Ok(values) => println!("ok {}", values.to_words()),
            Err(error) => println!("err {error}"),
        }
    }
    if let Some(session) = session {
        session.finish();
    }
    Ok(())
}

type Slot = Option<Box<dyn Session>>;

fn answer(line: &str, dir: &Path, session: &mut Slot) -> Result<Values> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| -> Result<u64> { Ok(words.get(at).ok_or("missing number")?.parse()?) };
    let op = || words.get(1).and_then(|word| Op::parse(word)).ok_or("unknown operation");
    let live = session.as_deref().ok_or("the session is over")?;
    match words.first().copied() {
        Some("batch") => Ok(batch(live, op()?, number(2)?, number(3)? as usize)),
        Some("memory") => group::memory::answer(live, words[1], number(2)?),
        Some("idle") => group::idle::answer(live, words[1], dir, number(2)?),
        Some("file") => group::file::answer(session, dir, op()?, number(2)?, number(3)? as usize),
        Some("loss") => {
            let op = words.get(2).and_then(|word| Op::parse(word)).ok_or("unknown operation")?;
            group::loss::answer(session, words[1], op, number(3)?)
        }
        Some("otlp") => group::otlp::answer(session, op()?, number(2)?, number(3)?),
        _ => Err(format!("unknown request `{line}`").into()),
    }
}

/// One batch on each of so many threads, and the processor time until all of it has left the
/// queues. `ns` is what a call took on its thread.
fn batch(session: &dyn Session, op: Op, ops: u64, threads: usize) -> Values {
    let cpu_begin = cpu_ns();
    let ns = match threads {
        1 => batch_here(session, op, ops),
        _ => batch_beside(session, op, ops, threads),
    };
    session.settle();
    let cpu = cpu_ns() - cpu_begin;
    let records = (ops + WARM_UP_OPS) * op.records() * threads as u64;
    let cpu_per_record = (records > 0).then(|| cpu as f64 / records as f64);
    Values::default().with("ns", ns).with_some("cpu_ns_per_record", cpu_per_record)
}

fn batch_here(session: &dyn Session, op: Op, ops: u64) -> f64 {
    session.emit(op, WARM_UP_OPS);
    let begin = Instant::now();
    session.emit(op, ops);
    begin.elapsed().as_nanos() as f64 / ops as f64
}

fn batch_beside(session: &dyn Session, op: Op, ops: u64, threads: usize) -> f64 {
    let begin_together = Barrier::new(threads);
    let one = || {
        session.emit(op, WARM_UP_OPS);
        begin_together.wait();
        let begin = Instant::now();
        session.emit(op, ops);
        begin.elapsed().as_nanos() as f64 / ops as f64
    };
    let all: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    all.iter().sum::<f64>() / all.len() as f64
}
