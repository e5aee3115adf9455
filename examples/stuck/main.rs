//! A service in which three things are wrong, to be found from outside while it runs:
//! `cargo run --example stuck`, and in another terminal `telemetry inspect PID`
//!
//! - An order waits for an answer that never comes (`charge`).
//! - A lock is held for too long (`rebuild_index`), and others wait for it (`read_stock`).
//! - A queue is filled faster than it is emptied (`outbox`).
//!
//! Options: `--seconds N`: how long it runs, 60 by default; `--wedge`: every thread of the runtime
//! stands still as well, so that no task makes any progress.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a program with a clock")]

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use telemetry_toolkit::{Telemetry, context, task, watch};
use tokio::sync::oneshot;
use tracing::{info, info_span, instrument};

const OUTBOX_MAX: usize = 1000;
const WORKERS: usize = 2;

static STOCK: Mutex<u64> = Mutex::new(0);
static OUTBOX: Mutex<VecDeque<u64>> = Mutex::new(VecDeque::new());

/// Waits for a payment provider that never answers.
#[instrument(skip(answer))]
async fn charge(order: u64, answer: oneshot::Receiver<()>) {
    info!("asking the payment provider");
    let _ = answer.await;
}

#[instrument]
async fn checkout(order: u64) {
    let (provider, answer) = oneshot::channel();
    charge(order, answer).await;
    drop(provider);
}

/// Holds the lock for all the time.
#[instrument]
fn rebuild_index(shard: u32, time: Duration) {
    let _stock = STOCK.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::sleep(time);
}

#[instrument]
fn read_stock(reader: u32) {
    let stock = STOCK.lock().unwrap_or_else(PoisonError::into_inner);
    info!(stock = *stock, "read");
}

/// Sends mails, more of them than are delivered.
fn fill_outbox(end: Instant) {
    let mut mail = 0;
    while Instant::now() < end {
        let mut outbox = OUTBOX.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.len() < OUTBOX_MAX {
            outbox.push_back(mail);
        }
        if mail % 3 == 0 {
            outbox.pop_front();
        }
        drop(outbox);
        mail += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn outbox_length() -> usize {
    OUTBOX.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// What an async function must not do: it keeps the thread from all other tasks.
#[instrument]
async fn resize(image: u64, time: Duration) {
    std::thread::sleep(time);
}

fn run(time: Duration, wedge: bool) -> Result<(), Box<dyn std::error::Error>> {
    let _watch = watch("outbox", OUTBOX_MAX, outbox_length);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).build()?;
    let _inside = runtime.enter();
    drop(task::spawn_named("checkout", checkout(42)));
    context::spawn_thread("reindex", move || rebuild_index(3, time))?;
    // The others are to find it locked.
    while STOCK.try_lock().is_ok() {
        std::thread::yield_now();
    }
    for reader in 0..2 {
        context::spawn_thread(&format!("reader-{reader}"), move || read_stock(reader))?;
    }
    if wedge {
        for image in 0..WORKERS as u64 {
            drop(task::spawn_named("resize", resize(image, time)));
        }
    }
    println!("telemetry inspect {}", std::process::id());
    info_span!("mails").in_scope(|| fill_outbox(Instant::now() + time));
    runtime.shutdown_background();
    Ok(())
}

/// `--seconds N` and `--wedge`.
fn arguments() -> Option<(Duration, bool)> {
    let (mut time, mut wedge) = (Duration::from_secs(60), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => time = Duration::from_secs(arguments.next()?.parse().ok()?),
            "--wedge" => wedge = true,
            _ => return None,
        }
    }
    Some((time, wedge))
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Some((time, wedge)) = arguments() else {
        println!("usage: stuck [--seconds N] [--wedge]");
        return Ok(ExitCode::from(2));
    };
    let telemetry = Telemetry::builder()
        .service("stuck", env!("CARGO_PKG_VERSION"))
        .poll_period(Duration::from_secs(1))
        .inspect_socket("auto") // what `TELEMETRY_INSPECT` may replace
        .from_env()
        .init()?;
    run(time, wedge)?;
    println!("{}", telemetry.shutdown());
    Ok(ExitCode::SUCCESS)
}
