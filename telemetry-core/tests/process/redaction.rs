//! Claims about the process's secrets: its list of names, and its memory.

use super::{LONG, assert_delivered, assert_done};
use std::fs::File;
use std::os::unix::fs::FileExt;
use telemetry_core::context::{self, Baggage};
use telemetry_core::event;
use telemetry_core::metric::{self, Data};
use telemetry_core::pipeline::{Builder, Pipeline, SinkBuilder};
use telemetry_core::redaction::{Redaction, Secret, is_secret};
use telemetry_core::testing::{CapturedRecord, MemoryExporter, OwnedValue};

fn emit() {
    let span = tracing::info_span!("payment", iban = "canary", card = 1);
    span.record("iban", "canary");
    span.in_scope(|| {
        tracing::info!(iban = "canary", page_token = "next", "tracing");
        event!(Info, "event", {}, { iban = "canary", page_token = "next" });
        log::info!(iban = "canary", page_token = "next"; "log");
    });
}

fn attach(redaction: Redaction) -> (Pipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    (builder(&memory).redaction(redaction).attach().unwrap(), memory)
}

fn builder(memory: &MemoryExporter) -> Builder {
    super::builder().sink(SinkBuilder::new(memory.clone()))
}

fn of_shop() -> Redaction {
    Redaction::default().name("iban").unwrap().keep("page_token").unwrap()
}

fn fields<'r>(records: &'r [CapturedRecord], field: &str) -> Vec<&'r OwnedValue> {
    records.iter().filter_map(|record| record.field(field)).collect()
}

pub(crate) fn names() {
    let scope = context::scope([("iban", "canary"), ("tenant", "acme")]);
    let early = metric::global().counter("early", [("iban", "canary")]);
    metric::global().counter("early", [("iban", "canary too")]).add(2);
    let hidden = OwnedValue::Text("[redacted]".to_owned());
    let next = OwnedValue::Text("next".to_owned());

    // Callsites, scopes and labels that were there before the list.
    let (pipeline, memory) = attach(Redaction::default());
    emit();
    assert_delivered(&pipeline.shutdown(LONG));
    let records = memory.records();
    assert!(fields(&records, "iban").iter().all(|value| **value != hidden), "{records:?}");
    assert_eq!(fields(&records, "page_token"), [&hidden; 3]);

    let (pipeline, memory) = attach(of_shop());
    context::set_baggage_fields(["client.secret", "tier"]);
    let mut baggage = Baggage::default();
    assert!(baggage.insert("client.secret", "canary") && baggage.insert("tier", "gold"));
    let baggage = context::with_baggage(baggage);
    emit();
    early.add(1);
    // Another pipeline's list does not come between.
    assert!(builder(&memory).redaction(Redaction::default()).attach().is_err());
    assert!(is_secret("customer.iban") && !is_secret("page_token"));
    emit();
    pipeline.flush(LONG).unwrap();
    let records = memory.records();
    assert_eq!(records.len(), 8);
    assert!(!format!("{records:?}").contains("canary"), "{records:?}");
    assert_eq!(fields(&records, "iban"), [&hidden; 8]);
    assert_eq!(fields(&records, "page_token"), [&next; 6]);
    assert_eq!(fields(&records, "client.secret"), [&hidden; 8]);
    assert_eq!(fields(&records, "tier").len(), 8);
    drop((baggage, scope));

    let snapshots = memory.snapshots();
    assert!(!format!("{snapshots:?}").contains("canary"), "{snapshots:?}");
    let metrics = &snapshots[0].metrics;
    let early = metrics.iter().find(|metric| &*metric.name == "early").unwrap();
    let Data::Counter { points } = &early.data else { panic!("{early:?}") };
    let sum: f64 = points.iter().map(|point| point.value.as_f64()).sum();
    assert_eq!((points.len(), sum), (2, 3.0), "both go on counting");
    assert_delivered(&pipeline.shutdown(LONG));
}

#[test]
fn names_of_the_attached_pipeline_hold_for_what_was_there_before() {
    assert_done("redaction_names");
}

/// A text of the program: it is made here, and stands nowhere else.
fn canary(seed: u32) -> String {
    (0..64_u32).map(|n| char::from(b'a' + ((n * 7 + seed * 11) % 26) as u8)).collect()
}

/// How often a text stands in the writable memory of the process, apart from where it is.
fn copies_of(text: &str) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut copies = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let parse = |address| usize::from_str_radix(address, 16).unwrap();
        let (mut at, end) = (parse(start), parse(end));
        while at < end {
            let length = buffer.len().min(end - at);
            // What was read before stands in the buffer itself: it is not looked at.
            let is_own = at < buffer.as_ptr_range().end as usize
                && buffer.as_ptr_range().start as usize <= at + length;
            let read = match is_own {
                true => 0,
                false => memory.read_at(&mut buffer[..length], at as u64).unwrap_or(0),
            };
            let found = buffer[..read].windows(text.len()).enumerate();
            let places = found.filter(|(_, window)| *window == text.as_bytes());
            copies += places.filter(|(n, _)| at + n != text.as_ptr() as usize).count();
            at += length;
        }
    }
    copies
}

pub(crate) fn memory() {
    let (pipeline, _memory) = attach(of_shop());
    let (secret, plain) = (canary(1), canary(2));
    let wrapped = Secret::new(secret.as_str());
    for _ in 0..100 {
        let span = tracing::info_span!("s", password = secret, token = %secret, key = %wrapped);
        span.record("password", secret.as_str());
        let _entered = span.enter();
        tracing::info!(authorization = ?secret, iban = %secret, "tracing");
        event!(Info, "event", {}, { cookie = secret, api_key = ?secret, of = wrapped });
        log::info!(private_key:% = secret, wrapped:%; "log");
        let _scope = context::scope([("key", wrapped)]);
        tracing::info!("in scope");
    }
    assert_eq!(copies_of(&secret), 0, "before the worker has read everything, and");
    pipeline.flush(LONG).unwrap();
    assert_eq!(copies_of(&secret), 0, "after it");
    assert_eq!(copies_of(&plain), 0);
    tracing::info!(plain, "the search finds what is there");
    assert!(copies_of(&plain) > 0);
    drop(pipeline);
}

#[test]
fn secret_values_are_nowhere_in_the_memory_of_the_process() {
    assert_done("redaction_memory");
}
