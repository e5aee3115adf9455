//! sentry-tracing: errors become Sentry's events, what is less becomes breadcrumbs.

use crate::stack::stack;

const TARGET: &str = "tests::sentry";

#[test]
fn sentry_gets_errors_with_breadcrumbs_and_we_get_all() {
    let stack = stack();
    let events = sentry_core::test::with_captured_events(|| {
        let _request = tracing::info_span!(target: TARGET, "request", tenant = 42).entered();
        tracing::debug!(target: TARGET, "not for sentry");
        tracing::info!(target: TARGET, "a step before");
        tracing::error!(target: TARGET, code = 7, "it broke");
    });
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].message.as_deref(), Some("it broke"));
    let steps: Vec<_> =
        events[0].breadcrumbs.iter().filter_map(|step| step.message.as_deref()).collect();
    assert_eq!(steps, ["a step before"]);
    let records = stack.records(TARGET);
    let messages: Vec<_> = records.iter().filter_map(|record| record.message()).collect();
    assert_eq!(messages, ["not for sentry", "a step before", "it broke"]);
    assert_eq!(records.last().unwrap().name, "request", "the span that has finished");
}
