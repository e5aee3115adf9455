//! Where a capture reaches: threads, tasks, futures, other subscribers, and their ends.

use crate::capture;
use std::sync::mpsc;
use telemetry_core::context::{self, Carried, InContext};
use telemetry_core::{assert_event, assert_no_event, event, testing};
use tracing::info;

fn multi_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[test]
fn threads_and_what_they_start_are_captured() {
    let captured = capture();
    let nested = || {
        info!("of the thread");
        context::spawn_thread("inner", || info!("of its thread")).unwrap().join().unwrap();
    };
    context::spawn_thread("outer", nested).unwrap().join().unwrap();
    std::thread::spawn(|| info!("of a stranger")).join().unwrap();
    let carried = Carried::capture();
    std::thread::spawn(move || carried.run(|| info!("carried"))).join().unwrap();
    let messages: Vec<_> =
        captured.events().iter().map(|event| event.message().unwrap().to_owned()).collect();
    assert_eq!(messages, ["of the thread", "of its thread", "carried"]);
}

#[test]
fn tasks_on_other_threads_are_captured_and_nothing_else_of_their_threads() {
    let runtime = multi_thread();
    let captured = capture();
    let task = |number: u64| async move {
        for _ in 0..10 {
            info!(number, "of the task");
            tokio::task::yield_now().await;
        }
    };
    let inside: Vec<_> =
        (0..20).map(|n| runtime.spawn(task(n).in_context(Carried::capture()))).collect();
    let outside: Vec<_> = (0..20).map(|_| runtime.spawn(task(u64::MAX))).collect();
    runtime.block_on(async {
        for task in inside.into_iter().chain(outside) {
            task.await.unwrap();
        }
    });
    assert_event!(captured, count: 200, message: "of the task");
    assert_no_event!(captured, number = u64::MAX);
}

#[test]
fn test_future_and_its_futures_are_captured_on_either_runtime() {
    for runtime in [tokio::runtime::Builder::new_current_thread().build().unwrap(), multi_thread()]
    {
        runtime.block_on(async {
            let captured = capture();
            info!("in the test's future");
            tokio::task::yield_now().await;
            let moved = captured.in_capture(async { info!("moved") });
            tokio::spawn(moved).await.unwrap();
            assert_event!(captured, message: "in the test's future");
            assert_event!(captured, message: "moved");
        });
    }
}

#[test]
fn context_of_outside_leads_out_of_the_capture() {
    let before = Carried::capture();
    let captured = capture();
    before.run(|| info!("of a task that was there before"));
    info!("of the test");
    assert_eq!(captured.events().len(), 1, "{:?}", captured.events());
}

#[test]
fn thread_that_outlives_its_capture_goes_on_alone() {
    let (sender, receiver) = mpsc::sync_channel::<()>(0);
    let captured = capture();
    let thread = context::spawn_thread("long", move || {
        info!("captured");
        receiver.recv().unwrap();
        info!("after the end");
        let own = capture();
        info!("of its own");
        own.events().len()
    });
    while captured.events().is_empty() {
        std::thread::yield_now();
    }
    drop(captured);
    let captured = capture();
    sender.send(()).unwrap();
    assert_eq!(thread.unwrap().join().unwrap(), 1);
    assert!(captured.records().is_empty());
}

#[test]
fn events_of_the_own_macro_and_log_records_are_captured() {
    let captured = capture();
    event!(Debug, "cache.miss", { bytes = 512_u64 }, { key = "a" });
    log::warn!(target: "library", key = 7; "from `log`");
    assert_event!(captured, level: Debug, name: "cache.miss", bytes = 512, key = "a");
    assert_event!(captured, level: Warn, target: "library", message: "from `log`", key = 7);
}

#[test]
fn values_of_scopes_are_fields() {
    let captured = capture();
    let _scope = context::scope([("tenant", "acme")]);
    info!("inside");
    assert_event!(captured, tenant = "acme");
}

#[test]
fn every_signal_has_the_values_of_a_scope_across_awaits_tasks_and_threads() {
    async fn signals() {
        for _ in 0..2 {
            info!("an event");
            event!(Info, "own.event", { n = 1_u64 });
            log::info!("a log record");
            drop(tracing::info_span!("a span"));
            telemetry_core::counter!("signals").add(1);
            tokio::task::yield_now().await;
        }
    }
    context::set_metric_labels(["shop"]);
    let runtime = multi_thread();
    let captured = capture();
    let work = async {
        signals().await;
        tokio::spawn(signals().in_context(Carried::capture())).await.unwrap();
        let carried = Carried::capture();
        let inside = tokio::runtime::Handle::current();
        let block = move || carried.run(|| inside.block_on(signals()));
        tokio::task::spawn_blocking(block).await.unwrap();
        let inside = tokio::runtime::Handle::current();
        let thread = context::spawn_thread("signals", move || inside.block_on(signals())).unwrap();
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    };
    runtime.block_on(captured.in_capture(work.in_scope_values([("shop", "7")])));
    for message in ["an event", "a log record"] {
        assert_event!(captured, count: 8, message: message, shop = "7");
    }
    assert_event!(captured, count: 8, name: "own.event", shop = "7");
    let spans = captured.spans();
    let has_shop = |span: &&testing::CapturedRecord| span.field("shop").is_some();
    assert_eq!(spans.iter().filter(has_shop).count(), 8, "{spans:?}");
    assert_eq!(captured.metric("signals", &[("shop", "7")]), Some(8.0));
}

#[test]
fn another_subscriber_of_the_thread_gets_back_what_it_had() {
    let theirs = tracing_subscriber::registry();
    tracing::subscriber::with_default(theirs, || {
        let before = info_span_id();
        let captured = capture();
        info!("captured");
        assert_event!(captured, message: "captured");
        drop(captured);
        assert!(before.is_some() && info_span_id().is_some());
    });
}

#[test]
fn secrets_are_redacted_as_for_exporters() {
    let captured = capture();
    let span = tracing::info_span!("login", password = "hunter2", url = "http://u:hunter2@host");
    span.record("password", "hunter2");
    span.in_scope(|| {
        info!(token = "hunter2", n = 1, "to http://u:hunter2@host");
        event!(Info, "login", { n = 2 }, { cookie = "hunter2" });
    });
    assert_event!(captured, message: "to http://[redacted]@host", token = "[redacted]", n = 1);
    assert_event!(captured, name: "login", cookie = "[redacted]", n = 2);
    assert!(!format!("{:?} {:?}", captured.events(), captured.spans()).contains("hunter2"));
}

/// The id of a new span, if a subscriber has it.
fn info_span_id() -> Option<tracing::Id> {
    tracing::info_span!("probe").id()
}

#[test]
fn subscriber_that_is_set_inside_a_capture_is_named_when_an_assertion_fails() {
    let captured = capture();
    let theirs = tracing::subscriber::set_default(tracing_subscriber::registry());
    info!("lost to the other one");
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_event!(captured, message: "lost to the other one");
    }));
    drop(theirs);
    let text = failure.unwrap_err().downcast_ref::<String>().unwrap().clone();
    assert!(text.contains("another library's `tracing` subscriber was set"), "{text}");
}

#[test]
fn capture_that_is_full_says_what_it_lost() {
    let captured = capture();
    let large = "x".repeat(16 * 1024 - 1);
    let fits = testing::CAPTURE_BYTES_MAX / (16 * 1024 + 128);
    for number in 0..fits + 100 {
        tracing::trace!(number, large, "large");
    }
    let events = captured.events();
    assert!(captured.lost() > 0 && events.len() + captured.lost() as usize == fits + 100);
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_event!(captured, message: "missing");
    }));
    let text = failure.unwrap_err().downcast_ref::<String>().unwrap().clone();
    assert!(
        text.contains("were not kept: a capture holds 16 MiB"),
        "{}",
        &text[text.len() - 300..]
    );
}
