//! Tests as users write them: many in a process that also starts telemetry.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]
#![expect(clippy::disallowed_macros, reason = "tests emit as users do")]

use std::process::Command;
use std::time::Duration;
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{SinkBuilder, context, task};
use telemetry_toolkit::{assert_event, assert_metric, assert_span_tree, builder, testing};
use tracing::Instrument;

#[tracing::instrument]
async fn handle(user: u64) {
    task::spawn(async { tracing::debug!("in a task") }.in_current_span()).await.unwrap();
    let query = || {
        let _span = tracing::info_span!("query").entered();
        tracing::warn!(rows = 0, "nothing found");
        metrics::counter!("queries", "result" => "empty").increment(1);
    };
    task::spawn_blocking(query).await.unwrap();
    task::spawn_named("mail", async { tracing::info!("sent") }).await.unwrap();
}

async fn assert_handles() {
    let captured = testing::capture();
    handle(7).await;
    assert_event!(captured, count: 1, level: Warn, span: "handle", span: "query", rows = 0);
    assert_event!(captured, message: "sent", span: "handle", task.name = "mail");
    assert_event!(captured, message: "in a task", span: "handle");
    assert_span_tree!(captured, "handle > query");
    assert_metric!(captured, "queries"{result = "empty"} == 1);
}

#[tokio::test]
async fn code_of_a_current_thread_runtime_is_captured() {
    assert_handles().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_of_a_multi_thread_runtime_is_captured() {
    assert_handles().await;
    let tests = (0..50).map(|_| tokio::spawn(async { tracing::error!("nobody's") }));
    let captured = testing::capture();
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
    assert!(captured.records().is_empty(), "{:?}", captured.records());
}

#[test]
fn running_telemetry_gets_what_no_capture_takes() {
    testing::init_for_tests();
    let memory = MemoryExporter::new("memory");
    let telemetry = builder()
        .no_console()
        .poller(false)
        .exporter(SinkBuilder::new(memory.clone()))
        .init()
        .unwrap();
    testing::init_for_tests();
    let captured = testing::capture();
    metrics::counter!("mine").increment(1);
    context::spawn_thread("captured", || tracing::info!("mine")).unwrap().join().unwrap();
    std::thread::Builder::new()
        .spawn(|| {
            metrics::counter!("theirs").increment(1);
            tracing::info!("theirs");
        })
        .unwrap()
        .join()
        .unwrap();
    assert_event!(captured, count: 1, message: "mine");
    assert_metric!(captured, "mine" == 1);
    assert!(captured.metric("theirs", &[]).is_none());
    telemetry.flush(Duration::from_secs(20)).unwrap();
    let events = memory.events();
    assert!(events.iter().any(|event| event.message() == Some("theirs")), "{events:?}");
    assert!(events.iter().all(|event| event.message() != Some("mine")), "{events:?}");
    let has = |name: &str| {
        let snapshots = memory.snapshots();
        snapshots.iter().any(|read| read.metrics.iter().any(|metric| &*metric.name == name))
    };
    assert!(has("theirs") && !has("mine"));
    assert!(telemetry.shutdown().is_complete());
    assert_event!(captured, count: 1);
}

const FAILS: &str = "TELEMETRY_TEST_FAILS";

#[test]
fn fails_if_told_to() {
    testing::init_for_tests();
    let _span = tracing::info_span!("request", id = 7).entered();
    tracing::info!(path = "/a b", "shown");
    assert!(std::env::var_os(FAILS).is_none());
}

#[test]
fn failing_test_shows_its_records_in_the_console_s_style() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fails_if_told_to"])
        .env(FAILS, "1")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("shown")).expect(&text);
    let after_time = line.split_once("Z ").expect(line).1;
    assert_eq!(after_time, r#" INFO request{id=7}: testing: shown path="/a b""#);
}
