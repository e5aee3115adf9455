//! The calling thread's end of a buffer.
//!
//! # Invariants
//!
//! - `start <= pos <= end` lie in the data of `chunk`; `start..pos` is committed.
//! - `end == pos` in drop state, so that every record takes the slow path.
//! - Only the thread that owns the producer calls it.

use super::{Chunk, ONE_RECORD, Owner, Pool, Shared, Size};
use crate::record::{HEADER_BYTES, Header, Room, Writer};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Bug, is_planted};
use std::cell::Cell;
use std::ptr::NonNull;

/// What a thread does when the budget is used up.
pub(crate) trait Refill: Send + Sync {
    /// Called when a chunk cannot be charged: waits, or returns `false` to drop.
    fn wait_for_room(&self, pool: &Pool, size: Size, shared: &Shared) -> bool;
    /// Called after a chunk was sealed: the worker has something to read.
    fn sealed(&self);
}

/// Writes records into a chain of chunks.
pub(crate) struct Producer {
    pool: Arc<Pool>,
    refill: Arc<dyn Refill>,
    shared: Arc<Shared>,
    chunk: Cell<NonNull<Chunk>>,
    start: Cell<*mut u8>,
    pos: Cell<*mut u8>,
    end: Cell<*mut u8>,
    /// What is committed in this chunk, as in `Chunk::committed`.
    committed: Cell<u64>,
    dropping: Cell<bool>,
}

impl Producer {
    /// A buffer with one small chunk; `None` when the allocator has nothing left.
    pub(crate) fn new(pool: Arc<Pool>, refill: Arc<dyn Refill>, owner: Owner) -> Option<Self> {
        let chunk = pool.take(Size::Small)?;
        let shared = Arc::new(Shared::new(Arc::clone(&pool), chunk, owner));
        let start = Chunk::data(chunk);
        Some(Self {
            pool,
            refill,
            shared,
            chunk: Cell::new(chunk),
            start: Cell::new(start),
            pos: Cell::new(start),
            // SAFETY: the chunk has that many bytes of data.
            end: Cell::new(unsafe { start.add(Size::Small.data_bytes()) }),
            committed: Cell::new(0),
            dropping: Cell::new(false),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Writes one record; `false` when it was dropped for want of room.
    #[inline(always)]
    pub(crate) fn write(&self, header: &Header, write: impl FnOnce(&mut Writer<'_>)) -> bool {
        let left = self.end.get() as usize - self.pos.get() as usize;
        if left < HEADER_BYTES && !self.make_room(HEADER_BYTES, 0) {
            return false;
        }
        let start = self.pos.get();
        let length = self.end.get() as usize - start as usize;
        // SAFETY: `pos..end` is free data of the current chunk, at least a header long; chunk data
        // is aligned to 64 and records are multiples of 8 long. `grow` returns the same.
        let mut writer = unsafe { Writer::begin(start, length, Some(self), header) };
        write(&mut writer);
        match writer.finish() {
            Some((start, length)) => {
                self.commit(start, length);
                true
            }
            None => false,
        }
    }

    #[inline(always)]
    fn commit(&self, start: *mut u8, length: usize) {
        debug_assert!(start == self.pos.get());
        // SAFETY: the writer stayed within `pos..end`.
        self.pos.set(unsafe { start.add(length) });
        let committed = self.committed.get() + ONE_RECORD + length as u64;
        self.committed.set(committed);
        // SAFETY: the producer's current chunk is never freed by the consumer.
        let chunk = unsafe { self.chunk.get().as_ref() };
        let to = committed as u32 as usize;
        chunk.touch_write(to - length, to);
        chunk.commit(committed);
    }

    /// Writes a record that is a header only; `false` when it was dropped for want of room.
    #[inline(always)]
    pub(crate) fn write_header(&self, header: &Header) -> bool {
        let left = self.end.get() as usize - self.pos.get() as usize;
        if left < HEADER_BYTES && !self.make_room(HEADER_BYTES, 0) {
            return false;
        }
        let start = self.pos.get();
        // SAFETY: there is room for a header, and chunk data is aligned as in `write`.
        unsafe { header.write_alone(start) };
        self.commit(start, HEADER_BYTES);
        true
    }

    /// Copies a finished record (of the re-entrancy side buffer) behind the others.
    pub(crate) fn append(&self, record: &[u8]) -> bool {
        let left = self.end.get() as usize - self.pos.get() as usize;
        if left < record.len() && !self.make_room(record.len(), 0) {
            return false;
        }
        let start = self.pos.get();
        // SAFETY: there is room for the record, and nobody else touches it.
        unsafe { std::ptr::copy_nonoverlapping(record.as_ptr(), start, record.len()) };
        self.commit(start, record.len());
        true
    }

    /// Seals the current chunk and goes on in a new one with room for `wanted` bytes. The `carried`
    /// bytes behind the last commit, of a record that is still being written, go along.
    #[cold]
    #[inline(never)]
    fn make_room(&self, wanted: usize, carried: usize) -> bool {
        if self.dropping.get() {
            if !self.pool.is_half_empty() {
                return false;
            }
            self.leave_drop_state();
            if self.end.get() as usize - self.pos.get() as usize >= wanted {
                return true;
            }
        }
        // SAFETY: the producer's current chunk is never freed by the consumer.
        let current = unsafe { self.chunk.get().as_ref() };
        if !self.pool.charge(current.size)
            && !self.refill.wait_for_room(&self.pool, current.size, &self.shared)
        {
            self.enter_drop_state();
            return false;
        }
        let size = self.next_size(wanted);
        let Some(next) = self.pool.take(size) else {
            self.enter_drop_state();
            return false;
        };
        // SAFETY: the carried bytes lie behind `pos` in the current chunk, which is not sealed yet
        // and so cannot be freed; `next` has room for `wanted >= carried` bytes and is nobody
        // else's.
        unsafe { std::ptr::copy_nonoverlapping(self.pos.get(), Chunk::data(next), carried) };
        self.link(current, next);
        self.refill.sealed();
        true
    }

    /// A large chunk when the worker is behind, or when the record needs it.
    fn next_size(&self, wanted: usize) -> Size {
        debug_assert!(wanted <= Size::Large.data_bytes());
        let busy = self.pool.outstanding() > 4 * Size::Small.data_bytes();
        if busy || wanted > Size::Small.data_bytes() { Size::Large } else { Size::Small }
    }

    fn link(&self, current: &Chunk, mut next: NonNull<Chunk>) {
        let first_record = current.first_record + (self.committed.get() >> 32);
        if is_planted(Bug::LinkedTooEarly) {
            // Twice: loom switches threads before an access that others depend on.
            current.next.store(next.as_ptr(), Ordering::Release);
            current.next.store(next.as_ptr(), Ordering::Release);
        }
        // SAFETY: nobody knows the new chunk yet.
        let data_bytes = unsafe {
            next.as_mut().first_record = first_record;
            next.as_ref().size.data_bytes()
        };
        // Release: the new chunk's header is visible to whoever follows the link, and so is the
        // last commit of this one.
        current.next.store(next.as_ptr(), Ordering::Release);
        let start = Chunk::data(next);
        self.chunk.set(next);
        self.start.set(start);
        self.pos.set(start);
        // SAFETY: the chunk has that many bytes of data.
        self.end.set(unsafe { start.add(data_bytes) });
        self.committed.set(0);
    }

    fn enter_drop_state(&self) {
        self.dropping.set(true);
        self.end.set(self.pos.get());
    }

    fn leave_drop_state(&self) {
        self.dropping.set(false);
        // SAFETY: the producer's current chunk is never freed by the consumer, and has that many
        // bytes of data.
        unsafe {
            let size = self.chunk.get().as_ref().size;
            self.end.set(self.start.get().add(size.data_bytes()));
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("dropping", &self.dropping.get()).finish_non_exhaustive()
    }
}

impl Room for Producer {
    fn grow(&self, used: usize, wanted: usize) -> Option<(*mut u8, usize)> {
        if !self.make_room(wanted, used) {
            return None;
        }
        let start = self.pos.get();
        Some((start, self.end.get() as usize - start as usize))
    }
}
