//! Hand-off of records from one thread to the worker, through a chain of chunks.
//!
//! ```text
//!            consumer                               producer
//!               v                                      v
//!        [ read | committed ] -next-> [ sealed ] -next-> [ committed | free ]
//! ```
//!
//! # Invariants
//!
//! - One producer, one consumer. Records leave in the order in which they were committed, and a
//!   record is contiguous.
//! - A record becomes visible whole: its bytes are written before `committed` moves (Release), and
//!   read after it was seen to move (Acquire).
//! - A chunk with a successor is sealed: `committed` was final before `next` was set. The consumer
//!   therefore reads `next` before it reads `committed`.
//! - Only the consumer frees a chunk, and only a sealed one that it has read to the end, or the
//!   last one of a producer that is gone.
//! - Sealed chunks that are not read yet are charged to the pool's budget; the one that a producer
//!   writes into is not, so idle threads cannot use the budget up.

mod consumer;
#[cfg(all(test, telemetry_loom))]
mod model;
mod pool;
mod producer;
#[cfg(all(test, not(telemetry_loom)))]
mod tests;

pub(crate) use consumer::{Consumer, Owner, Shared};
pub(crate) use pool::{Pool, Size};
pub(crate) use producer::{Producer, Refill};

use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::{Bug, is_planted};
use std::alloc::Layout;
use std::ptr::NonNull;

/// Bytes of the header in front of a chunk's data.
const HEADER_BYTES: usize = 64;

/// A piece of a thread's buffer: this header, then `size.data_bytes()` bytes of records.
#[repr(C, align(64))]
pub(crate) struct Chunk {
    /// Records committed << 32 | bytes committed.
    committed: AtomicU64,
    next: AtomicPtr<Chunk>,
    size: Size,
    /// How many records the producer committed before this chunk.
    first_record: u64,
    #[cfg(telemetry_loom)]
    cells: Vec<loom::cell::UnsafeCell<()>>,
}

/// One record more, in the unit of `Chunk::committed`.
const ONE_RECORD: u64 = 1 << 32;

/// How far a chunk is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Committed {
    records: u32,
    bytes: u32,
}

impl Chunk {
    fn layout(size: Size) -> Layout {
        // A constant of the size class: alignment 64, far below `isize::MAX`.
        Layout::from_size_align(HEADER_BYTES.max(size_of::<Self>()) + size.data_bytes(), 64)
            .unwrap_or(Layout::new::<Self>())
    }

    /// Allocates a chunk; `None` when the allocator has nothing left.
    fn allocate(size: Size) -> Option<NonNull<Self>> {
        // The data is not zeroed: only what was committed is ever read, and untouched pages cost
        // nothing.
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { std::alloc::alloc(Self::layout(size)) })?;
        let chunk = memory.cast::<Self>();
        // SAFETY: the memory is large enough for the header, aligned to 64, and ours.
        unsafe {
            chunk.write(Self {
                committed: AtomicU64::new(0),
                next: AtomicPtr::new(std::ptr::null_mut()),
                size,
                first_record: 0,
                #[cfg(telemetry_loom)]
                cells: (0..size.data_bytes() / 8)
                    .map(|_| loom::cell::UnsafeCell::new(()))
                    .collect(),
            });
        }
        Some(chunk)
    }

    /// Frees a chunk.
    ///
    /// # Safety
    ///
    /// `chunk` came from `allocate` and nobody uses it any more.
    unsafe fn free(chunk: NonNull<Self>) {
        // SAFETY: the caller vouches for it.
        unsafe {
            let layout = Self::layout(chunk.as_ref().size);
            chunk.drop_in_place();
            std::alloc::dealloc(chunk.as_ptr().cast(), layout);
        }
    }

    /// Where the data begins.
    fn data(chunk: NonNull<Self>) -> *mut u8 {
        // SAFETY: every chunk is allocated with data behind its header.
        unsafe { chunk.as_ptr().cast::<u8>().add(HEADER_BYTES.max(size_of::<Self>())) }
    }

    #[inline(always)]
    fn commit(&self, word: u64) {
        // Release: the record's bytes are visible to whoever sees the new position.
        let ordering =
            if is_planted(Bug::UnorderedCommit) { Ordering::Relaxed } else { Ordering::Release };
        self.committed.store(word, ordering);
    }

    fn committed(&self) -> Committed {
        // Acquire: pairs with `commit`.
        let word = self.committed.load(Ordering::Acquire);
        Committed { records: (word >> 32) as u32, bytes: word as u32 }
    }

    /// Tells loom that the producer writes these bytes.
    #[inline(always)]
    fn touch_write(&self, from: usize, to: usize) {
        #[cfg(telemetry_loom)]
        for cell in &self.cells[from / 8..to / 8] {
            cell.with_mut(|_| ());
        }
        let _ = (from, to);
    }

    /// Tells loom that the consumer reads these bytes.
    #[inline(always)]
    fn touch_read(&self, from: usize, to: usize) {
        #[cfg(telemetry_loom)]
        for cell in &self.cells[from / 8..to / 8] {
            cell.with(|_| ());
        }
        let _ = (from, to);
    }
}
