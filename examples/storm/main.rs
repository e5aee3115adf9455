//! A storm from one call site, and what it does to the others: `cargo run --release --example storm`.
//!
//! Two threads emit as fast as they can at one place, for two seconds; a third one emits what a
//! service emits, elsewhere. The program compares what its exporter got, what the ledger counts and
//! what the summaries tell, and ends with an error where they differ.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a program with a clock")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use telemetry_toolkit::ledger::{Cause, Signal};
use telemetry_toolkit::prelude::*;
use telemetry_toolkit::testing::{CapturedRecord, MemoryExporter, OwnedValue};
use tracing::info;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const STORM: Duration = Duration::from_secs(2);
const OTHERS: u64 = 1_000;

fn main() -> ExitCode {
    match run() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String> {
    let memory = MemoryExporter::new("memory");
    let telemetry = Telemetry::builder()
        .no_console()
        .exporter(SinkBuilder::new(memory.clone()))
        .poller(false)
        .init()?;
    let emitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| emitted.fetch_add(storm(), Ordering::Relaxed));
        scope.spawn(|| emitted.fetch_add(storm(), Ordering::Relaxed));
        scope.spawn(others);
    });
    let report = telemetry.shutdown();
    let counts = report.exporter("memory").ok_or("the exporter is gone")?.counts(Signal::Log);
    let suppressed = counts.dropped_for(Cause::RateLimited);

    let events = memory.events();
    let of_storm = events.iter().filter(|event| event.target == "storm").count() as u64;
    let of_others = events.iter().filter(|event| event.target == "others").count() as u64;
    let told: Vec<u64> = events.iter().filter_map(told).collect();
    let emitted = emitted.into_inner();
    let text = format!(
        "{emitted} events of the storm ({:.1} million a second): {of_storm} delivered, \
         {suppressed} suppressed, {} told of in {} summaries\n\
         {OTHERS} other events: {of_others} delivered\n{report}",
        emitted as f64 / STORM.as_secs_f64() / 1e6,
        told.iter().sum::<u64>(),
        told.len(),
    );
    let is_exact = of_storm + suppressed == emitted && told.iter().sum::<u64>() == suppressed;
    let is_unharmed = of_others == OTHERS && counts.dropped_total() == suppressed;
    if is_exact && is_unharmed && report.is_balanced() { Ok(text) } else { Err(text.into()) }
}

/// One call site, as fast as it goes; returns how many events it emitted.
fn storm() -> u64 {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < STORM {
        for _ in 0..100 {
            info!(target: "storm", count, "again and again");
            count += 1;
        }
    }
    count
}

/// Another call site, at a pace that is nobody's trouble.
fn others() {
    for n in 0..OTHERS {
        info!(target: "others", n, "as usual");
        if n % 10 == 9 {
            std::thread::sleep(STORM / 200);
        }
    }
}

/// How many events a summary tells of.
fn told(event: &CapturedRecord) -> Option<u64> {
    event.fields.iter().find_map(|(key, value)| match value {
        OwnedValue::U64(count) if key == "suppressed" => Some(*count),
        _ => None,
    })
}
