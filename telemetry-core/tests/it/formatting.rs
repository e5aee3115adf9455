//! Values whose `Debug` does more than write text.

use crate::support::*;
use std::fmt;
use telemetry_core::ledger::Cause;
use telemetry_core::record::VALUE_BYTES_MAX;
use telemetry_core::testing::{MemoryExporter, OwnedValue};

/// Logs while it is formatted.
struct Chatty {
    levels: u32,
}

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.levels > 0 {
            tracing::info!(inner = ?Chatty { levels: self.levels - 1 }, "nested {}", self.levels);
        }
        write!(f, "chatty {}", self.levels)
    }
}

fn messages(memory: &MemoryExporter) -> Vec<String> {
    memory.events().iter().map(|event| event.message().unwrap_or_default().to_owned()).collect()
}

#[test]
fn event_of_a_debug_is_delivered_after_the_outer_one() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(value = ?Chatty { levels: 1 }, "outer");
        tracing::info!("next");
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    assert_eq!(messages(&memory), ["outer", "nested 1", "next"]);
    let outer = &memory.events()[0];
    assert_eq!(outer.field("value"), Some(&OwnedValue::Text("chatty 1".to_owned())));
}

#[test]
fn event_from_two_levels_deep_is_counted_reentrant() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| tracing::info!(value = ?Chatty { levels: 3 }, "outer"));
    let report = shut_down(pipeline);
    assert_eq!(messages(&memory), ["outer", "nested 3"]);
    let counts = logs(&report, "memory");
    assert_eq!((counts.emitted, counts.delivered), (3, 2), "{report}");
    assert_eq!(counts.dropped_for(Cause::Reentrant), 1, "{report}");
}

/// Opens a span and emits in it while it is formatted.
struct Spanning;

impl fmt::Debug for Spanning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = tracing::info_span!("inner span", n = 1_u64);
        span.record("n", 2_u64);
        span.in_scope(|| tracing::info!("inside"));
        f.write_str("spanning")
    }
}

#[test]
fn span_opened_in_a_debug_is_delivered_with_its_events() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        let outer = tracing::info_span!("outer span");
        outer.in_scope(|| tracing::info!(value = ?Spanning, "outer"));
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost() + report.stale_spans, 0, "{report}");
    assert_eq!(messages(&memory), ["outer", "inside"]);
    let names: Vec<_> = memory.events()[1].spans.iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["inner span", "outer span"]);
    assert_eq!(memory.spans().len(), 2);
}

struct Panicking;

impl fmt::Debug for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half a ")?;
        panic!("in Debug, on purpose");
    }
}

#[derive(Debug)]
struct Failing;

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

impl std::error::Error for Failing {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        panic!("in source, on purpose");
    }
}

#[test]
fn panic_in_a_debug_stays_there() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(bad = ?Panicking, good = 1_u64, "survives");
        tracing::info!("next");
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    assert_eq!(messages(&memory), ["survives", "next"]);
    let event = &memory.events()[0];
    assert_eq!(event.field("bad"), Some(&OwnedValue::Text("<panic in Debug>".to_owned())));
    assert_eq!(event.field("good"), Some(&OwnedValue::U64(1)));
}

/// Panics, with a payload that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the payload's destructor, on purpose");
        }
    }
}

struct Armed;

impl fmt::Debug for Armed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::panic::panic_any(Bomb)
    }
}

#[test]
fn panic_in_the_payload_of_a_panic_stays_there() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(bad = ?Armed, "armed");
        tracing::info!("next");
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    assert_eq!(messages(&memory), ["armed", "next"]);
}

#[test]
fn panic_in_the_source_of_an_error_stays_there() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        let error: &(dyn std::error::Error + 'static) = &Failing;
        tracing::info!(error, "survives");
        tracing::info!("next");
    });
    let report = shut_down(pipeline);
    assert_eq!(report.lost(), 0, "{report}");
    assert_eq!(messages(&memory), ["survives", "next"]);
    let texts = vec!["failing".to_owned()];
    assert_eq!(memory.events()[0].field("error"), Some(&OwnedValue::Error(texts)));
}

struct Megabyte;

impl fmt::Debug for Megabyte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for _ in 0..1024 {
            f.write_str(&"ä".repeat(512))?;
        }
        Ok(())
    }
}

#[test]
fn megabyte_of_debug_is_cut_and_marked() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(big = ?Megabyte, after = true, "big");
        tracing::info!(big = "ä".repeat(1 << 20), "text");
    });
    let report = shut_down(pipeline);
    assert_eq!((report.lost(), report.cut), (0, 2), "{report}");
    for event in memory.events() {
        assert!(event.cut);
        let Some(OwnedValue::Text(text)) = event.field("big") else { panic!("no text") };
        assert_eq!(text.len(), VALUE_BYTES_MAX);
        assert!(text.chars().all(|character| character == 'ä'));
    }
    assert_eq!(memory.events()[0].field("after"), Some(&OwnedValue::Bool(true)));
}

#[test]
fn values_arrive_with_their_types() {
    let memory = MemoryExporter::new("memory");
    let pipeline = scoped(memory.clone());
    pipeline.run(|| {
        tracing::info!(
            nan = f64::NAN,
            infinite = f64::INFINITY,
            negative = f64::NEG_INFINITY,
            i128 = i128::MIN,
            u128 = u128::MAX,
            bytes = &[0_u8, 255, 10][..],
            i64 = i64::MIN,
            "values"
        );
    });
    shut_down(pipeline);
    let events = memory.events();
    let field = |key| events[0].field(key).cloned().unwrap();
    assert!(matches!(field("nan"), OwnedValue::F64(value) if value.is_nan()));
    assert_eq!(field("infinite"), OwnedValue::F64(f64::INFINITY));
    assert_eq!(field("negative"), OwnedValue::F64(f64::NEG_INFINITY));
    assert_eq!(field("i128"), OwnedValue::I128(i128::MIN));
    assert_eq!(field("u128"), OwnedValue::U128(u128::MAX));
    assert_eq!(field("bytes"), OwnedValue::Bytes(vec![0, 255, 10]));
    assert_eq!(field("i64"), OwnedValue::I64(i64::MIN));
}
