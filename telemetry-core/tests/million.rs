//! An inspection while 1,000,000 spans are open: bounded in size, and nothing is lost.

use std::time::Duration;
use telemetry_core::document::{Cell, Document};
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;

const SPANS: u64 = 1_000_000;
const BYTES_MAX: usize = 256 * 1024;
const LONG: Duration = Duration::from_secs(300);

#[test]
fn a_million_open_spans_fit_an_inspection_and_nothing_is_lost() {
    let sink = SinkBuilder::new(MemoryExporter::new("memory"));
    let pipeline = Pipeline::builder().sink(sink).scoped().unwrap();
    let open = |n| {
        // In steps: a machine that is busy elsewhere must not lose starts for want of room.
        if n % 10_000 == 0 {
            pipeline.flush(LONG).unwrap();
        }
        tracing::info_span!("many", n)
    };
    let spans: Vec<_> = pipeline.run(|| {
        let first = tracing::info_span!("first", order = 42);
        std::iter::once(first).chain((1..SPANS).map(open)).collect()
    });
    pipeline.flush(LONG).unwrap();

    let began = telemetry_core::clock::now();
    let found = pipeline.inspect(LONG);
    println!("1,000,000 open spans: {:?}", telemetry_core::clock::now() - began);
    let rows = |key: &str| found.sections.iter().find(|one| one.key() == key).unwrap().rows();
    assert_eq!(rows("open")[0].get("spans"), Some(&Cell::Count(SPANS)), "{:?}", found.suspects);
    assert_eq!(rows("open_spans")[0].get("count"), Some(&Cell::Count(SPANS - 1)));
    let oldest = rows("oldest_spans");
    assert_eq!(oldest.len(), 20);
    let order = Cell::Fields(vec![("order".to_owned(), "42".to_owned())]);
    assert_eq!(oldest[0].get("fields"), Some(&order));
    let document = found.sections.iter().cloned().fold(Document::default(), Document::with);
    let (text, json) = (document.text(BYTES_MAX), document.json(BYTES_MAX));
    assert!(text.contains("… and 999980 more"), "what has no row is counted: {text}");
    assert!(text.len() < BYTES_MAX && json.len() < BYTES_MAX);
    println!("{} bytes of text, {} bytes of JSON", text.len(), json.len());

    assert_eq!(pipeline.report().lost(), 0, "{}", pipeline.report());
    // They stay open: to close them takes a while.
    std::mem::forget(spans);
}
