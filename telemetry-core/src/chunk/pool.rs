//! The chunks of a process, and the budget of bytes that wait in them.
//!
//! # Invariants
//!
//! - `outstanding` is the memory of the sealed chunks that are not read yet; `charge` refuses what
//!   would exceed the budget.
//! - At most [`KEPT_BYTES`] of free chunks are kept, the rest goes back to the allocator.

use super::Chunk;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};
use std::ptr::NonNull;

/// How much memory of free chunks is kept for reuse.
const KEPT_BYTES: usize = 1024 * 1024;

/// Size class of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Size {
    /// For threads that write little.
    Small,
    /// For busy threads; holds the largest record.
    Large,
}

impl Size {
    #[cfg(not(telemetry_loom))]
    pub(crate) const fn data_bytes(self) -> usize {
        match self {
            Self::Small => 16 * 1024 - super::HEADER_BYTES,
            Self::Large => crate::record::RECORD_BYTES_MAX,
        }
    }

    /// Room for one record of the models, so that they reach the hand-over of chunks.
    #[cfg(telemetry_loom)]
    pub(crate) const fn data_bytes(self) -> usize {
        match self {
            Self::Small => crate::record::HEADER_BYTES,
            Self::Large => 2 * crate::record::HEADER_BYTES,
        }
    }
}

struct Free {
    small: Vec<NonNull<Chunk>>,
    large: Vec<NonNull<Chunk>>,
}

// SAFETY: free chunks belong to nobody; the pool hands each to one thread.
unsafe impl Send for Free {}

/// A budget of bytes and the chunks that are free.
pub(crate) struct Pool {
    budget: AtomicUsize,
    outstanding: AtomicUsize,
    free: Mutex<Free>,
}

impl Pool {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self {
            budget: AtomicUsize::new(budget_bytes),
            outstanding: AtomicUsize::new(0),
            free: Mutex::new(Free { small: Vec::new(), large: Vec::new() }),
        }
    }

    pub(crate) fn set_budget(&self, bytes: usize) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    /// Charges a chunk that is about to be sealed; `false` when the budget is used up.
    pub(crate) fn charge(&self, size: Size) -> bool {
        let bytes = size.data_bytes();
        let budget = self.budget.load(Ordering::Relaxed);
        // Relaxed: a count without data behind it.
        self.outstanding
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |outstanding| {
                (outstanding + bytes <= budget).then_some(outstanding + bytes)
            })
            .is_ok()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Is at most half of the budget used: may a buffer leave its drop state?
    pub(crate) fn is_half_empty(&self) -> bool {
        self.outstanding() <= self.budget.load(Ordering::Relaxed) / 2
    }

    /// Is more than a quarter of the budget used: is it time to wake the worker?
    pub(crate) fn is_filling(&self) -> bool {
        self.outstanding() > self.budget.load(Ordering::Relaxed) / 4
    }

    /// A chunk to write into; `None` when the allocator has nothing left.
    pub(crate) fn take(&self, size: Size) -> Option<NonNull<Chunk>> {
        let free = {
            let mut free = lock(&self.free);
            match size {
                Size::Small => free.small.pop(),
                Size::Large => free.large.pop(),
            }
        };
        free.or_else(|| Chunk::allocate(size))
    }

    /// Takes back a chunk that was sealed, and its charge.
    ///
    /// # Safety
    ///
    /// Nobody uses the chunk any more.
    pub(crate) unsafe fn release_sealed(&self, chunk: NonNull<Chunk>) {
        // SAFETY: the caller vouches for the chunk.
        let bytes = unsafe { chunk.as_ref() }.size.data_bytes();
        // SAFETY: as above.
        unsafe { self.release(chunk) };
        self.outstanding.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes back a chunk that was never charged.
    ///
    /// # Safety
    ///
    /// Nobody uses the chunk any more.
    pub(crate) unsafe fn release(&self, chunk: NonNull<Chunk>) {
        let mut free = lock(&self.free);
        let kept = free.small.len() * Size::Small.data_bytes()
            + free.large.len() * Size::Large.data_bytes();
        // SAFETY: the caller vouches for the chunk.
        let size = unsafe { chunk.as_ref() }.size;
        if kept + size.data_bytes() > KEPT_BYTES || cfg!(telemetry_loom) {
            drop(free);
            // SAFETY: nobody uses it, and it came from `allocate`.
            unsafe { Chunk::free(chunk) };
            return;
        }
        let mut chunk = chunk;
        // SAFETY: nobody uses it: its header can be reset.
        unsafe {
            chunk.as_mut().first_record = 0;
            chunk.as_ref().committed.store(0, Ordering::Relaxed);
            chunk.as_ref().next.store(std::ptr::null_mut(), Ordering::Relaxed);
        }
        match size {
            Size::Small => free.small.push(chunk),
            Size::Large => free.large.push(chunk),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut free = lock(&self.free);
        let Free { small, large } = &mut *free;
        for chunk in small.drain(..).chain(large.drain(..)) {
            // SAFETY: free chunks are used by nobody.
            unsafe { Chunk::free(chunk) };
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("outstanding", &self.outstanding()).finish_non_exhaustive()
    }
}
