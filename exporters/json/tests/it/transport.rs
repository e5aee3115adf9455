//! Files and pipes that fail.

use crate::support::{NOW, strict};
use std::fs;
use std::io::Read;
use telemetry_core::Level;
use telemetry_core::batch::Batch;
use telemetry_core::export::Outcome;
use telemetry_core::ledger::{Cause, Signal, Units};
use telemetry_core::testing::{BatchFixture, export};
use telemetry_json::JsonExporter;

fn events(count: u64) -> Batch {
    let mut fixture = BatchFixture::new();
    let span = fixture.span("request", Level::Info, &[], None, NOW, |_| {});
    for n in 0..count {
        fixture.event("app", Level::Info, &["n"], Some(span), NOW + n, |w| w.u64(0, n));
    }
    fixture.close(span, NOW + count);
    fixture.finish()
}

fn all_lost(count: u64) -> Outcome {
    let lost = Units::of(Signal::Log, count).plus(Units::of(Signal::Span, 1));
    Outcome::Partial { lost, cause: Cause::WriteFailed }
}

#[test]
fn batch_is_in_the_file_when_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let mut exporter = JsonExporter::builder().file(&path).build().unwrap();
    for batch in 1..=3 {
        assert_eq!(export(&mut exporter, events(5_000)), Outcome::Delivered);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), batch * 5_001);
    }
    let text = fs::read_to_string(&path).unwrap();
    text.lines().for_each(|line| drop(strict(line)));
}

#[test]
fn deleted_file_is_made_anew_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let mut exporter = JsonExporter::builder().file(&path).build().unwrap();
    export(&mut exporter, events(1));
    fs::remove_file(&path).unwrap();
    let begin = telemetry_core::clock::now();
    while !path.exists() {
        assert_eq!(export(&mut exporter, events(1)), Outcome::Delivered);
        assert!(telemetry_core::clock::now().duration_since(begin).as_secs() < 10);
    }
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2, "the batch that found it out is in the new file");
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_loses_exactly_the_batch() {
    let mut exporter = JsonExporter::builder().file("/dev/full").build().unwrap();
    assert_eq!(export(&mut exporter, events(3)), all_lost(3));
    assert_eq!(export(&mut exporter, events(1)), all_lost(1));
}

#[test]
fn closed_pipe_loses_the_batch_and_no_more() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut exporter = JsonExporter::builder().writer(Box::new(writer)).build().unwrap();
    assert_eq!(export(&mut exporter, events(2)), Outcome::Delivered);
    let mut some = [0; 10];
    reader.read_exact(&mut some).unwrap();
    drop(reader);
    assert_eq!(export(&mut exporter, events(2)), all_lost(2));
}

#[test]
fn file_that_cannot_be_opened_is_an_error_with_its_path() {
    let error = JsonExporter::builder().file("/does/not/exist.jsonl").build().unwrap_err();
    assert!(error.to_string().contains("/does/not/exist.jsonl"), "{error}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("os error 2"));
}
