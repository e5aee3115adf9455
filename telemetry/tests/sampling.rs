//! OpenTelemetry's samplers: whom they ask, what they keep, and that their SDK for Rust agrees.
//!
//! One test, because the process has one pipeline.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use opentelemetry_sdk::trace::{Sampler as Theirs, SamplingDecision, ShouldSample};
use std::sync::{Arc, Mutex};
use telemetry_toolkit::callsite::Callsite;
use telemetry_toolkit::context::{self, Propagators, TraceFlags, TraceId};
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{Builder, HeadSampler, Sampler, SinkBuilder, builder};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What telemetry says of itself is left out: a warning comes sooner or later.
fn quiet(memory: &MemoryExporter) -> Builder {
    let builder = builder().no_console().poller(false).filter("info,telemetry=off");
    builder.exporter(SinkBuilder::new(memory.clone())).exit_hook(false)
}

/// Opens a span (of a caller's trace if it sends flags), a child inside it and an event in that;
/// returns the flags that would go on to a callee, and how many spans and events were exported.
fn traced(builder: Builder, memory: &MemoryExporter, caller: Option<u8>) -> (u8, usize, usize) {
    let telemetry = builder.init().unwrap();
    let parent = caller.map(|flags| format!("00-{TRACE}-00f067aa0ba902b7-{flags:02x}"));
    let headers: Vec<_> = parent.iter().map(|parent| ("traceparent", parent.as_str())).collect();
    let remote = Propagators::default().extract(&headers);
    let mut sent: Vec<(String, String)> = Vec::new();
    remote.run(|| {
        tracing::info_span!("first").in_scope(|| {
            tracing::info_span!("inner").in_scope(|| {
                tracing::info!("inside");
                context::inject(&mut sent);
            });
        });
    });
    assert!(telemetry.shutdown().is_complete());
    let (name, value) = &sent[0];
    assert_eq!(name, "traceparent");
    assert!(caller.is_none() || value.contains(TRACE), "the trace goes on: {value}");
    let flags = u8::from_str_radix(&value[53..], 16).unwrap();
    assert!(memory.spans().iter().all(|span| span.trace_flags.bits() == flags));
    assert!(memory.events().iter().all(|event| event.trace_flags.bits() == flags));
    (flags, memory.spans().len(), memory.events().len())
}

fn samplers_decide_where_a_trace_enters_the_process() {
    const KEPT: (usize, usize) = (2, 1);
    const DROPPED: (usize, usize) = (0, 1);
    // The sampler, and what becomes of a root, of an unsampled and of a sampled caller's trace.
    let table = [
        (None, [KEPT, DROPPED, KEPT]),
        (Some(("always_on", "")), [KEPT, KEPT, KEPT]),
        (Some(("always_off", "1")), [DROPPED, DROPPED, DROPPED]),
        (Some(("traceidratio", "0")), [DROPPED, DROPPED, DROPPED]),
        (Some(("traceidratio", "many")), [KEPT, KEPT, KEPT]),
        (Some(("parentbased_always_on", "0")), [KEPT, DROPPED, KEPT]),
        (Some(("parentbased_always_off", "")), [DROPPED, DROPPED, KEPT]),
        (Some(("parentbased_traceidratio", "0")), [DROPPED, DROPPED, KEPT]),
        (Some(("parentbased_traceidratio", "1")), [KEPT, DROPPED, KEPT]),
    ];
    for (sampler, expected) in table {
        let variables = |name: &str| match (name, sampler) {
            ("OTEL_TRACES_SAMPLER", Some((sampler, _))) => Some(sampler.to_owned()),
            ("OTEL_TRACES_SAMPLER_ARG", Some((_, argument))) => Some(argument.to_owned()),
            ("OTEL_LOG_LEVEL", _) => Some("none".to_owned()),
            _ => None,
        };
        // The random flag is set where a trace begins, and copied where it goes on.
        for (caller, random) in [(None, 2), (Some(0), 0), (Some(1), 0), (Some(2), 2), (Some(3), 2)]
        {
            let case = format!("{sampler:?} {caller:?}");
            let memory = MemoryExporter::new("memory");
            let builder = quiet(&memory).from_variables(variables);
            let (flags, spans, events) = traced(builder, &memory, caller);
            let expected = expected[caller.map_or(0, |flags| 1 + usize::from(flags & 1))];
            assert_eq!((spans, events), expected, "{case}");
            assert_eq!(flags, random | u8::from(expected == KEPT), "{case}");
        }
    }
}

/// Asks several samplers about each trace id, and the SDK of OpenTelemetry for Rust as well.
struct Compared(Mutex<Vec<(f64, usize)>>);

impl Sampler for Compared {
    fn sample(&self, trace_id: TraceId, root: &Callsite) -> bool {
        let mut is_kept_by_less = false;
        for (ratio, kept) in &mut *self.0.lock().unwrap() {
            let ours = HeadSampler::trace_id_ratio(*ratio).unwrap().sample(trace_id, root);
            let theirs = Theirs::TraceIdRatioBased(*ratio).should_sample(
                None,
                trace_id.get().into(),
                "root",
                &opentelemetry::trace::SpanKind::Internal,
                &[],
                &[],
            );
            let theirs = theirs.decision == SamplingDecision::RecordAndSample;
            assert_eq!(ours, theirs, "{trace_id} at {ratio}");
            assert!(ours || !is_kept_by_less, "{trace_id} is kept by less than {ratio}");
            is_kept_by_less = ours;
            *kept += usize::from(ours);
        }
        false
    }
}

fn ratios_keep_their_share_nest_and_agree_with_the_sdk() {
    const TRACES: usize = 20_000;
    let ratios = [0.0, 1e-12, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.999, 1.0];
    let compared = Arc::new(Compared(Mutex::new(ratios.map(|ratio| (ratio, 0)).to_vec())));
    let memory = MemoryExporter::new("memory");
    let telemetry = quiet(&memory).sampler(Arc::clone(&compared)).init().unwrap();
    (0..TRACES).for_each(|_| drop(tracing::info_span!("root")));
    drop(telemetry);
    assert_eq!(memory.spans(), [], "a panic of the comparison would have kept one");
    for (ratio, kept) in &*compared.0.lock().unwrap() {
        let expected = ratio * TRACES as f64;
        // Six standard deviations of a binomial distribution: wrong once in 500 million runs.
        let tolerance = 6.0 * (expected * (1.0 - ratio)).sqrt() + 0.5;
        assert!((*kept as f64 - expected).abs() <= tolerance, "{kept} at {ratio}");
    }
}

/// Believes no caller.
struct Suspicious;

impl Sampler for Suspicious {
    fn sample(&self, _: TraceId, _: &Callsite) -> bool {
        true
    }

    fn sample_remote(&self, _: TraceId, first: &Callsite, caller: TraceFlags) -> bool {
        assert_eq!(first.name(), "first", "asked once a trace");
        !caller.is_sampled()
    }
}

fn own_samplers_may_overrule_callers() {
    for (caller, expected) in [(Some(0), (1, 2, 1)), (Some(1), (0, 0, 1)), (None, (3, 2, 1))] {
        let memory = MemoryExporter::new("memory");
        let builder = quiet(&memory).sampler(Suspicious);
        assert_eq!(traced(builder, &memory, caller), expected, "{caller:?}");
    }
}

#[test]
fn sampling() {
    samplers_decide_where_a_trace_enters_the_process();
    ratios_keep_their_share_nest_and_agree_with_the_sdk();
    own_samplers_may_overrule_callers();
}
