//! Trace ids and span ids, and where new ones come from.
//!
//! # Invariants
//!
//! - Ids follow W3C Trace Context: 16 and 8 bytes, never zero, lowercase hexadecimal.
//! - Trace ids are random; each thread has a generator of its own, seeded by the operating system
//!   and seeded anew after a fork. `rand` is not used: its thread generator may log.
//! - Span ids are unique in a process for certain: a counter, handed to threads in blocks, behind
//!   a keyed permutation of the 64-bit integers.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of a trace: 16 bytes, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u128);

impl TraceId {
    /// The id with these bits; `None` for zero, which W3C Trace Context forbids.
    pub const fn new(bits: u128) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// The bits.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// The bytes in network order, as OTLP carries them.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

/// The id of a span: 8 bytes, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(u64);

impl SpanId {
    /// The id with these bits; `None` for zero, which W3C Trace Context forbids.
    pub const fn new(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// The bits.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bytes in network order, as OTLP carries them.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

/// How many numbers a thread takes from the process's counter at a time.
const BLOCK: u64 = 1 << 12;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
/// Key of the permutation; 0 = not drawn yet.
static KEY: AtomicU64 = AtomicU64::new(0);

/// A thread's source of ids.
#[derive(Debug)]
pub(crate) struct Generator {
    state: Cell<u64>,
    next: Cell<u64>,
    block_end: Cell<u64>,
    key: Cell<u64>,
}

impl Generator {
    pub(crate) fn new() -> Self {
        Self {
            state: Cell::new(random_u64()),
            next: Cell::new(0),
            block_end: Cell::new(0),
            key: Cell::new(process_key()),
        }
    }

    /// A number that no other span of this process has, and never 0.
    #[inline(always)]
    pub(crate) fn number(&self) -> u64 {
        let number = self.next.get();
        if number < self.block_end.get() {
            self.next.set(number + 1);
            return number;
        }
        self.new_block()
    }

    #[cold]
    #[inline(never)]
    fn new_block(&self) -> u64 {
        // Relaxed: the counter's own order is all that uniqueness needs.
        let block = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed) * BLOCK;
        self.next.set(block + 1);
        self.block_end.set(block + BLOCK);
        block
    }

    /// The span id of a number: a permutation, so distinct numbers have distinct ids.
    #[inline(always)]
    pub(crate) fn span_id(&self, number: u64) -> u64 {
        let id = permute(number, self.key.get());
        // One number of 2^64 is mapped to 0; the key's own image stands in for it.
        if id == 0 { permute(0, self.key.get()) } else { id }
    }

    /// The halves of a random trace id, never 0.
    #[inline(always)]
    pub(crate) fn trace_id(&self) -> (u64, u64) {
        let (high, low) = (self.random(), self.random());
        // A low half of 0 would do, but samplers look at it alone.
        (high, if low == 0 { 1 } else { low })
    }

    /// Wyrand: 64-bit state, passes BigCrush (Wang Yi, "wyhash final version 4").
    #[inline(always)]
    fn random(&self) -> u64 {
        let state = self.state.get().wrapping_add(0xa076_1d64_78bd_642f);
        self.state.set(state);
        let wide = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }
}

/// An invertible mix of 64 bits (xor, odd multiply, xor-shift: each step is a bijection).
#[inline(always)]
fn permute(number: u64, key: u64) -> u64 {
    let mut bits = (number ^ key).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^= bits >> 32;
    bits = bits.wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^ bits >> 32
}

fn process_key() -> u64 {
    let key = KEY.load(Ordering::Relaxed);
    if key != 0 {
        return key;
    }
    let drawn = random_u64() | 1;
    match KEY.compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => drawn,
        Err(other) => other,
    }
}

fn random_u64() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // No entropy source (a seccomp filter, say): time and an address still tell processes and
        // threads apart, which is what ids need; they are no secrets.
        let here = 0_u8;
        crate::clock::unix_ns() ^ (std::ptr::from_ref(&here) as u64).rotate_left(32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn span_ids_are_unique_across_threads() {
        let ids: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let generator = Generator::new();
                        (0..20_000)
                            .map(|_| generator.span_id(generator.number()))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(!ids.contains(&0));
    }

    #[test]
    fn trace_ids_spread_over_all_bits() {
        let generator = Generator::new();
        let (mut any, mut all) = (0_u128, u128::MAX);
        for _ in 0..256 {
            let (high, low) = generator.trace_id();
            let id = u128::from(high) << 64 | u128::from(low);
            any |= id;
            all &= id;
        }
        assert_eq!((any, all), (u128::MAX, 0));
    }

    #[test]
    fn ids_print_as_lowercase_hex_of_fixed_width() {
        assert_eq!(TraceId::new(0xAB).unwrap().to_string(), format!("{}ab", "0".repeat(30)));
        assert_eq!(SpanId::new(0xC).unwrap().to_string(), "000000000000000c");
        assert!(TraceId::new(0).is_none() && SpanId::new(0).is_none());
    }
}
