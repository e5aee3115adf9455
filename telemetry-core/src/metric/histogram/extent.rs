//! Sum, least and greatest value of one shard of a histogram.
//!
//! # Invariants
//!
//! - Only finite values come here; the sum stays finite: beyond the range of `f64` it stays at its
//!   end.
//! - Without a value the least is above the greatest.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::instrument::update_f64;
use super::super::snapshot::HistogramValue;

/// How many cells an extent takes, at the beginning of its shard.
pub(super) const CELLS: usize = 3;

const SUM: usize = 0;
const MIN: usize = 1;
const MAX: usize = 2;

/// The bits of sum, least and greatest value.
pub(super) type Cells = [AtomicU64; CELLS];

/// Makes the cells those of no value.
pub(super) fn clear(cells: &Cells) {
    cells[SUM].store(0.0_f64.to_bits(), Relaxed);
    cells[MIN].store(f64::INFINITY.to_bits(), Relaxed);
    cells[MAX].store(f64::NEG_INFINITY.to_bits(), Relaxed);
}

/// Takes `value` in, `count` times.
#[inline]
pub(super) fn record(cells: &Cells, value: f64, count: u64) {
    let added = if count == 1 { value } else { value * count as f64 };
    update_f64(&cells[SUM], |sum| Some(saturate(sum + saturate(added))));
    // Most values move neither end: a plain load finds that out.
    if value < f64::from_bits(cells[MIN].load(Relaxed)) {
        update_f64(&cells[MIN], |min| (value < min).then_some(value));
    }
    if value > f64::from_bits(cells[MAX].load(Relaxed)) {
        update_f64(&cells[MAX], |max| (value > max).then_some(value));
    }
}

/// Adds what the cells hold to `value`.
pub(super) fn read<B>(cells: &Cells, value: &mut HistogramValue<B>) {
    let float = |at: usize| f64::from_bits(cells[at].load(Relaxed));
    value.sum = saturate(value.sum + float(SUM));
    if let (min, max) = (float(MIN), float(MAX))
        && min <= max
    {
        value.min = Some(value.min.map_or(min, |least| least.min(min)));
        value.max = Some(value.max.map_or(max, |most| most.max(max)));
    }
}

fn saturate(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}
