//! Which bucket of a base-2 exponential histogram a value falls in, exactly.
//!
//! # Invariants
//!
//! - At scale `s`, bucket `i` holds what is above `2^(i / 2^s)`, up to and including
//!   `2^((i + 1) / 2^s)`, for every finite value that is not zero, subnormal ones included.
//! - The answer does not depend on the machine's logarithm: where that is not certain, the bits are
//!   computed with integers. They decide right unless a value stands closer than `2^-120` of itself
//!   to a bound; of all `f64`, the closest to any bound of the finest scale is `2^-78` away.
//!
//! Source: OpenTelemetry metrics data model, exponential histogram.

/// The finest scale (OpenTelemetry metrics SDK, base2 exponential bucket histogram, `MaxScale`).
pub(super) const SCALE_MAX: i32 = 20;

const FRACTION_BITS: u32 = 52;
const FRACTION: u64 = (1 << FRACTION_BITS) - 1;
const EXPONENT_BIAS: i32 = 1023;

/// The finest scale that [`FIRSTS`] holds: values within an octave and a quarter are at that scale
/// or a finer one, all others at a coarser one.
const TABLE_SCALE: i32 = 7;
const TABLE_BUCKETS: usize = 1 << TABLE_SCALE;
/// Into how many equal parts an octave is divided, to find a bucket's neighbourhood: in each is at
/// most one bound, for the logarithm rises by at most 1.443 in an octave.
const PARTS: usize = 256;
const PART_SHIFT: u32 = FRACTION_BITS - PARTS.ilog2();

/// The least fraction in each bucket of an octave, and one that no fraction reaches.
static FIRSTS: [u64; TABLE_BUCKETS + 1] = firsts();
/// The bucket of the least fraction in each part.
static BUCKETS: [u8; PARTS] = buckets_of_parts();

/// How near to an integer a scaled logarithm is not trusted: a libm is wrong by less than `2^-50`,
/// at the finest scale `2^-30`.
const MARGIN: f64 = 1.0 / (1 << 20) as f64;

/// Returns the index of the bucket that holds `magnitude`, which is finite and above zero.
#[inline]
pub(super) fn index(magnitude: f64, scale: i32) -> i32 {
    let (exponent, fraction) = split(magnitude);
    if fraction == 0 {
        // A power of two is the upper bound of its bucket, at every scale.
        return if scale > 0 { (exponent << scale) - 1 } else { (exponent - 1) >> -scale };
    }
    if scale > 0 {
        (exponent << scale) + within_octave(fraction, scale)
    } else {
        exponent >> -scale
    }
}

/// Takes `magnitude` apart: `2^exponent * (1 + fraction / 2^52)`.
#[inline]
fn split(magnitude: f64) -> (i32, u64) {
    let bits = magnitude.to_bits() & (u64::MAX >> 1);
    let exponent = (bits >> FRACTION_BITS) as i32;
    if exponent == 0 {
        return split_subnormal(bits);
    }
    (exponent - EXPONENT_BIAS, bits & FRACTION)
}

#[cold]
fn split_subnormal(bits: u64) -> (i32, u64) {
    // Moves the first one to where a normal number has its implied one.
    let shift = bits.leading_zeros() as i32 - (63 - FRACTION_BITS as i32);
    (1 - EXPONENT_BIAS - shift, (bits << shift) & FRACTION)
}

/// Returns `floor(2^scale * log2(1 + fraction / 2^52))`, for a scale above 0.
#[inline]
fn within_octave(fraction: u64, scale: i32) -> i32 {
    if scale > TABLE_SCALE {
        return within_octave_finely(fraction, scale);
    }
    let bucket = usize::from(BUCKETS[(fraction >> PART_SHIFT) as usize]);
    let bucket = bucket + usize::from(fraction >= FIRSTS[bucket + 1]);
    (bucket >> (TABLE_SCALE - scale)) as i32
}

/// As [`within_octave`], by a logarithm: for values that are close together.
fn within_octave_finely(fraction: u64, scale: i32) -> i32 {
    let mantissa = f64::from_bits((EXPONENT_BIAS as u64) << FRACTION_BITS | fraction);
    let scaled = mantissa.log2() * f64::from(1_u32 << scale);
    let floor = scaled as i32;
    let past = scaled - f64::from(floor);
    if past > MARGIN && past < 1.0 - MARGIN { floor } else { within_octave_exact(fraction, scale) }
}

/// As [`within_octave`], by integers: each squaring of the mantissa gives one more bit of its
/// logarithm.
const fn within_octave_exact(fraction: u64, scale: i32) -> i32 {
    const ONE: u128 = 1 << 127;
    let mut mantissa = ONE | (fraction as u128) << (127 - FRACTION_BITS);
    let (mut index, mut bits) = (0, 0);
    while bits < scale {
        let square = square_high(mantissa);
        let bit = square >= ONE;
        mantissa = if bit { square } else { square << 1 };
        index = index << 1 | bit as i32;
        bits += 1;
    }
    index
}

const fn firsts() -> [u64; TABLE_BUCKETS + 1] {
    let mut firsts = [u64::MAX; TABLE_BUCKETS + 1];
    firsts[0] = 0;
    let mut bucket = 1;
    while bucket < TABLE_BUCKETS {
        // The first is above `low`, and at most `high`.
        let (mut low, mut high) = (firsts[bucket - 1], FRACTION);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if within_octave_exact(middle, TABLE_SCALE) < bucket as i32 {
                low = middle;
            } else {
                high = middle;
            }
        }
        firsts[bucket] = high;
        bucket += 1;
    }
    firsts
}

const fn buckets_of_parts() -> [u8; PARTS] {
    let mut buckets = [0; PARTS];
    let mut part = 0;
    while part < PARTS {
        buckets[part] = within_octave_exact((part as u64) << PART_SHIFT, TABLE_SCALE) as u8;
        part += 1;
    }
    buckets
}

/// Returns the upper half of the square of `x`, less at most 1.
const fn square_high(x: u128) -> u128 {
    let (high, low) = (x >> 64, x & u64::MAX as u128);
    high * high + ((high * low) >> 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use proptest::prelude::*;

    /// The definition: the bit length of `magnitude^(2^scale)`, as an exact integer.
    ///
    /// Beyond some thousand bits the power is kept between two bounds of 512 bits; if they ever
    /// gave two answers, the test would fail.
    fn oracle(magnitude: f64, scale: i32) -> i32 {
        let bits = magnitude.to_bits();
        let exponent = (bits >> FRACTION_BITS) as i32;
        let fraction = bits & FRACTION;
        let (integer, shift) = match exponent {
            0 => (fraction, -1074),
            _ => (fraction | 1 << FRACTION_BITS, exponent - 1075),
        };
        let is_power_of_two = integer.is_power_of_two();
        let log = |up: bool| {
            let mut power = BigUint::from(integer);
            let mut shift = i64::from(shift);
            for _ in 0..scale.max(0) {
                power = &power * &power;
                shift *= 2;
                let over = power.bits().saturating_sub(512);
                power >>= over;
                shift += over as i64;
                power += u32::from(up && over > 0);
            }
            (power.bits() as i64 - 1 + shift) as i32
        };
        let (low, high) = (log(false), log(true));
        assert_eq!(low, high, "{magnitude:e} at {scale} needs more bits");
        let exact = low - i32::from(is_power_of_two);
        if scale < 0 { exact >> -scale } else { exact }
    }

    fn magnitudes() -> impl Strategy<Value = f64> {
        let any = any::<u64>().prop_map(|bits| f64::from_bits(bits >> 1));
        let subnormal = (1..1_u64 << 52).prop_map(f64::from_bits);
        let power = (-1074..=1023_i32).prop_map(|e| 2.0_f64.powi(e));
        // Next to powers of two and next to bounds, where a logarithm would be wrong first.
        let near_power = (-1000..=1000_i32, -3..=3_i64)
            .prop_map(|(e, ulps)| f64::from_bits((2.0_f64.powi(e).to_bits() as i64 + ulps) as u64));
        let near_bound = (0..1_u32 << 20, 1..=20_u32, -200..=200_i32, -3..=3_i64).prop_map(
            |(n, scale, e, ulps)| {
                let bound = (f64::from(n >> (20 - scale)) / f64::from(1 << scale)).exp2();
                f64::from_bits(((bound * 2.0_f64.powi(e)).to_bits() as i64 + ulps) as u64)
            },
        );
        prop_oneof![2 => any, 1 => subnormal, 1 => power, 2 => near_power, 4 => near_bound]
            .prop_filter("finite and above zero", |v| v.is_finite() && *v > 0.0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn index_is_that_of_the_definition(magnitude in magnitudes(), scale in -11..=SCALE_MAX) {
            prop_assert_eq!(index(magnitude, scale), oracle(magnitude, scale));
        }

        #[test]
        fn exact_way_is_that_of_the_definition(fraction in 1..=FRACTION, scale in 1..=SCALE_MAX) {
            let mantissa = f64::from_bits((EXPONENT_BIAS as u64) << FRACTION_BITS | fraction);
            prop_assert_eq!(within_octave_exact(fraction, scale), oracle(mantissa, scale));
        }

        #[test]
        fn coarser_scale_halves_the_index(magnitude in magnitudes(), scale in -10..=SCALE_MAX) {
            prop_assert_eq!(index(magnitude, scale) >> 1, index(magnitude, scale - 1));
        }
    }

    #[test]
    fn every_bound_of_the_table_is_where_it_should_be() {
        for (bucket, first) in FIRSTS[..TABLE_BUCKETS].iter().enumerate().skip(1) {
            for fraction in [first - 1, *first, first + 1] {
                let mantissa = f64::from_bits((EXPONENT_BIAS as u64) << FRACTION_BITS | fraction);
                let expected = oracle(mantissa, TABLE_SCALE);
                assert_eq!(index(mantissa, TABLE_SCALE), expected, "near bucket {bucket}");
            }
        }
    }

    #[test]
    fn ends_of_the_range_have_an_index() {
        for magnitude in [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 1.0, 1.0 + f64::EPSILON] {
            for scale in -11..=SCALE_MAX {
                assert_eq!(index(magnitude, scale), oracle(magnitude, scale), "{magnitude:e}");
            }
        }
        assert_eq!(index(1.0, 0), -1);
        assert_eq!(index(f64::from_bits(1), SCALE_MAX), (-1074 << SCALE_MAX) - 1);
    }
}
