//! Prints what a test's threads emit, from the test's own thread.
//!
//! `libtest` keeps what a test prints with `print!` and shows it with the test that failed, but
//! only what comes from the test's thread and from threads that it has started. So records are
//! printed there: those of other threads when the test's thread emits the next time, asks what was
//! captured, panics, or ends the capture.
//!
//! # Invariants
//!
//! - A record is printed once, in the order of the tape.
//! - A call site never panics and never waits for a user's code because of this: a printer that
//!   panics is left alone from then on.
//! - While records are read and printed, the thread records nothing.

use super::capture::{KEPT, PRINTED, ledger};
use super::memory::CapturedRecord;
use crate::batch::{Batch, Builder};
use crate::clock::{Anchor, Anchors};
use crate::export::{Ack, Exporter};
use crate::local;
use crate::record::RawRecord;
use crate::redaction;
use crate::sync::lock;
use crate::tape::Tape;
use crate::worker::join::{Join, Mode};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, TryLockError};
use std::thread::ThreadId;

/// Where records are printed; `None` = a printer has panicked.
static PRINTER: LazyLock<Mutex<Option<Box<dyn Exporter>>>> =
    LazyLock::new(|| Mutex::new(Some(Box::new(Lines))));

/// Sets what prints the records of tests: any exporter, to whose destination they go. It is called
/// on the tests' threads.
pub fn print_with(printer: impl Exporter) {
    *lock(&PRINTER) = Some(Box::new(printer));
}

/// Prints a line for each record.
struct Lines;

impl Exporter for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    #[expect(clippy::print_stdout, reason = "`libtest` captures what is printed this way alone")]
    fn export(&mut self, batch: Batch, _ack: Ack) {
        for record in batch.records() {
            println!("{}", CapturedRecord::of(&record));
        }
    }
}

/// What ties ticks to times, the same for all captures.
pub(super) fn anchor() -> Anchor {
    static ANCHORS: LazyLock<Mutex<Anchors>> = LazyLock::new(|| Mutex::new(Anchors::new()));
    lock(&ANCHORS).current()
}

/// Does the tape keep what was printed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Printed {
    IsKept,
    IsForgotten,
}

/// The printing of one tape.
pub(super) struct Printing {
    /// The test's own thread.
    thread: ThreadId,
    printed: Printed,
    progress: Mutex<Progress>,
}

struct Progress {
    position: usize,
    join: Join,
}

impl Printing {
    pub(super) fn new(printed: Printed) -> Self {
        let join = Join::new(Arc::default(), ledger(), redaction::patterns());
        let progress = Progress { position: 0, join };
        Self { thread: std::thread::current().id(), printed, progress: Mutex::new(progress) }
    }

    /// Prints what is new, if this is the test's own thread.
    pub(super) fn print(&self, tape: &Tape) {
        if std::thread::current().id() != self.thread {
            return;
        }
        // Taken only where this thread panics in the middle of printing.
        let mut progress = match self.progress.try_lock() {
            Ok(progress) => progress,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        local::quietly(|| progress.print_from(tape, self.printed));
    }

    /// As [`print`](Self::print), after an event that these sinks want.
    pub(super) fn after_event(&self, tape: &Tape, sinks: u32) {
        if sinks == 0 || sinks & PRINTED != 0 {
            self.print(tape);
        }
    }
}

impl fmt::Debug for Printing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printing").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Progress {
    fn print_from(&mut self, tape: &Tape, printed: Printed) {
        let bytes = match printed {
            Printed::IsKept => tape.from(self.position),
            Printed::IsForgotten => tape.take(),
        };
        self.position += bytes.len();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let batch = next_batch(&mut self.join, &mut rest, PRINTED);
            if batch.records().next().is_some() {
                print(batch);
            }
        }
    }
}

/// Joins records from the front of `bytes` until a batch is full; it shows what `sink` wants.
pub(super) fn next_batch(join: &mut Join, bytes: &mut &[u8], sink: u32) -> Batch {
    let mut builder = Builder::new(SINKS, anchor());
    join.spans.begin_batch();
    while !builder.is_full() {
        let Some(record) = RawRecord::first(bytes) else {
            *bytes = &[];
            break;
        };
        *bytes = bytes.get(record.bytes().len()..).unwrap_or_default();
        join.read(record, &mut builder, Mode::DeliverAll);
    }
    Batch::new(Arc::new(builder.finish()), sink.trailing_zeros())
}

const SINKS: usize = (KEPT | PRINTED).count_ones() as usize;

fn print(batch: Batch) {
    let mut printer = lock(&PRINTER);
    let Some(exporter) = &mut *printer else { return };
    let ack = Ack::for_tests(batch.units(), |_| {});
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| exporter.export(batch, ack))) {
        *printer = None;
        crate::error::discard_panic(payload);
    }
}
