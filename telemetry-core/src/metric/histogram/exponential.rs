//! Base-2 exponential buckets: they adapt to the values, in fixed memory.
//!
//! A sign of a shard is a [`Range`]: at most [`BUCKETS_MAX`] consecutive buckets of one scale. A
//! value beyond them makes the buckets coarser, by merging neighbours, until all of them fit again;
//! that happens less than [`DOWNSCALES_MAX`] times in the life of a range.
//!
//! # Invariants
//!
//! - The buckets are those of the definition for the values recorded, in whatever order and on
//!   whatever threads: the finest scale, up to [`SCALE_MAX`], at which they fit.
//! - Recording waits for no reader; it takes a lock only to widen the range or to make it coarser,
//!   which is rare. It allocates only the slots of a range, once.
//! - A count is in exactly one bucket, also while a range is made coarser: a slot says which scale
//!   its count is of, in the same word, and who comes with another scale finds that out.
//!
//! ```text
//! window:  | downscales 6 | length 18 | index of the first bucket 32 |
//! slot:    | downscales 6 | count 58                                 |   bucket i is in slot i % 160
//! ```

use std::array;
use std::ops::Range as Indices;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::super::instrument::{Rejected, Removed};
use super::super::shard::{Line, shards, thread_index};
use super::super::snapshot::{ExponentialBuckets, ExponentialRange, HistogramValue};
use super::extent;
use super::scale::{SCALE_MAX, index};

/// Most buckets of a range (OpenTelemetry metrics SDK, `MaxSize`).
pub(super) const BUCKETS_MAX: usize = 160;

/// More than the scales between the finest and that at which all `f64` fit, -4.
const DOWNSCALES_MAX: u32 = 1 << DOWNSCALES_BITS;
const DOWNSCALES_BITS: u32 = 6;
const DOWNSCALES_SHIFT: u32 = u64::BITS - DOWNSCALES_BITS;
const COUNT_MAX: u64 = (1 << DOWNSCALES_SHIFT) - 1;

pub(crate) struct Exponential {
    shards: Box<[Line<Shard>]>,
    rejected: Arc<Rejected>,
    pub(super) removed: Removed,
}

struct Shard {
    extent: extent::Cells,
    zeros: AtomicU64,
    positive: Range,
    negative: Range,
}

impl Exponential {
    pub(super) fn new(rejected: Arc<Rejected>) -> Self {
        let shards = (0..shards()).map(|_| Line(Shard::new())).collect();
        Self { shards, rejected, removed: Removed::default() }
    }

    #[inline]
    pub(crate) fn record(&self, value: f64, count: u64) {
        if !value.is_finite() {
            return self.rejected.add(count);
        }
        if count == 0 {
            return;
        }
        let shard = &self.shards[thread_index() & (self.shards.len() - 1)].0;
        extent::record(&shard.extent, value, count);
        if value > 0.0 {
            shard.positive.add(value, count);
        } else if value < 0.0 {
            shard.negative.add(-value, count);
        } else {
            shard.zeros.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn value(&self) -> HistogramValue<ExponentialBuckets> {
        let read = |of: fn(&Shard) -> &Range| -> Vec<Reading> {
            self.shards.iter().filter_map(|shard| of(&shard.0).read()).collect()
        };
        let (positive, negative) = (read(|shard| &shard.positive), read(|shard| &shard.negative));
        let scale = fitting_scale(&positive).min(fitting_scale(&negative));
        let zeros = self.shards.iter().map(|shard| shard.0.zeros.load(Ordering::Relaxed));
        let buckets = ExponentialBuckets {
            scale,
            zero_count: zeros.sum(),
            positive: merged(&positive, scale),
            negative: merged(&negative, scale),
        };
        let count = buckets.count();
        let mut value = HistogramValue { count, sum: 0.0, min: None, max: None, buckets };
        self.shards.iter().for_each(|shard| extent::read(&shard.0.extent, &mut value));
        value
    }

    /// Returns how many values were recorded.
    pub(super) fn count(&self) -> u64 {
        let of = |shard: &Shard| {
            let zeros = shard.zeros.load(Ordering::Relaxed);
            shard.positive.count() + shard.negative.count() + zeros
        };
        self.shards.iter().map(|shard| of(&shard.0)).sum()
    }
}

impl Shard {
    fn new() -> Self {
        let extent = extent::Cells::default();
        extent::clear(&extent);
        let zeros = AtomicU64::new(0);
        Self { extent, zeros, positive: Range::default(), negative: Range::default() }
    }
}

/// The buckets of one sign.
#[derive(Default)]
struct Range {
    window: AtomicU64,
    /// Made at the first value: most histograms have no negative ones.
    slots: OnceLock<Box<Slots>>,
    /// Held by who widens the window or makes it coarser.
    change: Mutex<()>,
}

type Slots = [AtomicU64; BUCKETS_MAX];

impl Range {
    #[inline]
    fn add(&self, magnitude: f64, count: u64) {
        let window = self.window();
        let index = index(magnitude, window.scale());
        if let Some(slots) = self.slots.get()
            && window.contains(index)
            && add_to(&slots[slot_of(index)], window, count)
        {
            return;
        }
        self.add_changing(magnitude, count);
    }

    #[cold]
    fn add_changing(&self, magnitude: f64, count: u64) {
        // Before the lock: an allocator that is measured may come back to this histogram.
        if self.slots.get().is_none() {
            let _ = self.slots.set(Box::new(array::from_fn(|_| AtomicU64::new(0))));
        }
        let Some(slots) = self.slots.get() else { return };
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut window = self.window();
        let first = index(magnitude, window.scale());
        let change = window.downscale_for(first);
        if change > 0 {
            window = make_coarser(slots, window, change);
        }
        let index = first >> change;
        window = window.including(index);
        // Release: who sees the window also sees the slots as they are at its scale.
        self.window.store(window.0, Ordering::Release);
        let is_added = add_to(&slots[slot_of(index)], window, count);
        debug_assert!(is_added, "the scale changes only under the lock");
    }

    fn window(&self) -> Window {
        // Acquire: pairs with the Release in `add_changing`.
        Window(self.window.load(Ordering::Acquire))
    }

    fn read(&self) -> Option<Reading> {
        let slots = self.slots.get()?;
        loop {
            let window = self.window();
            let count = |index: i64| count_at(&slots[slot_of(index as i32)], window);
            if let Some(counts) = window.indices().map(count).collect::<Option<Vec<u64>>>() {
                let first = window.first();
                return (!counts.is_empty()).then_some(Reading {
                    scale: window.scale(),
                    first,
                    counts,
                });
            }
            // The range is being made coarser: this waits for the end of it, and comes at most as
            // often as there are scales.
            drop(self.change.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn count(&self) -> u64 {
        self.read().map_or(0, |reading| reading.counts.iter().sum())
    }
}

/// Adds to a slot, unless it has a count of another scale than `window`. A full one stays full.
#[inline]
fn add_to(slot: &AtomicU64, window: Window, count: u64) -> bool {
    // Relaxed: the scale and the count are in one word, and nothing else is read through it.
    let added = |word: u64| {
        (word >> DOWNSCALES_SHIFT == window.downscales()).then(|| {
            let sum = (word & COUNT_MAX).saturating_add(count).min(COUNT_MAX);
            word & !COUNT_MAX | sum
        })
    };
    slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
}

/// Reads a slot; `None` if its count is of another scale than `window`.
fn count_at(slot: &AtomicU64, window: Window) -> Option<u64> {
    let word = slot.load(Ordering::Relaxed);
    (word >> DOWNSCALES_SHIFT == window.downscales()).then_some(word & COUNT_MAX)
}

/// Merges the buckets of `window`, `2^change` neighbours into one; the caller holds the lock.
fn make_coarser(slots: &Slots, window: Window, change: u32) -> Window {
    let coarser = window.coarser(change);
    let tag = coarser.downscales() << DOWNSCALES_SHIFT;
    let mut merged = [0_u64; BUCKETS_MAX];
    // All slots, so that nobody finds an old scale in one; whoever added before is in what comes
    // out, whoever is late finds the new scale and tries again.
    let old: [u64; BUCKETS_MAX] =
        array::from_fn(|at| slots[at].swap(tag, Ordering::Relaxed) & COUNT_MAX);
    for index in window.indices() {
        let to = &mut merged[slot_of((index >> change) as i32)];
        *to = to.saturating_add(old[slot_of(index as i32)]).min(COUNT_MAX);
    }
    // Nobody else writes: the new window is not yet told.
    for (slot, count) in slots.iter().zip(merged) {
        slot.store(tag | count, Ordering::Relaxed);
    }
    coarser
}

fn slot_of(index: i32) -> usize {
    // A multiple that makes every index positive: the least is -1074 * 2^20.
    const ABOVE: i32 = (1 << 23) * BUCKETS_MAX as i32;
    index.wrapping_add(ABOVE).cast_unsigned() as usize % BUCKETS_MAX
}

/// Which consecutive buckets of which scale a range has; all bits 0 = none, of the finest.
#[derive(Clone, Copy)]
struct Window(u64);

impl Window {
    fn new(downscales: u64, first: i32, length: u64) -> Self {
        Self(downscales << DOWNSCALES_SHIFT | length << 32 | u64::from(first.cast_unsigned()))
    }

    fn downscales(self) -> u64 {
        self.0 >> DOWNSCALES_SHIFT
    }

    fn scale(self) -> i32 {
        SCALE_MAX - self.downscales() as i32
    }

    fn first(self) -> i32 {
        (self.0 as u32).cast_signed()
    }

    fn length(self) -> u64 {
        self.0 << DOWNSCALES_BITS >> (32 + DOWNSCALES_BITS)
    }

    fn indices(self) -> Indices<i64> {
        let first = i64::from(self.first());
        first..first + self.length() as i64
    }

    #[inline]
    fn contains(self, index: i32) -> bool {
        let past_first = i64::from(index) - i64::from(self.first());
        past_first.cast_unsigned() < self.length()
    }

    /// Returns the lowest and the highest index with `index` among them.
    fn ends_with(self, index: i32) -> (i64, i64) {
        let index = i64::from(index);
        match self.length() {
            0 => (index, index),
            _ => (self.indices().start.min(index), (self.indices().end - 1).max(index)),
        }
    }

    /// Returns how many times the scale has to be lowered for `index` to fit.
    fn downscale_for(self, index: i32) -> u32 {
        let (low, high) = self.ends_with(index);
        downscale_to_fit(low, high)
    }

    fn coarser(self, change: u32) -> Self {
        let indices = self.indices();
        let length = ((indices.end - 1) >> change) - (indices.start >> change) + 1;
        debug_assert!(self.downscales() + u64::from(change) < u64::from(DOWNSCALES_MAX));
        Self::new(self.downscales() + u64::from(change), self.first() >> change, length as u64)
    }

    /// Widens the window to `index`, which fits.
    fn including(self, index: i32) -> Self {
        let (low, high) = self.ends_with(index);
        Self::new(self.downscales(), low as i32, (high - low + 1) as u64)
    }
}

/// Returns how many times the scale has to be lowered for the buckets from `low` to `high` to fit.
fn downscale_to_fit(low: i64, high: i64) -> u32 {
    let fits = |change: &u32| (high >> change) - (low >> change) < BUCKETS_MAX as i64;
    (0..DOWNSCALES_MAX).find(fits).unwrap_or(DOWNSCALES_MAX)
}

/// One reading of a range that is not empty.
struct Reading {
    scale: i32,
    first: i32,
    counts: Vec<u64>,
}

impl Reading {
    fn ends_at(&self, scale: i32) -> (i64, i64) {
        let (first, change) = (i64::from(self.first), self.scale - scale);
        (first >> change, (first + self.counts.len() as i64 - 1) >> change)
    }
}

/// Returns the lowest and the highest bucket at `scale`, over all readings.
fn ends_at(readings: &[Reading], scale: i32) -> Option<(i64, i64)> {
    let ends = readings.iter().map(|reading| reading.ends_at(scale));
    ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// Returns the finest scale at which all readings fit into one range.
fn fitting_scale(readings: &[Reading]) -> i32 {
    let coarsest = readings.iter().map(|reading| reading.scale).min().unwrap_or(SCALE_MAX);
    let ends = ends_at(readings, coarsest);
    coarsest - ends.map_or(0, |(low, high)| downscale_to_fit(low, high)) as i32
}

fn merged(readings: &[Reading], scale: i32) -> ExponentialRange {
    let Some((low, high)) = ends_at(readings, scale) else { return ExponentialRange::default() };
    let mut counts = vec![0; (high - low + 1) as usize];
    for reading in readings {
        let change = reading.scale - scale;
        for (index, count) in (i64::from(reading.first)..).zip(&reading.counts) {
            counts[((index >> change) - low) as usize] += count;
        }
    }
    ExponentialRange { offset: low as i32, counts }
}
