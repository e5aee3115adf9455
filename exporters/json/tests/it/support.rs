//! The text that batches become, and a reader that refuses duplicate keys.

use std::collections::HashSet;
use telemetry_core::batch::Batch;
use telemetry_core::export::Outcome;
use telemetry_core::testing::{self, Lines};
use telemetry_json::JsonExporterBuilder;

/// 2026-11-22T09:00:00.123456789Z.
pub(crate) const NOW: u64 = 1_795_338_000_123_456_789;

/// The text that a batch becomes.
pub(crate) fn text_of(builder: JsonExporterBuilder, batch: Batch) -> String {
    let lines = Lines::default();
    let mut exporter = builder.writer(Box::new(lines.clone())).build().unwrap();
    assert_eq!(testing::export(&mut exporter, batch), Outcome::Delivered);
    lines.text()
}

/// The objects that a batch becomes, one a line, no key twice.
pub(crate) fn lines_of(builder: JsonExporterBuilder, batch: Batch) -> Vec<serde_json::Value> {
    let text = text_of(builder, batch);
    assert!(text.is_empty() || text.ends_with('\n'));
    text.split_terminator('\n').map(strict).collect()
}

/// Reads an object, and panics if a key stands twice in it or in an object within it.
pub(crate) fn strict(line: &str) -> serde_json::Value {
    let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut open: Vec<HashSet<String>> = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(['{', '}', '"']) {
        let found = rest.as_bytes()[at];
        rest = &rest[at..];
        if found != b'"' {
            if found == b'{' {
                open.push(HashSet::new())
            } else {
                drop(open.pop())
            }
            rest = &rest[1..];
            continue;
        }
        let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let text = texts.next().unwrap().unwrap();
        rest = &rest[texts.byte_offset()..];
        if rest.starts_with(':') {
            let keys = open.last_mut().expect("a key stands in an object");
            assert!(keys.insert(text.clone()), "key {text:?} twice: {line}");
        }
    }
    value
}
