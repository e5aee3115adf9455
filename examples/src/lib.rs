//! Runnable programs for `telemetry-toolkit`: see the folders beside `src`.

/// Lets the tests compile and run what the documents show.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../docs/context.md")]
    mod context {}
    #[doc = include_str!("../../docs/ends.md")]
    mod ends {}
    #[doc = include_str!("../../docs/exporters.md")]
    mod exporters {}
    #[doc = include_str!("../../docs/filtering.md")]
    mod filtering {}
    #[doc = include_str!("../../docs/metrics.md")]
    mod metrics {}
    #[doc = include_str!("../../docs/layers.md")]
    mod layers {}
    #[doc = include_str!("../../docs/inspection.md")]
    mod inspection {}
    #[doc = include_str!("../../docs/rate-limit.md")]
    mod rate_limit {}
    #[doc = include_str!("../../docs/sampling.md")]
    mod sampling {}
    #[doc = include_str!("../../docs/redaction.md")]
    mod redaction {}
    #[doc = include_str!("../../docs/testing.md")]
    mod testing {}
}
