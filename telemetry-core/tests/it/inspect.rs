//! What an inspection finds: open spans, threads, tasks, queues, exporters.

use crate::face;
use crate::support::*;
use std::sync::mpsc;
use telemetry_core::context::{Carried, InContext, TaskKind};
use telemetry_core::document::{Cell, Row};
use telemetry_core::inspect::Findings;
use telemetry_core::pipeline::{OnFull, ScopedPipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;
use telemetry_core::watch;

fn memory() -> ScopedPipeline {
    scoped(MemoryExporter::new("memory"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn rows<'a>(findings: &'a Findings, section: &str) -> &'a [Row] {
    findings.sections.iter().find(|other| other.key() == section).unwrap().rows()
}

fn text(row: &Row, key: &str) -> String {
    match row.get(key) {
        Some(Cell::Text(text)) => text.clone(),
        Some(Cell::Texts(texts)) => texts.join(", "),
        Some(Cell::Fields(fields)) => {
            fields.iter().map(|(key, value)| format!("{key}={value} ")).collect()
        }
        other => format!("{other:?}"),
    }
}

fn find<'a>(findings: &'a Findings, section: &str, key: &str, part: &str) -> &'a Row {
    let all = rows(findings, section);
    let found = all.iter().find(|row| text(row, key).contains(part));
    found.unwrap_or_else(|| panic!("no {part} in {all:#?}"))
}

#[test]
fn open_span_is_told_with_its_fields_place_and_thread() {
    let pipeline = memory();
    pipeline.run(|| {
        let _around = tracing::info_span!("request", id = 7).entered();
        let span = tracing::info_span!("charge", order = 42, password = "hunter2", paid = false);
        span.record("paid", true);
        let _inside = span.enter();
        pipeline.flush(LONG).unwrap();
        let findings = pipeline.inspect(LONG);
        let row = find(&findings, "oldest_spans", "span", "request > charge");
        let fields = text(row, "fields");
        assert!(fields.contains("order=42") && fields.contains("paid=true"), "{fields}");
        assert!(fields.contains("password=[redacted]") && !fields.contains("paid=false"));
        let name = std::thread::current().name().unwrap().to_owned();
        assert!(text(row, "thread").contains(&name), "{row:?}");
        assert!(text(row, "place").contains("it/inspect.rs:"), "{row:?}");
        let thread = find(&findings, "threads", "thread", &name);
        assert_eq!(text(thread, "span"), "request > charge");
        let count = find(&findings, "open_spans", "name", "charge");
        assert_eq!(count.get("count"), Some(&Cell::Count(1)));
    });
    let findings = pipeline.inspect(LONG);
    assert!(rows(&findings, "oldest_spans").is_empty(), "closed spans are not open");
}

#[test]
fn busiest_callsites_are_counted() {
    let pipeline = memory();
    pipeline.run(|| {
        emit_many(1, 30);
        tracing::info!(text = "x".repeat(10_000), "large");
    });
    pipeline.flush(LONG).unwrap();
    let findings = pipeline.inspect(LONG);
    let [busiest, ..] = rows(&findings, "busiest_by_records") else { panic!("{findings:?}") };
    assert_eq!(busiest.get("records"), Some(&Cell::Count(30)));
    assert!(text(busiest, "place").contains("support.rs:"), "{busiest:?}");
    let [largest, ..] = rows(&findings, "busiest_by_bytes") else { panic!("{findings:?}") };
    assert!(text(largest, "place").contains("inspect.rs:"), "{largest:?}");
}

#[test]
fn tasks_are_told_while_they_live() {
    let pipeline = memory();
    let place = std::panic::Location::caller();
    let (open, door) = mpsc::sync_channel::<()>(0);
    let carried = Carried::for_task(TaskKind::Async, Some("stuck mail"), place);
    let future = async move { door.recv().ok() }.in_context(carried);
    let findings = pipeline.inspect(LONG);
    let row = find(&findings, "tasks", "task", "stuck mail");
    assert_eq!((text(row, "state").as_str(), row.get("polls")), ("waits", Some(&Cell::Count(0))));
    let thread = std::thread::Builder::new().name("polls".to_owned());
    let thread = thread.spawn(move || runtime().block_on(future)).unwrap();
    wait_until(|| {
        let findings = pipeline.inspect(LONG);
        let row = find(&findings, "tasks", "task", "stuck mail");
        text(row, "state") == "runs" && text(row, "thread").starts_with("polls (")
    });
    wait_until(|| {
        let suspects = pipeline.inspect(LONG).suspects;
        suspects.iter().any(|text| {
            text.starts_with("task `stuck mail` (") && text.contains("has kept thread `polls (")
        })
    });
    drop(open);
    thread.join().unwrap();
    let findings = pipeline.inspect(LONG);
    assert!(!rows(&findings, "tasks").iter().any(|row| text(row, "task") == "stuck mail"));
}

#[cfg(target_os = "linux")]
#[test]
fn every_thread_in_a_span_has_a_row() {
    const THREADS: usize = 100;
    let pipeline = memory();
    let inside = std::sync::Barrier::new(THREADS + 1);
    let leave = std::sync::Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for n in 0..THREADS {
            let (pipeline, inside, leave) = (&pipeline, &inside, &leave);
            let work = move || {
                let _span = tracing::info_span!("crowded", n).entered();
                inside.wait();
                leave.wait();
            };
            scope.spawn(move || pipeline.run(work));
        }
        inside.wait();
        pipeline.flush(LONG).unwrap();
        let findings = pipeline.inspect(LONG);
        let threads = rows(&findings, "threads");
        let numbers = threads.iter().filter(|row| text(row, "span") == "crowded");
        let numbers: std::collections::HashSet<_> =
            numbers.map(|row| text(row, "fields")).collect();
        leave.wait();
        assert_eq!(numbers.len(), THREADS, "{threads:?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_wait_for_a_lock_are_named_with_who_may_have_it() {
    let pipeline = memory();
    let lock = std::sync::Mutex::new(());
    let (release, held) = mpsc::sync_channel::<()>(0);
    std::thread::scope(|scope| {
        let (pipeline, lock) = (&pipeline, &lock);
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (ready, is_held) = mpsc::sync_channel::<()>(0);
        let holder = move || {
            pipeline.run(|| {
                let _span = tracing::info_span!("rebuild_index", shard = 3).entered();
                let _lock = lock.lock().unwrap();
                ready.send(()).unwrap();
                let _ = held.recv();
            });
        };
        spawn("lock-holder").spawn_scoped(scope, holder).unwrap();
        is_held.recv().unwrap();
        for n in 0..2 {
            let wait = move || {
                pipeline.run(|| {
                    let _span = tracing::info_span!("read_stock", n).entered();
                    drop(lock.lock());
                });
            };
            spawn("lock-waiter").spawn_scoped(scope, wait).unwrap();
        }
        wait_until(|| {
            let suspects = pipeline.inspect(LONG).suspects;
            suspects.iter().any(|text| {
                text.starts_with("2 threads wait for one lock (0x")
                    && text.contains("`read_stock{n=0}`")
                    && text.contains("`read_stock{n=1}`")
                    && text.contains("held perhaps by `lock-holder (")
                    && text.contains("in `rebuild_index{shard=3}` for ")
            })
        });
        drop(release);
    });
}

#[test]
fn full_queue_is_named_first() {
    let pipeline = memory();
    let _full = watch::watch("full outbox", 1000, || 990);
    let _fine = watch::watch("fine outbox", 1000, || 10);
    let findings = pipeline.inspect(LONG);
    let expected = "queue `full outbox` is full: 990 of 1000, 99 %";
    assert!(findings.suspects.iter().any(|text| text == expected), "{:?}", findings.suspects);
    assert!(!findings.suspects.iter().any(|text| text.contains("fine outbox")));
    let row = find(&findings, "queues", "name", "fine outbox");
    assert_eq!(row.get("length"), Some(&Cell::Count(10)));
}

/// The worker waits for an exporter that does nothing, and answers all the same.
#[test]
fn exporter_that_stands_still_is_named_and_holds_up_no_answer() {
    let (open, door) = mpsc::sync_channel::<()>(0);
    let stands = Scripted::new("stands", move |_, ack| {
        let _ = door.recv();
        ack.finish(telemetry_core::export::Outcome::Delivered);
    });
    let sink = SinkBuilder::new(stands).queue_bytes(64 * 1024).on_full(OnFull::Wait);
    let pipeline = face::builder().sink(sink).scoped().unwrap();
    std::thread::scope(|scope| {
        let emits = scope.spawn(|| pipeline.run(|| emit_many(1, 20_000)));
        wait_until(|| {
            let findings = pipeline.inspect(LONG);
            let row = find(&findings, "exporters", "exporter", "stands");
            assert!(text(row, "filter") == "info", "{row:?}");
            let answered = rows(&findings, "open")[0].get("worker_answered");
            assert_eq!(answered, Some(&Cell::Flag(true)));
            let named = "exporter `stands` has stood still for ";
            findings.suspects.iter().any(|text| text.starts_with(named))
        });
        emits.join().unwrap();
        let findings = pipeline.inspect(LONG);
        let lost = "exporter `stands` has lost ";
        assert!(findings.suspects.iter().any(|text| text.starts_with(lost)), "{findings:?}");
        drop(open);
    });
}
