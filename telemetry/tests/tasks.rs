//! Tasks are counted: those with a context, those without, and those that were started elsewhere.
//!
//! One test, because the process has one registry.

use std::time::{Duration, Instant};
use telemetry_toolkit::metric::{self, Data, Labels, Number};
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{SinkBuilder, context, task};
use tokio::sync::watch;

fn value(name: &str, kind: &'static str, context: &'static str) -> Option<i64> {
    let labels = Labels::from([("task.kind", kind), ("task.context", context)]);
    let snapshot = metric::global().snapshot(0);
    let metric = snapshot.metrics.iter().find(|metric| &*metric.name == name)?;
    assert_eq!(&*metric.unit, "{task}");
    let (Data::Counter { points } | Data::UpDownCounter { points }) = &metric.data else {
        panic!("{metric:?}")
    };
    let point = points.iter().find(|point| point.labels == labels)?;
    Some(match point.value {
        Number::U64(value) => value as i64,
        Number::I64(value) => value,
        other => panic!("{other:?}"),
    })
}

fn started(kind: &'static str, context: &'static str) -> i64 {
    value("telemetry.task.started", kind, context).unwrap_or(0)
}

fn live(kind: &'static str, context: &'static str) -> i64 {
    value("telemetry.task.live", kind, context).unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "a test's deadline")]
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never came true");
        std::thread::yield_now();
    }
}

#[test]
fn tasks_are_counted_by_their_context() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let _inside = runtime.enter();
    // Without an exporter that wants them, spans are no context.
    let exporter = SinkBuilder::new(MemoryExporter::new("memory"));
    let builder = telemetry_toolkit::builder().no_console().exit_hook(false).exporter(exporter);
    let telemetry = builder.poll_period(Duration::from_millis(10)).init().unwrap();
    let (open, door) = watch::channel(false);
    let wait = |mut door: watch::Receiver<bool>| async move {
        door.wait_for(|open| *open).await.unwrap();
    };

    let mut tasks = vec![task::spawn(wait(door.clone())), task::spawn(wait(door.clone()))];
    tracing::info_span!("around").in_scope(|| tasks.push(task::spawn(wait(door.clone()))));
    {
        let _scope = context::scope([("tenant", "acme")]);
        tasks.push(task::spawn_named("refresh", wait(door.clone())));
    }
    tasks.extend((0..3).map(|_| tokio::spawn(wait(door.clone()))));
    runtime.block_on(task::spawn_blocking(|| ())).unwrap();
    context::spawn_thread("worker", || ()).unwrap().join().unwrap();

    assert_eq!((started("async", "none"), started("async", "some")), (2, 2));
    assert_eq!((started("blocking", "none"), started("thread", "none")), (1, 1));
    assert_eq!((live("async", "none"), live("async", "some")), (2, 2));
    wait_until(|| live("async", "unknown") == 3);

    // One is cancelled, the others end.
    tasks[0].abort();
    wait_until(|| live("async", "none") == 1);
    open.send(true).unwrap();
    wait_until(|| ["none", "some", "unknown"].iter().all(|context| live("async", context) == 0));
    wait_until(|| live("blocking", "none") == 0 && live("thread", "none") == 0);
    assert_eq!((started("async", "none"), started("async", "some")), (2, 2));
    drop(telemetry);
}
