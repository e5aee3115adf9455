//! Other libraries' `log` logger and `metrics` recorder are the global ones.

use std::time::Duration;
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{SinkBuilder, builder};

struct SomebodyElse;

impl log::Log for SomebodyElse {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        false
    }
    fn log(&self, _: &log::Record<'_>) {}
    fn flush(&self) {}
}

#[test]
fn foreign_facades_are_one_diagnostic_each_and_the_rest_works() {
    log::set_logger(&SomebodyElse).unwrap();
    metrics::set_global_recorder(metrics::NoopRecorder).unwrap();
    let memory = MemoryExporter::new("memory");
    let telemetry =
        builder().no_console().exporter(SinkBuilder::new(memory.clone())).init().unwrap();
    tracing::info!("works on");
    telemetry.flush(Duration::from_secs(10)).unwrap();
    // What the pipeline says about itself comes by the same way, a moment later.
    for _ in 0..500 {
        if memory.records().len() >= 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(telemetry.shutdown().is_complete());
    let records = memory.records();
    let (own, others): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.target == "telemetry");
    assert_eq!(others.len(), 1, "{others:?}");
    assert_eq!(others[0].message(), Some("works on"));
    let texts: Vec<_> = own.iter().map(|record| format!("{:?}", record.fields)).collect();
    for facade in ["log", "metrics"] {
        let said = texts.iter().filter(|text| text.contains(&format!("`{facade}`"))).count();
        assert_eq!(said, 1, "{facade}: {texts:?}");
    }
}
