//! Spreads the writers of one value over cache lines.
//!
//! # Invariants
//!
//! - A thread always uses the same shard, so threads up to the number of shards never contend.
//! - Sharing a shard is correct too: every write is an atomic read-modify-write.
//! - Works in the destructors of other thread-locals: the index has no destructor of its own.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most shards a value is given: beyond this, memory grows faster than contention falls.
const SHARDS_MAX: usize = 8;

/// Keeps its content on cache lines of its own.
///
/// 128 bytes: x86-64 prefetches lines in pairs, and large aarch64 cores have lines of that size.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Line<T>(pub(super) T);

/// Returns how many shards a value gets: the processors available, rounded up to a power of two.
pub(super) fn shards() -> usize {
    static SHARDS: OnceLock<usize> = OnceLock::new();
    *SHARDS.get_or_init(|| {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        cpus.next_power_of_two().min(SHARDS_MAX)
    })
}

/// Returns the index of the calling thread; reduce it by a mask.
#[inline]
pub(super) fn thread_index() -> usize {
    const NONE: usize = usize::MAX;
    thread_local! {
        // Const and without destructor: one load, and alive until the thread is gone.
        static INDEX: Cell<usize> = const { Cell::new(NONE) };
    }
    let index = INDEX.try_with(Cell::get).unwrap_or(0);
    if index != NONE {
        return index;
    }
    let index = assign();
    let _ = INDEX.try_with(|cell| cell.set(index));
    index
}

#[cold]
fn assign() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: only the number matters; nothing is published with it. Halved range, so that no
    // thread is ever given the marker.
    NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_keeps_its_index() {
        assert_eq!(thread_index(), thread_index());
        let here = thread_index();
        let there = std::thread::scope(|s| s.spawn(thread_index).join().expect("does not panic"));
        assert_ne!(here, there);
    }

    #[test]
    fn shards_are_a_power_of_two() {
        assert!(shards().is_power_of_two() && shards() <= SHARDS_MAX);
    }
}
