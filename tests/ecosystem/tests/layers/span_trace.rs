//! tracing-error: a `SpanTrace` has the spans that it is taken in.

use crate::stack::stack;
use tracing_error::{SpanTrace, SpanTraceStatus};

const TARGET: &str = "tests::span_trace";

#[test]
fn span_trace_is_filled_and_our_spans_have_the_same_shape() {
    let stack = stack();
    let trace = {
        let _outer = tracing::info_span!(target: TARGET, "outer", tenant = 42).entered();
        let _debug = tracing::debug_span!(target: TARGET, "middle").entered();
        let _inner = tracing::info_span!(target: TARGET, "inner", path = "/x").entered();
        tracing::info!(target: TARGET, "inside");
        SpanTrace::capture()
    };
    assert_eq!(trace.status(), SpanTraceStatus::CAPTURED);
    let mut names = Vec::new();
    trace.with_spans(|metadata, fields| {
        names.push(format!("{}{{{fields}}}", metadata.name()));
        true
    });
    assert_eq!(names, ["inner{path=\"/x\"}", "middle{}", "outer{tenant=42}"]);
    let records = stack.records(TARGET);
    let ours: Vec<_> = records[0].spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(ours, ["inner", "middle", "outer"]);
}

#[test]
fn error_with_its_span_trace_is_told_with_its_sources() {
    use tracing_error::{ExtractSpanTrace, InstrumentError};
    const TARGET: &str = "tests::span_trace::error";
    let stack = stack();
    let span = tracing::info_span!(target: TARGET, "reading");
    let error = span.in_scope(|| std::io::Error::other("no such file").in_current_span());
    let error: &(dyn std::error::Error + 'static) = &error;
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    assert!(chain.any(|error| error.span_trace().is_some()));
    tracing::error!(target: TARGET, error, "failed");
    let records = stack.records(TARGET);
    let event = records.iter().find(|record| record.message() == Some("failed")).unwrap();
    assert!(format!("{:?}", event.fields).contains("no such file"), "{event:?}");
}
