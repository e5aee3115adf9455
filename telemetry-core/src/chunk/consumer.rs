//! The worker's end of a buffer.
//!
//! # Invariants
//!
//! - `chunk` is the oldest chunk that is not read to its end; chunks before it are freed.
//! - `read <= limit <=` what the producer committed in `chunk`.

use super::{Chunk, Pool};
use crate::record::RawRecord;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Bug, Mutex, is_planted, lock};
use std::ptr::NonNull;

/// What producer and worker share of one buffer.
pub(crate) struct Shared {
    consumer: Mutex<Consumer>,
    /// Set once, by the producer, after its last commit.
    closed: AtomicBool,
    /// The span that the thread is in, for whoever looks from outside; 0 = none.
    pub(crate) current_span: AtomicU64,
    /// The handle of the span that the thread opened last, while what the thread remembers of it
    /// holds; 0 = it has to look.
    pub(crate) newest_span: AtomicU64,
    /// How long the thread waited for room, in nanoseconds.
    pub(crate) blocked_ns: AtomicU64,
    pub(crate) owner: Owner,
}

/// The thread that a buffer belongs to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owner {
    pub(crate) name: Option<String>,
    /// As the operating system knows it (gettid(2)); 0 = not known.
    pub(crate) id: u32,
}

impl Shared {
    pub(super) fn new(pool: Arc<Pool>, first: NonNull<Chunk>, owner: Owner) -> Self {
        Self {
            consumer: Mutex::new(Consumer {
                pool,
                chunk: Some(first),
                read: 0,
                limit: 0,
                taken: 0,
            }),
            closed: AtomicBool::new(false),
            current_span: AtomicU64::new(0),
            newest_span: AtomicU64::new(0),
            blocked_ns: AtomicU64::new(0),
            owner,
        }
    }

    pub(super) fn close(&self) {
        // Release: whoever sees it sees all commits before it.
        let ordering =
            if is_planted(Bug::UnorderedClose) { Ordering::Relaxed } else { Ordering::Release };
        self.closed.store(true, ordering);
    }

    /// Is the producer gone? What it committed before is visible to whoever sees `true`.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The reading end; one reader at a time.
    pub(crate) fn consumer(&self) -> crate::sync::MutexGuard<'_, Consumer> {
        lock(&self.consumer)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Reads the records of one buffer.
pub(crate) struct Consumer {
    pool: Arc<Pool>,
    chunk: Option<NonNull<Chunk>>,
    read: usize,
    limit: usize,
    taken: u64,
}

// SAFETY: the chunks from `chunk` on are read by this consumer alone; what the producer shares
// with it are atomics and bytes behind the Release/Acquire pair of `committed`.
unsafe impl Send for Consumer {}

impl Consumer {
    /// The oldest record that is not taken yet.
    pub(crate) fn peek(&mut self) -> Option<RawRecord<'_>> {
        if self.read == self.limit && !self.refresh() {
            return None;
        }
        let chunk = self.chunk?;
        // SAFETY: `read..limit` of this chunk is committed, so the producer does not write there
        // any more, and the chunk is not freed while `&mut self` is borrowed.
        let bytes = unsafe {
            chunk.as_ref().touch_read(self.read, self.limit);
            std::slice::from_raw_parts(Chunk::data(chunk).add(self.read), self.limit - self.read)
        };
        RawRecord::first(bytes)
    }

    /// Looks for more committed bytes, in this chunk or the next ones.
    fn refresh(&mut self) -> bool {
        while let Some(chunk) = self.chunk {
            // SAFETY: the chunk is freed by this consumer only.
            let header = unsafe { chunk.as_ref() };
            // Acquire, and before `committed`: a sealed chunk's `committed` is final.
            let mut next = NonNull::new(header.next.load(Ordering::Acquire));
            self.limit = header.committed().bytes as usize;
            if is_planted(Bug::NextSeenLate) {
                next = NonNull::new(header.next.load(Ordering::Acquire));
            }
            if self.read < self.limit {
                return true;
            }
            let Some(next) = next else { return false };
            // SAFETY: the producer has moved on to `next` and the chunk is read to its end.
            unsafe { self.pool.release_sealed(chunk) };
            (self.chunk, self.read, self.limit) = (Some(next), 0, 0);
        }
        false
    }

    /// Takes the record that `peek` showed.
    pub(crate) fn take(&mut self, length: usize) {
        debug_assert!(self.read + length <= self.limit);
        self.read = (self.read + length).min(self.limit);
        self.taken += 1;
    }

    /// How many records were taken since the buffer began.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many records the producer has committed since the buffer began.
    pub(crate) fn committed(&self) -> u64 {
        let Some(mut chunk) = self.chunk else { return self.taken };
        loop {
            // SAFETY: this chunk and those behind it are freed by this consumer only.
            let header = unsafe { chunk.as_ref() };
            match NonNull::new(header.next.load(Ordering::Acquire)) {
                Some(next) => chunk = next,
                None => return header.first_record + u64::from(header.committed().records),
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // The producer holds the other `Arc` of `Shared`, so it is gone too: the chain is ours.
        while let Some(chunk) = self.chunk {
            // SAFETY: see above.
            unsafe {
                self.chunk = NonNull::new(chunk.as_ref().next.load(Ordering::Acquire));
                if self.chunk.is_some() {
                    self.pool.release_sealed(chunk);
                } else {
                    self.pool.release(chunk);
                }
            }
        }
    }
}
