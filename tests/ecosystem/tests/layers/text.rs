//! A `fmt` layer with its own filter.

use crate::stack::stack;
use telemetry_toolkit::context::{self, Carried};

const TARGET: &str = "tests::text::filter";

#[test]
fn fmt_layer_and_ours_filter_for_themselves() {
    let stack = stack();
    let _span = tracing::warn_span!(target: TARGET, "fmt_span", a = 1).entered();
    tracing::warn!(target: TARGET, "shown to both");
    tracing::info!(target: TARGET, "shown to us");
    let shown = stack.text.lines_with(TARGET);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].contains("fmt_span{a=1}: tests::text::filter: shown to both"), "{shown:?}");
    let messages: Vec<_> =
        stack.records(TARGET).iter().map(|record| record.message().unwrap().to_owned()).collect();
    assert_eq!(messages, ["shown to both", "shown to us"]);
}

#[test]
fn span_that_is_carried_to_a_thread_is_carried_for_all_layers() {
    const TARGET: &str = "tests::text::carried";
    let stack = stack();
    let span = tracing::warn_span!(target: TARGET, "carried_span").entered();
    let id = context::current().unwrap().span_id;
    let carried = Carried::capture();
    drop(span);
    std::thread::spawn(move || {
        carried.run(|| {
            assert_eq!(context::current().unwrap().span_id, id);
            tracing::warn!(target: TARGET, "on another thread");
        });
        assert_eq!(context::current(), None);
        tracing::warn!(target: TARGET, "outside");
    })
    .join()
    .unwrap();
    let shown = stack.text.lines_with(TARGET);
    assert!(
        shown[0].contains("carried_span: tests::text::carried: on another thread"),
        "{shown:?}"
    );
    assert!(!shown[1].contains("carried_span"), "{shown:?}");
    let records = stack.records(TARGET);
    assert_eq!((records[0].span_id, records[1].span_id), (Some(id), None));
}
