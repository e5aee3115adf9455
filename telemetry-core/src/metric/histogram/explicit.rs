//! Explicit buckets: bounds that were given, and one count for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::instrument::{Rejected, Removed};
use super::super::shard::{Line, shards, thread_index};
use super::super::snapshot::HistogramValue;
use super::extent;

const LINE_CELLS: usize = 16;
/// Where the buckets begin in the cells of a shard.
const BUCKETS: usize = extent::CELLS;

/// All shards in one allocation: `lines_per_shard` lines each.
///
/// ```text
/// shard 0: | sum min max b0 b1 … | … bn |   shard 1: | sum min max b0 b1 … | … bn |
/// ```
pub(crate) struct Explicit {
    bounds: Arc<[f64]>,
    lines: Box<[Line<[AtomicU64; LINE_CELLS]>]>,
    lines_per_shard: usize,
    shard_mask: usize,
    rejected: Arc<Rejected>,
    pub(super) removed: Removed,
}

impl Explicit {
    pub(super) fn new(bounds: Arc<[f64]>, rejected: Arc<Rejected>) -> Self {
        let lines_per_shard = (BUCKETS + bounds.len() + 1).div_ceil(LINE_CELLS);
        let lines: Box<[Line<[AtomicU64; LINE_CELLS]>]> =
            (0..lines_per_shard * shards()).map(|_| Line::default()).collect();
        lines.iter().step_by(lines_per_shard).for_each(|first| extent::clear(extent_of(first)));
        let (shard_mask, removed) = (shards() - 1, Removed::default());
        Self { bounds, lines, lines_per_shard, shard_mask, rejected, removed }
    }

    #[inline]
    pub(crate) fn record(&self, value: f64, count: u64) {
        if !value.is_finite() {
            return self.rejected.add(count);
        }
        if count == 0 {
            return;
        }
        let first = (thread_index() & self.shard_mask) * self.lines_per_shard;
        extent::record(extent_of(&self.lines[first]), value, count);
        let bucket = BUCKETS + self.bounds.partition_point(|bound| *bound < value);
        let line = &self.lines[first + bucket / LINE_CELLS].0;
        line[bucket % LINE_CELLS].fetch_add(count, Relaxed);
    }

    pub(super) fn bounds(&self) -> &Arc<[f64]> {
        &self.bounds
    }

    pub(super) fn value(&self) -> HistogramValue {
        let mut value = HistogramValue {
            count: 0,
            sum: 0.0,
            min: None,
            max: None,
            buckets: vec![0; self.bounds.len() + 1],
        };
        for shard in self.lines.chunks_exact(self.lines_per_shard) {
            extent::read(extent_of(&shard[0]), &mut value);
            for (at, bucket) in value.buckets.iter_mut().enumerate() {
                *bucket += cell(shard, at).load(Relaxed);
            }
        }
        value.count = value.buckets.iter().sum();
        value
    }

    /// Returns how many values were recorded.
    pub(super) fn count(&self) -> u64 {
        let shards = self.lines.chunks_exact(self.lines_per_shard);
        let of = |shard| (0..=self.bounds.len()).map(move |at| cell(shard, at).load(Relaxed));
        shards.flat_map(of).sum()
    }
}

fn extent_of(first: &Line<[AtomicU64; LINE_CELLS]>) -> &extent::Cells {
    first.0.first_chunk().expect("a line has more cells than an extent")
}

fn cell(shard: &[Line<[AtomicU64; LINE_CELLS]>], bucket: usize) -> &AtomicU64 {
    let at = BUCKETS + bucket;
    &shard[at / LINE_CELLS].0[at % LINE_CELLS]
}
