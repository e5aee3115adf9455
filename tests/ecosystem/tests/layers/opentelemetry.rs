//! tracing-opentelemetry beside ours, with a provider of its own: two trees of the same shape.

use crate::stack::stack;
use std::collections::HashMap;

const TARGET: &str = "tests::opentelemetry";

#[test]
fn both_trees_have_the_same_shape_across_threads() {
    let stack = stack();
    let outer = tracing::info_span!(target: TARGET, "otel outer");
    let entered = outer.clone().entered();
    let inner = tracing::info_span!(target: TARGET, "otel inner");
    drop(entered);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _inner = inner.enter();
            drop(tracing::info_span!(target: TARGET, "otel leaf").entered());
        });
    });
    drop((inner, outer));
    let ours: HashMap<_, _> =
        stack.records(TARGET).into_iter().map(|span| (span.name.clone(), span)).collect();
    let our_parent = |name: &str| ours[name].spans[0].parent_id;
    assert_eq!(our_parent("otel leaf"), ours["otel inner"].span_id);
    assert_eq!(our_parent("otel inner"), ours["otel outer"].span_id);
    assert_eq!(our_parent("otel outer"), None);
    let spans = stack.otel.get_finished_spans().unwrap();
    let theirs: HashMap<_, _> = spans.iter().map(|span| (&*span.name, span)).collect();
    let their_id = |name: &str| theirs[name].span_context.span_id();
    assert_eq!(theirs["otel leaf"].parent_span_id, their_id("otel inner"));
    assert_eq!(theirs["otel inner"].parent_span_id, their_id("otel outer"));
}
