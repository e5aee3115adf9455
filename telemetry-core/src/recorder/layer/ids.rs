//! Which of our spans a registry's span is.
//!
//! A span's extensions would hold it as well, behind a slab's reference count, a lock, a hash map
//! and a box: 1,068 instructions a span, 1,417 under a filter of the layer. This costs a
//! multiplication and a look at one cache line: all that the layer adds to the registry's and the
//! recorder's own work is 134.
//!
//! # Invariants
//!
//! - An entry is there from the start of a span to its close; a registry gives no id twice
//!   meanwhile. Whoever looks an id up has got it from whoever inserted it, which orders the two.
//! - No lock: an entry is taken and given up by one atomic store each.
//! - Where a bucket is full, the entry goes to the next table, twice as large. Tables stay.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The entries of a cache line.
const WAYS: usize = 4;
/// The buckets of the first table: room for some thousand open spans, 64 KiB.
const BUCKETS: usize = 1024;
/// All tables together hold as many entries as there are slots (2^24).
const TABLES: usize = 12;

#[derive(Debug, Default)]
struct Entry {
    /// The registry's id; 0 = free.
    id: AtomicU64,
    handle: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([Entry; WAYS]);

/// The open spans of one layer.
#[derive(Debug)]
pub(super) struct Ids {
    tables: [OnceLock<Box<[Bucket]>>; TABLES],
    /// How many tables are in use.
    count: AtomicUsize,
}

impl Ids {
    pub(super) fn new() -> Self {
        let ids = Self { tables: [const { OnceLock::new() }; TABLES], count: AtomicUsize::new(0) };
        ids.table(0);
        ids
    }

    /// The table of this number, made now if there is none.
    fn table(&self, number: usize) -> Option<&[Bucket]> {
        let table = self
            .tables
            .get(number)?
            .get_or_init(|| (0..BUCKETS << number).map(|_| Bucket::default()).collect());
        // Relaxed: a table that is not looked at yet has no entry that anybody could ask for.
        self.count.fetch_max(number + 1, Ordering::Relaxed);
        Some(table)
    }

    /// Remembers a span; `false` when there is no room for any more.
    #[inline]
    pub(super) fn insert(&self, id: u64, handle: u64) -> bool {
        (0..TABLES).any(|number| {
            let Some(table) = self.tables.get(number).and_then(OnceLock::get) else {
                return self.table(number).is_some_and(|table| put(bucket(table, id), id, handle));
            };
            put(bucket(table, id), id, handle)
        })
    }

    #[inline(always)]
    fn entry(&self, id: u64) -> Option<&Entry> {
        // Relaxed: the table that the id is in was counted before the id was handed on.
        let count = self.count.load(Ordering::Relaxed);
        self.tables.iter().take(count).find_map(|table| {
            let bucket = bucket(table.get()?, id);
            // Relaxed: an entry of this id was written before the id was handed on; of another
            // one, it is not looked at.
            bucket.0.iter().find(|entry| entry.id.load(Ordering::Relaxed) == id)
        })
    }

    /// The handle of a span.
    #[inline(always)]
    pub(super) fn get(&self, id: u64) -> Option<u64> {
        self.entry(id).map(|entry| entry.handle.load(Ordering::Relaxed))
    }

    /// Forgets a span; returns its handle.
    #[inline]
    pub(super) fn remove(&self, id: u64) -> Option<u64> {
        let entry = self.entry(id)?;
        let handle = entry.handle.load(Ordering::Relaxed);
        // Release: whoever takes the entry next writes its handle after this one was read.
        entry.id.store(0, Ordering::Release);
        Some(handle)
    }

    /// Forgets all spans; returns their handles.
    pub(super) fn drain(&mut self) -> Vec<u64> {
        let tables = self.tables.iter_mut().filter_map(OnceLock::get_mut);
        let entries = tables.flat_map(|table| table.iter_mut()).flat_map(|bucket| &mut bucket.0);
        let taken = |entry: &mut Entry| {
            let id = std::mem::take(entry.id.get_mut());
            (id != 0).then_some(*entry.handle.get_mut())
        };
        entries.filter_map(taken).collect()
    }
}

#[inline(always)]
fn bucket(table: &[Bucket], id: u64) -> &Bucket {
    // Fibonacci hashing (Knuth, TAOCP 3, 6.4). The upper bits of the product depend on all of the
    // id: a registry's ids differ in the lowest bits within a thread, in upper ones between them.
    let hash = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The length is a power of two.
    let bits = table.len().trailing_zeros();
    &table[(hash >> (64 - bits)) as usize & (table.len() - 1)]
}

#[inline(always)]
fn put(bucket: &Bucket, id: u64, handle: u64) -> bool {
    for entry in &bucket.0 {
        // Acquire: pairs with the Release in `remove`. The first look spares the full ones a
        // read-modify-write.
        if entry.id.load(Ordering::Relaxed) == 0
            && entry.id.compare_exchange(0, id, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            entry.handle.store(handle, Ordering::Relaxed);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against a map of the standard library; few ids, so that they come again.
        #[test]
        fn ids_are_a_map(steps in prop::collection::vec((1_u64..60_000, any::<bool>()), 1..3000)) {
            let (mut ids, mut model) = (Ids::new(), BTreeMap::new());
            for (n, (id, inserts)) in steps.into_iter().enumerate() {
                if inserts && !model.contains_key(&id) {
                    prop_assert!(ids.insert(id, n as u64));
                    model.insert(id, n as u64);
                } else if !inserts {
                    prop_assert_eq!(ids.remove(id), model.remove(&id));
                }
                prop_assert_eq!(ids.get(id), model.get(&id).copied());
            }
            let mut left = ids.drain();
            left.sort_unstable();
            let mut expected: Vec<u64> = model.into_values().collect();
            expected.sort_unstable();
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn many_spans_at_once_go_to_further_tables() {
        let ids = Ids::new();
        for id in 1..=200_000 {
            assert!(ids.insert(id, id + 7));
        }
        assert!(ids.count.load(Ordering::Relaxed) > 1);
        assert!((1..=200_000).all(|id| ids.get(id) == Some(id + 7)));
        assert!((1..=200_000).all(|id| ids.remove(id) == Some(id + 7)));
        assert!((1..=200_000).all(|id| ids.get(id).is_none()));
        let tables = ids.count.load(Ordering::Relaxed);
        for id in 1..=200_000 {
            assert!(ids.insert(id, id));
        }
        assert_eq!(ids.count.load(Ordering::Relaxed), tables, "room is used again");
    }

    #[test]
    fn threads_insert_and_remove_each_others_ids() {
        let ids = Ids::new();
        let (sender, receiver) = std::sync::mpsc::sync_channel(64);
        std::thread::scope(|scope| {
            for part in 0..2_u64 {
                let (sender, ids) = (sender.clone(), &ids);
                scope.spawn(move || {
                    for n in 0..20_000 {
                        let id = 1 + (n << 1 | part);
                        assert!(ids.insert(id, id ^ 5));
                        sender.send(id).unwrap();
                    }
                });
            }
            drop(sender);
            for id in receiver {
                assert_eq!(ids.get(id), Some(id ^ 5));
                assert_eq!(ids.remove(id), Some(id ^ 5));
            }
        });
        assert!((1..=40_001).all(|id| ids.get(id).is_none()));
    }
}
