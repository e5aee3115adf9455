//! OpenTelemetry's samplers.
//!
//! # Invariants
//!
//! - A ratio's decision depends on the trace id alone: it is the same for every span of a trace and
//!   in every service with that ratio, and what a lower ratio keeps a higher one keeps, too.

use std::fmt;
use telemetry_core::callsite::Callsite;
use telemetry_core::context::{TraceFlags, TraceId};
use telemetry_core::{Error, Sampler};

/// Ratios are compared with the upper 63 of the low 64 bits of a trace id.
const ALL: u64 = 1 << 63;

/// A sampler of OpenTelemetry's: all traces, none, or a share of them.
///
/// By itself it decides about traces that come from another process as well, whatever the caller
/// decided; [`parent_based`](Self::parent_based) believes the caller. `OTEL_TRACES_SAMPLER` says
/// the same.
///
/// ```
/// use telemetry_toolkit::HeadSampler;
///
/// // A tenth of the traces that begin here, and whatever callers sampled.
/// let sampler = HeadSampler::trace_id_ratio(0.1)?.parent_based();
/// let builder = telemetry_toolkit::builder().sampler(sampler);
/// # Ok::<(), telemetry_toolkit::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSampler {
    /// What of a trace id is compared has to be below this.
    bound: u64,
    parents: Parents,
}

/// What a caller's decision counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parents {
    Ignored,
    Believed,
}

impl HeadSampler {
    /// Keeps every trace (`always_on`).
    pub const fn always_on() -> Self {
        Self { bound: ALL, parents: Parents::Ignored }
    }

    /// Keeps no trace (`always_off`).
    pub const fn always_off() -> Self {
        Self { bound: 0, parents: Parents::Ignored }
    }

    /// Keeps this share of the traces, from 0 to 1, by their ids (`traceidratio`).
    ///
    /// The ids that are kept are those that the SDKs of OpenTelemetry for Rust, Go, Python and
    /// Ruby keep; others choose other ones.
    ///
    /// # Errors
    ///
    /// The ratio is not from 0 to 1.
    pub fn trace_id_ratio(ratio: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::setting("sampler ratio", ratio, "from 0 to 1"));
        }
        Ok(Self { bound: (ratio * ALL as f64) as u64, parents: Parents::Ignored })
    }

    /// Decides where a trace begins, and believes the caller of one that comes from another process
    /// (`parentbased_…`).
    #[must_use]
    pub const fn parent_based(self) -> Self {
        Self { parents: Parents::Believed, ..self }
    }
}

impl fmt::Display for HeadSampler {
    /// As `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parents == Parents::Believed {
            f.write_str("parentbased_")?;
        }
        match self.bound {
            ALL => f.write_str("always_on"),
            0 => f.write_str("always_off"),
            bound => write!(f, "traceidratio {}", bound as f64 / ALL as f64),
        }
    }
}

impl Sampler for HeadSampler {
    fn sample(&self, trace_id: TraceId, _root: &Callsite) -> bool {
        (trace_id.get() as u64) >> 1 < self.bound
    }

    fn sample_remote(&self, trace_id: TraceId, first: &Callsite, caller: TraceFlags) -> bool {
        match self.parents {
            Parents::Believed => caller.is_sampled(),
            Parents::Ignored => self.sample(trace_id, first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_has_to_be_one() {
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(HeadSampler::trace_id_ratio(ratio).unwrap_err().is_setting());
        }
    }

    #[test]
    fn name_is_that_of_the_specification() {
        let half = HeadSampler::trace_id_ratio(0.5).unwrap();
        assert_eq!(half.parent_based().to_string(), "parentbased_traceidratio 0.5");
        assert_eq!(HeadSampler::always_off().to_string(), "always_off");
    }

    #[test]
    fn bounds_keep_none_and_all() {
        assert_eq!(HeadSampler::trace_id_ratio(1.0).unwrap(), HeadSampler::always_on());
        assert_eq!(HeadSampler::trace_id_ratio(0.0).unwrap(), HeadSampler::always_off());
    }
}
