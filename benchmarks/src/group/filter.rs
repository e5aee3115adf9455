//! What a filter costs: enter and exit, unwanted and wanted events, with few and many directives.
//!
//! Beside us stand `LevelFilter`, the floor, and `EnvFilter`, both as a layer on a `Registry` that
//! does nothing with what passes: wanted events are therefore comparable by difference only. In the
//! case `reloaded` both stand in a `reload::Layer`, and all filters have been exchanged 1,000 times.

use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use telemetry_toolkit::batch::Batch;
use telemetry_toolkit::export::{Ack, Exporter, Outcome};
use telemetry_toolkit::pipeline::{Pipeline, SinkBuilder};
use tracing::level_filters::LevelFilter;
use tracing::{debug, info, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::harness::{Report, Row, Values, largest, median, samples, smallest};
use crate::workload::{PEER, USER, hot_loop};
use crate::{Options, Result};

const SUBJECTS: [&str; 3] = ["telemetry", "level-filter", "env-filter"];
const OPS: [&str; 3] = ["enter_exit", "disabled", "enabled"];
const THREADS: [usize; 2] = [1, 2];
/// Few enough for every queue.
const OPS_A_BATCH: u64 = 2_000;
/// Of what makes no record: enough for two threads to be in each other's way.
const QUIET_OPS_A_BATCH: u64 = 400_000;
const BATCHES: usize = 15;
const RELOADS: usize = 1_000;
/// The case in which filters have been exchanged.
const RELOADED: &str = "reloaded";

/// A name, and the filter: none of them wants `debug` here.
fn filters() -> [(&'static str, String); 5] {
    let many = |count: usize| {
        let others = (1..count).map(|n| format!(",crate_{n}::module=debug"));
        format!("info{}", others.collect::<String>())
    };
    let field = "info,[request{user=eve}]=debug".to_owned();
    [("1", many(1)), ("20", many(20)), ("200", many(200)), ("field", field), (RELOADED, many(20))]
}

/// Measures the group.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    for (name, filter) in filters() {
        let mut found: Vec<(&str, Vec<Values>)> = SUBJECTS.map(|name| (name, Vec::new())).into();
        // In rounds, so that drifting load hits all of them.
        for _ in 0..options.runs {
            for (subject, runs) in &mut found {
                // It has no directives: it stands beside the single one.
                if *subject != "level-filter" || ["1", RELOADED].contains(&name) {
                    runs.push(in_child(subject, name, &filter)?);
                }
            }
        }
        if let Some((_, runs)) = found.iter().find(|_| name == RELOADED) {
            report.add(effect(runs))?;
        }
        for (op, threads) in OPS.iter().flat_map(|op| THREADS.map(|threads| (op, threads))) {
            for (subject, runs) in found.iter().filter(|(_, runs)| !runs.is_empty()) {
                let ns = samples(runs, &format!("{op}_{threads}"));
                report.add(Row {
                    group: "filter",
                    case: format!("{op}_{name}"),
                    subject,
                    version: String::new(),
                    threads,
                    values: Values::default()
                        .with_some("ns_min", smallest(&ns))
                        .with_some("ns_median", median(&ns)),
                })?;
            }
        }
    }
    Ok(())
}

/// How long our filters take until they hold everywhere, 200 of them a second.
fn effect(runs: &[Values]) -> Row {
    Row {
        group: "filter",
        case: "reload".to_owned(),
        subject: SUBJECTS[0],
        version: String::new(),
        threads: 1,
        values: Values::default()
            .with_some("effect_ms_median", median(&samples(runs, "effect_median")))
            .with_some("effect_ms_p99", median(&samples(runs, "effect_p99")))
            .with_some("effect_ms_max", largest(&samples(runs, "effect_max"))),
    }
}

fn in_child(subject: &str, case: &str, filter: &str) -> Result<Values> {
    let output = Command::new(std::env::current_exe()?)
        .args(["__filter", subject, case, filter])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(Values::from_words(&String::from_utf8(output.stdout)?))
}

struct Null;

impl Exporter for Null {
    fn name(&self) -> &str {
        "null"
    }

    fn export(&mut self, _: Batch, ack: Ack) {
        ack.finish(Outcome::Delivered);
    }
}

/// Runs as a child: installs the subject, measures everything, answers in one line.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    let [subject, case, filter] = words else { return Err("subject, case and filter".into()) };
    let mut pipeline = None;
    let mut values = Values::default();
    let is_reloaded = case == RELOADED;
    match subject.as_str() {
        "telemetry" => {
            let builder = Pipeline::builder().filter(filter.parse()?);
            let attached = builder.sink(SinkBuilder::new(Null)).attach()?;
            if is_reloaded {
                values = exchange(&attached, filter)?;
            }
            pipeline = Some(attached);
        }
        "level-filter" => install(is_reloaded, || Ok(LevelFilter::INFO))?,
        _ => install(is_reloaded, || Ok(EnvFilter::try_new(filter)?))?,
    }
    for (op, threads) in OPS.iter().flat_map(|op| THREADS.map(|threads| (op, threads))) {
        let batches: Vec<f64> = (0..BATCHES)
            .filter_map(|_| {
                let ns = batch(op, threads);
                if let Some(pipeline) = &pipeline {
                    let _ = pipeline.flush(Duration::from_secs(5));
                }
                ns
            })
            .collect();
        values = values.with_some(&format!("{op}_{threads}"), median(&batches));
    }
    println!("{}", values.to_words());
    Ok(())
}

/// Exchanges our filter as often as it may be; tells how long it took until the new one held.
fn exchange(pipeline: &Pipeline, filter: &str) -> Result<Values> {
    let mut took = Vec::new();
    for n in 0..RELOADS {
        emit("enabled", &info_span!("request", request_id = 7_u64, user = USER), 1);
        let begin = Instant::now();
        pipeline.filters().set(if n % 2 == 0 { "warn" } else { filter })?;
        took.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(Values::default()
        .with("effect_median", took[RELOADS / 2])
        .with("effect_p99", took[RELOADS * 99 / 100])
        .with_some("effect_max", largest(&took)))
}

/// Installs a filter of tracing-subscriber's.
fn install<F>(is_reloaded: bool, filter: impl Fn() -> Result<F>) -> Result<()>
where
    F: Layer<Registry> + Send + Sync,
{
    if !is_reloaded {
        return Ok(tracing_subscriber::registry().with(filter()?).try_init()?);
    }
    let (layer, handle) = reload::Layer::new(filter()?);
    tracing_subscriber::registry().with(layer).try_init()?;
    for _ in 0..RELOADS {
        emit("enabled", &info_span!("request", request_id = 7_u64, user = USER), 1);
        handle.reload(filter()?)?;
    }
    Ok(())
}

/// Nanoseconds of one operation, on so many threads at once.
fn batch(op: &str, threads: usize) -> Option<f64> {
    let barrier = Barrier::new(threads);
    let ops = if op == "enabled" { OPS_A_BATCH } else { QUIET_OPS_A_BATCH };
    let one = || {
        let span = info_span!("request", request_id = 7_u64, user = USER);
        let _outer = (op != "enter_exit").then(|| span.enter());
        emit(op, &span, 64);
        barrier.wait();
        let begin = Instant::now();
        emit(op, &span, ops);
        begin.elapsed().as_nanos() as f64 / ops as f64
    };
    let took: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    median(&took)
}

fn emit(op: &str, span: &tracing::Span, ops: u64) {
    match op {
        "enter_exit" => hot_loop(ops, |_| drop(span.enter())),
        "disabled" => hot_loop(ops, |i| debug!(count = i, peer = PEER, "request handled")),
        _ => hot_loop(ops, |i| info!(count = i, peer = PEER, "request handled")),
    }
}
