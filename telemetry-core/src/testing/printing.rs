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

use super::capture::{KEPT, PRINTED};
use super::memory::CapturedRecord;
use crate::batch::{Batch, Builder};
use crate::clock::{Anchor, Anchors};
use crate::intake::Ledger;
use crate::local;
use crate::record::RawRecord;
use crate::redaction;
use crate::sync::lock_std as lock;
use crate::tape::Tape;
use crate::worker::join::{Join, Mode};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, TryLockError};
use std::thread::ThreadId;

/// Makes the text that is printed of a batch, whole lines.
type Printer = Box<dyn FnMut(&Batch) -> String + Send>;

/// How records are printed; `None` = a printer has panicked.
static PRINTER: LazyLock<Mutex<Option<Printer>>> =
    LazyLock::new(|| Mutex::new(Some(Box::new(lines))));

/// Sets how the records of tests are printed: `printer` makes the text of a batch, whole lines. It
/// is called on the tests' threads, one at a time.
pub fn print_with(printer: impl FnMut(&Batch) -> String + Send + 'static) {
    *lock(&PRINTER) = Some(Box::new(printer));
}

/// A line for each record.
fn lines(batch: &Batch) -> String {
    batch.records().map(|record| format!("{}\n", CapturedRecord::of(&record))).collect()
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
    ledger: Arc<Ledger>,
    progress: Mutex<Progress>,
}

struct Progress {
    /// How many lost events were told of.
    told_lost: u64,
    position: usize,
    join: Join,
}

impl Printing {
    pub(super) fn new(printed: Printed, ledger: &Arc<Ledger>) -> Self {
        let join = Join::new(Arc::default(), Arc::clone(ledger), redaction::patterns());
        let progress = Mutex::new(Progress { told_lost: 0, position: 0, join });
        let thread = std::thread::current().id();
        Self { thread, printed, ledger: Arc::clone(ledger), progress }
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
        local::quietly(|| {
            progress.print_from(tape, self.printed);
            progress.tell_lost(self.lost());
        });
    }

    /// As [`print`](Self::print), if what is new concerns what is printed.
    pub(super) fn on_news(&self, tape: &Tape, sinks: u32) {
        if sinks & PRINTED != 0 {
            self.print(tape);
        }
    }

    /// How many events were not kept until they could be printed.
    fn lost(&self) -> u64 {
        let printed = self.ledger.sinks.get(PRINTED.trailing_zeros() as usize);
        printed.map_or(0, |sink| sink.read("printed").lost())
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
                print(&batch);
            }
        }
    }

    /// Says that events are missing among what is printed.
    fn tell_lost(&mut self, lost: u64) {
        if lost > self.told_lost {
            let more = lost - self.told_lost;
            self.told_lost = lost;
            put(&format!(
                "({more} events of this test are missing here: more than a tape holds)\n"
            ));
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

/// Prints a batch. The lock is not held while the text is printed: who holds the standard output's
/// may wait for this one.
fn print(batch: &Batch) {
    let text = {
        let mut printer = lock(&PRINTER);
        let Some(print) = &mut *printer else { return };
        match catch_unwind(AssertUnwindSafe(|| print(batch))) {
            Ok(text) => text,
            Err(payload) => {
                *printer = None;
                return crate::error::discard_panic(payload);
            }
        }
    };
    put(&text);
}

#[expect(clippy::print_stdout, reason = "`libtest` captures what is printed this way alone")]
fn put(text: &str) {
    // The standard output may be closed, which is a panic.
    if let Err(payload) = catch_unwind(|| print!("{text}")) {
        crate::error::discard_panic(payload);
    }
}
