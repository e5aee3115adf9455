//! Pipes that fail.

use crate::support::NOW;
use std::io::Read;
use telemetry_console::ConsoleExporter;
use telemetry_core::Level;
use telemetry_core::batch::Batch;
use telemetry_core::export::Outcome;
use telemetry_core::ledger::{Cause, Signal, Units};
use telemetry_core::metric::Registry;
use telemetry_core::testing::{BatchFixture, export, export_metrics};

fn events(count: u64) -> Batch {
    let mut fixture = BatchFixture::new();
    for n in 0..count {
        fixture.event("app", Level::Info, &["n"], None, NOW + n, |w| w.u64(0, n));
    }
    fixture.finish()
}

#[test]
fn batch_is_written_when_it_is_acknowledged() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut exporter = ConsoleExporter::builder().writer(Box::new(writer)).build().unwrap();
    assert_eq!(export(&mut exporter, events(100)), Outcome::Delivered);
    drop(exporter);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 100);
}

#[test]
fn closed_pipe_loses_and_does_not_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut exporter =
        ConsoleExporter::builder().metrics(true).writer(Box::new(writer)).build().unwrap();
    let lost = Units::of(Signal::Log, 7);
    let expected = Outcome::Partial { lost, cause: Cause::WriteFailed };
    assert_eq!(export(&mut exporter, events(7)), expected);
    assert_eq!(export(&mut exporter, events(7)), expected, "and it is tried again");
    let registry = Registry::new();
    registry.counter("a", ()).add(1);
    registry.counter("b", ()).add(1);
    let outcome = export_metrics(&mut exporter, registry.snapshot(NOW));
    assert_eq!(outcome, Outcome::Rejected(Cause::WriteFailed), "all points of the line");
}

#[test]
fn standard_streams_can_be_used_more_than_once() {
    for _ in 0..2 {
        assert!(ConsoleExporter::builder().stderr().build().is_ok());
        assert!(ConsoleExporter::builder().stdout().build().is_ok());
    }
}
