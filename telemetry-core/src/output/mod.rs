//! Lines on their way into a file, a pipe or a terminal, with an exact account of what was lost.
//!
//! # Invariants
//!
//! - A line is delivered when all of it was taken by write(2); any other line is counted lost,
//!   under its signal, in the same [`LineWriter::finish`].
//! - A line never shares its first byte with the rest of another: after a torn line a newline is
//!   written before the next one.
//! - A write holds whole lines. It is retried after `EINTR` and a short write; a destination that
//!   takes nothing for [`STALL`] (`EAGAIN`) loses what is left of that write, so nothing waits for
//!   ever on a non-blocking pipe. Every later write tries again: there is no failed state.
//! - A failure is reported through [`diagnostics`], at most once in ten seconds.
//! - Standard output and error are written without the locks and buffers of `std`, and without
//!   `println!`, which panics when the reader is gone.
//!
//! Exporters that write lines call it, each on its own thread.

mod destination;
mod file;
#[cfg(test)]
mod tests;

use crate::Error;
use crate::batch::{Batch, Record};
use crate::clock;
use crate::diagnostics;
use crate::export::{Outcome, Signals};
use crate::ledger::{Cause, Signal, Units};
use crate::level::Level;
use crate::record::Kind;
use crate::runner::progressed;
pub use destination::Destination;
use file::{LogFile, Refresh};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How long a destination may take nothing before what is left of a write is lost.
pub const STALL: Duration = Duration::from_millis(100);

/// How many bytes of lines are gathered for one write(2), unless set otherwise.
pub const GATHER_BYTES: usize = 256 * 1024;

/// Gathers lines, writes them, and counts those that were lost.
///
/// ```
/// use telemetry_core::export::Outcome;
/// use telemetry_core::ledger::Signal;
/// use telemetry_core::output::LineWriter;
///
/// let mut output = LineWriter::writer(Box::new(std::io::sink()));
/// output.begin();
/// output.line().extend_from_slice(b"hello\n");
/// output.end_line(Signal::Log);
/// assert_eq!(output.finish(), Outcome::Delivered);
/// ```
pub struct LineWriter {
    opened: Opened,
    gather_bytes: usize,
    buffer: Vec<u8>,
    ends: Vec<(usize, Signal)>,
    lost: Units,
    torn: bool,
    last_error: Option<io::Error>,
}

enum Opened {
    File(LogFile),
    Handle { what: &'static str, writer: Box<dyn Write + Send>, is_terminal: bool },
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &self.opened {
            Opened::File(file) => Some(file.path()),
            Opened::Handle { .. } => None,
        };
        f.debug_struct("LineWriter").field("path", &path).finish_non_exhaustive()
    }
}

impl LineWriter {
    /// Appends to a file, made with mode 0640 if it does not exist.
    ///
    /// A symbolic link in the last place of the path is refused. A file that is renamed or deleted
    /// meanwhile is opened anew at the path: deleted, before the next write; renamed, within a
    /// second.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened for writing; the error names the path, its source the reason.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        match LogFile::open(path.clone()) {
            Ok((file, torn)) => Ok(Self { torn, ..Self::new(Opened::File(file)) }),
            Err(error) => Err(Error::resource(
                format!("cannot open `{}` for appending", path.display()),
                error,
            )),
        }
    }

    /// Writes to the standard output.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left, or no standard output.
    pub fn stdout() -> Result<Self, Error> {
        Self::standard("the standard output", io::stdout())
    }

    /// Writes to the standard error.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left, or no standard error.
    pub fn stderr() -> Result<Self, Error> {
        Self::standard("the standard error", io::stderr())
    }

    fn standard(what: &'static str, stream: impl Standard) -> Result<Self, Error> {
        let is_terminal = stream.is_terminal();
        let writer = standard_handle(stream)
            .map_err(|error| Error::resource(format!("cannot use {what}"), error))?;
        Ok(Self::new(Opened::Handle { what, writer, is_terminal }))
    }

    /// Writes to any writer, which is flushed at the end of every batch: for tests, and for
    /// transports of the user's own.
    pub fn writer(writer: Box<dyn Write + Send>) -> Self {
        Self::new(Opened::Handle { what: "the writer", writer, is_terminal: false })
    }

    fn new(opened: Opened) -> Self {
        Self {
            opened,
            gather_bytes: GATHER_BYTES,
            buffer: Vec::new(),
            ends: Vec::new(),
            lost: Units::default(),
            torn: false,
            last_error: None,
        }
    }

    /// Opens what is at a file's path now: the file may have been moved away.
    pub fn reopen(&mut self) {
        if let Opened::File(file) = &mut self.opened
            && let Refresh::Reopened { torn } = file.reopen()
        {
            self.torn = torn;
        }
    }

    /// Writes as soon as so many bytes are gathered; [`GATHER_BYTES`] unless set.
    #[must_use]
    pub fn gather(mut self, bytes: usize) -> Self {
        self.gather_bytes = bytes;
        self
    }

    /// Is it a terminal?
    pub fn is_terminal(&self) -> bool {
        matches!(self.opened, Opened::Handle { is_terminal: true, .. })
    }

    /// Begins a batch. What a panic left of the one before is forgotten: it is counted elsewhere.
    pub fn begin(&mut self) {
        self.buffer.clear();
        self.ends.clear();
        self.lost = Units::default();
    }

    /// Where the next line is appended, its newline included.
    #[inline]
    pub fn line(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Ends the line, which counts as one unit of `signal`.
    #[inline]
    pub fn end_line(&mut self, signal: Signal) {
        debug_assert!(self.buffer.ends_with(b"\n"), "a line ends with a newline");
        self.ends.push((self.buffer.len(), signal));
        if self.buffer.len() >= self.gather_bytes {
            self.write_out();
        }
    }

    /// Writes a batch, a record as one unit, and says what became of it. `put` appends the lines of
    /// a record; finished spans are left out if they are not among the signals.
    pub fn write_batch(
        &mut self,
        batch: &Batch,
        signals: Signals,
        mut put: impl FnMut(&Record<'_>, &mut Vec<u8>),
    ) -> Outcome {
        self.begin();
        for record in batch.records() {
            let signal = match record.kind() {
                Kind::SpanClose if !signals.contains(Signals::SPANS) => continue,
                Kind::SpanClose => Signal::Span,
                _ => Signal::Log,
            };
            put(&record, self.line());
            self.end_line(signal);
        }
        self.finish()
    }

    /// Writes what is gathered, and says what became of the lines since [`LineWriter::begin`].
    pub fn finish(&mut self) -> Outcome {
        self.write_out();
        let lost = std::mem::take(&mut self.lost);
        if lost == Units::default() {
            Outcome::Delivered
        } else {
            Outcome::Partial { lost, cause: Cause::WriteFailed }
        }
    }

    /// Why the last write that failed did so.
    pub fn last_error(&self) -> Option<&io::Error> {
        self.last_error.as_ref()
    }

    fn write_out(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let outcome = self.write_lines();
        let taken = match &outcome {
            Ok(taken) => *taken,
            Err(failure) => failure.taken,
        };
        let mut lost = 0;
        // A line without its newline is whole: the newline comes with the next write.
        for (_, signal) in self.ends.iter().filter(|(end, _)| end - 1 > taken) {
            self.lost.add(*signal, 1);
            lost += 1;
        }
        if let Err(failure) = outcome {
            self.report(&failure.error, lost);
            self.last_error = Some(failure.error);
        }
        if taken > 0 {
            self.torn = self.buffer[taken - 1] != b'\n';
        }
        self.ends.clear();
        self.buffer.clear();
        self.buffer.shrink_to(self.gather_bytes.saturating_mul(2));
    }

    /// Says why lines are lost, at most once in ten seconds: the ledger knows how many in all.
    fn report(&self, error: &io::Error, lost: u64) {
        let to = match &self.opened {
            Opened::File(file) => format!("`{}`", file.path().display()),
            Opened::Handle { what, .. } => (*what).to_owned(),
        };
        let text = format!("cannot write to {to}: {error}: {lost} lines are lost");
        diagnostics::report("output.write", Level::Error, text);
    }

    fn write_lines(&mut self) -> Result<usize, Failure> {
        let writer: &mut dyn Write = match &mut self.opened {
            Opened::Handle { writer, .. } => writer,
            Opened::File(file) => {
                match file.refresh() {
                    Refresh::Same => {}
                    Refresh::Reopened { torn } => self.torn = torn,
                    Refresh::Gone(error) => return Err(Failure { taken: 0, error }),
                }
                file
            }
        };
        if self.torn {
            write_all(writer, b"\n")?;
            self.torn = false;
        }
        write_all(writer, &self.buffer)
    }
}

/// Why a write ended early, and how much was taken before.
struct Failure {
    taken: usize,
    error: io::Error,
}

/// Writes all of `bytes`, through interrupts, short writes and short stalls.
fn write_all(writer: &mut dyn Write, bytes: &[u8]) -> Result<usize, Failure> {
    let mut taken = 0;
    let mut stalled_since = None;
    while taken < bytes.len() {
        let error = match writer.write(&bytes[taken..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(more) => {
                taken += more;
                stalled_since = None;
                progressed();
                continue;
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => {
                let now = clock::now();
                if now.duration_since(*stalled_since.get_or_insert(now)) >= STALL {
                    return Err(Failure { taken, error });
                }
                // A pipe's reader makes room in steps of a page: polling every millisecond costs
                // less than the poll(2) that would need unsafe code.
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => return Err(Failure { taken, error }),
        }
    }
    match writer.flush() {
        Ok(()) => Ok(taken),
        // What a writer of the user's own had buffered is not known to have arrived.
        Err(error) => Err(Failure { taken: 0, error }),
    }
}

/// A standard stream.
#[cfg(unix)]
trait Standard: IsTerminal + std::os::fd::AsFd {}
#[cfg(unix)]
impl<T: IsTerminal + std::os::fd::AsFd> Standard for T {}

#[cfg(not(unix))]
trait Standard: IsTerminal + Write + Send + 'static {}
#[cfg(not(unix))]
impl<T: IsTerminal + Write + Send + 'static> Standard for T {}

/// A duplicate of a standard descriptor: `std`'s own handle buffers.
#[cfg(unix)]
fn standard_handle(stream: impl Standard) -> io::Result<Box<dyn Write + Send>> {
    let descriptor = stream.as_fd().try_clone_to_owned()?;
    Ok(Box::new(std::fs::File::from(descriptor)))
}

#[cfg(not(unix))]
fn standard_handle(stream: impl Standard) -> io::Result<Box<dyn Write + Send>> {
    Ok(Box::new(stream))
}

/// Does a terminal, an editor or a log viewer act on this character instead of showing it?
///
/// Control characters (C0, DEL, C1), the marks that change the direction of text (Trojan Source,
/// CVE-2021-42574), invisible characters, line and paragraph separators, tags. Text exporters
/// write them escaped.
///
/// ```
/// use telemetry_core::output::is_unprintable;
///
/// assert!(['\u{1b}', '\u{9b}', '\u{202e}', '\u{200b}'].into_iter().all(is_unprintable));
/// assert!(!['a', ' ', 'é', '漢', '🦀'].into_iter().any(is_unprintable));
/// ```
pub const fn is_unprintable(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
