//! Samplers that `OTEL_TRACES_SAMPLER` names.
//!
//! # Invariants
//!
//! - The decision depends on the trace id alone, so every service with the same ratio keeps the
//!   same traces.

use telemetry_core::callsite::Callsite;
use telemetry_core::context::TraceId;
use telemetry_core::{Error, Sampler};

/// The low 56 bits of a trace id are random (W3C Trace Context, level 2).
const RANDOM_BITS: u32 = 56;

/// Keeps a share of all traces.
///
/// ```
/// use telemetry_toolkit::RatioSampler;
///
/// let builder = telemetry_toolkit::builder().sampler(RatioSampler::new(0.1)?);
/// # Ok::<(), telemetry_toolkit::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatioSampler {
    /// Random parts below this are dropped.
    threshold: u64,
}

impl RatioSampler {
    /// Keeps this share: 0 none, 1 all.
    ///
    /// # Errors
    ///
    /// The ratio is not from 0 to 1.
    pub fn new(ratio: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::setting("sampler ratio", ratio, "from 0 to 1"));
        }
        let all = (1_u64 << RANDOM_BITS) as f64;
        Ok(Self { threshold: (all * (1.0 - ratio)) as u64 })
    }
}

impl Sampler for RatioSampler {
    fn sample(&self, trace_id: TraceId, _root: &Callsite) -> bool {
        let random = trace_id.get() as u64 & ((1 << RANDOM_BITS) - 1);
        random >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_has_to_be_one() {
        for ratio in [-0.1, 1.1, f64::NAN] {
            assert!(RatioSampler::new(ratio).unwrap_err().is_setting());
        }
    }

    #[test]
    fn bounds_keep_none_and_all() {
        assert_eq!(RatioSampler::new(1.0).unwrap().threshold, 0);
        assert_eq!(RatioSampler::new(0.0).unwrap().threshold, 1 << RANDOM_BITS);
    }
}
