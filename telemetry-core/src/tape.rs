//! The records of a capture: what a test keeps of what its threads emit.
//!
//! A tape has no worker behind it. Any thread of the capture appends whole records under a lock
//! that is held for a copy only, never while a user's code runs; whoever asks what was captured
//! reads them.
//!
//! # Invariants
//!
//! - Records lie in the order in which they were finished; those of one thread in its order.
//! - At most `bytes_max` bytes; a record that does not fit is refused, and counted by its caller.
//! - After its end a tape takes nothing and holds nothing.

use crate::metric::Registry;
use crate::record::Kind;
use crate::sync::lock_std as lock;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

/// The epoch of all records of captures; no pipeline has it.
pub(crate) const EPOCH: u8 = u8::MAX;

/// What is called, on the thread that emitted, when there is something to look at: after each
/// event, with the sinks that want it, and after anything when half of the room is used.
type OnNews = Box<dyn Fn(&Tape, u32) + Send + Sync>;

/// The sinks of news that may concern any of them.
const ANY_SINK: u32 = u32::MAX;

/// The records of a capture, in bytes.
pub(crate) struct Tape {
    recorded: Mutex<Recorded>,
    bytes_max: usize,
    has_ended: AtomicBool,
    on_news: OnNews,
    measured: Option<LazyLock<Measured>>,
}

/// What the threads of a capture measure.
pub(crate) struct Measured {
    registry: Registry,
    recorder: Box<dyn metrics::Recorder + Send + Sync>,
}

impl Measured {
    /// A registry, and the recorder that writes into it.
    pub(crate) fn new(
        registry: Registry,
        recorder: Box<dyn metrics::Recorder + Send + Sync>,
    ) -> Self {
        Self { registry, recorder }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn recorder(&self) -> &dyn metrics::Recorder {
        &*self.recorder
    }
}

#[derive(Default)]
struct Recorded {
    bytes: Vec<u8>,
    /// The spans that are open, as far as is known, whose start stands on the tape, or stood.
    spans: HashSet<u64>,
}

impl Tape {
    pub(crate) fn new(
        bytes_max: usize,
        on_news: impl Fn(&Self, u32) + Send + Sync + 'static,
    ) -> Self {
        Self {
            recorded: Mutex::default(),
            bytes_max,
            has_ended: AtomicBool::new(false),
            on_news: Box::new(on_news),
            measured: None,
        }
    }

    /// A tape whose threads measure into what `new` makes, once one of them measures.
    pub(crate) fn measuring(self, new: fn() -> Measured) -> Self {
        Self { measured: Some(LazyLock::new(new)), ..self }
    }

    /// What its threads measure, if that is captured.
    pub(crate) fn measured(&self) -> Option<&LazyLock<Measured>> {
        self.measured.as_ref()
    }

    /// Appends a record; `false` when there is no room for it.
    pub(crate) fn push(&self, record: &[u8]) -> bool {
        let mut recorded = lock(&self.recorded);
        if self.has_ended() {
            return true; // nobody looks any more
        }
        let has_room = recorded.bytes.len() + record.len() <= self.bytes_max;
        if has_room {
            recorded.bytes.extend_from_slice(record);
        }
        has_room
    }

    /// Notes that a span's start stands on the tape; `true` when it did not before.
    pub(crate) fn meet(&self, span_id: u64) -> bool {
        lock(&self.recorded).spans.insert(span_id)
    }

    /// Notes that a span is over.
    pub(crate) fn part(&self, span_id: u64) {
        lock(&self.recorded).spans.remove(&span_id);
    }

    /// Is so much on it that somebody should make room, if that can be?
    fn is_filling(&self) -> bool {
        lock(&self.recorded).bytes.len() > self.bytes_max / 2
    }

    /// Looks whether there are news for whoever waits for them, after a record.
    pub(crate) fn after_record(&self, kind: Kind, sinks: u32) {
        match kind {
            // 0: it was decided late.
            Kind::Event if sinks == 0 => self.tell(ANY_SINK),
            Kind::Event => self.tell(sinks),
            _ if self.is_filling() => self.tell(ANY_SINK),
            _ => {}
        }
    }

    /// Lets whoever waits for news look at what there is.
    pub(crate) fn tell_all(&self) {
        self.tell(ANY_SINK);
    }

    fn tell(&self, sinks: u32) {
        if !self.has_ended() {
            (self.on_news)(self, sinks);
        }
    }

    /// A copy of everything from a position on.
    pub(crate) fn from(&self, position: usize) -> Vec<u8> {
        lock(&self.recorded).bytes.get(position..).unwrap_or_default().to_vec()
    }

    /// Takes everything off the tape, which makes room.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.recorded).bytes)
    }

    /// Ends the capture.
    pub(crate) fn end(&self) {
        // Release: pairs with nothing but itself; records are under the lock.
        self.has_ended.store(true, Ordering::Release);
        let recorded = std::mem::take(&mut *lock(&self.recorded));
        drop(recorded);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn full_tape_refuses_and_an_ended_one_forgets() {
        let tape = Tape::new(10, |_, _| {});
        assert!(tape.push(&[1; 8]));
        assert!(!tape.push(&[2; 3]));
        assert!(tape.push(&[3; 2]));
        assert_eq!(tape.from(8), [3; 2]);
        assert_eq!(tape.take().len(), 10);
        assert!(tape.push(&[4; 10]), "what was taken makes room");
        tape.end();
        assert!(tape.push(&[5; 100]));
        assert!(tape.from(0).is_empty());
    }

    #[test]
    fn news_are_told_of_events_and_of_anything_when_the_tape_fills() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let tape = Tape::new(16, move |_, sinks| lock(&tell).push(sinks));
        assert!(tape.push(&[1; 8]));
        tape.after_record(Kind::SpanStart, 1);
        tape.after_record(Kind::Event, 1);
        tape.after_record(Kind::Event, 0);
        assert!(tape.push(&[2; 1]));
        tape.after_record(Kind::SpanClose, 1);
        assert_eq!(*lock(&told), [1, ANY_SINK, ANY_SINK]);
        tape.end();
        tape.after_record(Kind::Event, 1);
        assert_eq!(lock(&told).len(), 3);
    }
}
