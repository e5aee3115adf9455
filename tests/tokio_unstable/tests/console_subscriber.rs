//! console-subscriber: it needs a build with `--cfg tokio_unstable`, which `.ci/run` makes.

#![cfg(tokio_unstable)]
#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests")]

use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{SinkBuilder, Telemetry};

#[test]
fn tokio_s_own_spans_go_to_its_console_and_ours_to_us() {
    let memory = MemoryExporter::new("memory");
    // The server is not run: what it would send is collected all the same.
    let (layer, _server) = console_subscriber::ConsoleLayer::builder().build();
    let sink = SinkBuilder::new(memory.clone());
    let telemetry =
        Telemetry::builder().no_console().poller(false).exporter(sink).layer(layer).init().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    tracing::info!(n, "in a task");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);
    let report = telemetry.shutdown();
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    let count = memory.events().iter().filter(|event| event.message() == Some("in a task")).count();
    assert_eq!(count, 20);
    assert!(memory.spans().is_empty(), "tokio's spans are of level trace");
}
