//! Metrics of a capture.

use std::panic::{AssertUnwindSafe, catch_unwind};
use telemetry_core::context::{self, Carried, InContext};
use telemetry_core::{assert_metric, counter, metric, testing};

fn measure(by: u64) {
    metrics::counter!("jobs", "queue" => "mail").increment(by);
    counter!("jobs", "queue" => "sms").add(by);
    let queue = "fax".to_owned();
    metrics::counter!("jobs", "queue" => queue).increment(by);
    metrics::gauge!("load").set(0.5);
    metrics::histogram!("job.duration").record(0.25);
}

#[test]
fn threads_and_tasks_measure_into_their_capture_and_nobody_else_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let captured = testing::capture();
    measure(1);
    context::spawn_thread("worker", || measure(10)).unwrap().join().unwrap();
    let task = async {
        measure(50);
        tokio::task::yield_now().await;
        measure(50);
    };
    runtime.block_on(runtime.spawn(task.in_context(Carried::capture()))).unwrap();
    std::thread::spawn(|| measure(1000)).join().unwrap();
    {
        let inner = testing::capture();
        measure(2);
        assert_metric!(inner, "jobs"{queue = "mail"} == 2);
        assert_metric!(inner, "jobs" == 6);
    }
    for queue in ["mail", "sms", "fax"] {
        assert_metric!(captured, "jobs"{queue = queue} == 111);
    }
    assert_metric!(captured, "jobs" == 333);
    assert_metric!(captured, "load" < 0.6);
    assert_metric!(captured, "job.duration" == 4);
    assert_eq!(captured.metrics().metrics.len(), 3);
    assert!(captured.metric("errors", &[]).is_none());
}

#[test]
fn what_is_measured_in_no_capture_is_the_process_s() {
    let name = "of.the.process";
    let before = Carried::capture();
    let captured = testing::capture();
    before.run(|| counter!("of.the.process").add(1));
    before.run(|| metrics::counter!("of.the.process").increment(2));
    metric::global().counter(name, ()).add(4);
    assert!(captured.metric(name, &[]).is_none());
    assert_eq!(metric::global().counter(name, ()).value(), 7);
}

#[test]
fn failing_assertion_lists_what_was_measured() {
    let captured = testing::capture();
    measure(1);
    let failure = |assertion: &dyn Fn()| {
        let failure = catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
        failure.downcast_ref::<String>().unwrap().clone()
    };
    let text = failure(&|| assert_metric!(captured, "jobs"{queue = "mail"} == 3));
    for part in [
        "a captured metric is 1\n  expected: jobs{queue = \"mail\"} == 3",
        "captured (3 metrics):\n    job.duration = 1\n    jobs{queue = \"fax\"} = 1",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = failure(&|| assert_metric!(captured, "job" == 0));
    assert!(text.contains("a captured metric is not there"), "{text}");
}

#[test]
fn recorder_of_a_caller_is_back_after_the_capture() {
    let theirs = metric::Registry::new();
    let recorder = telemetry_core::bridge::metrics::Recorder::new(theirs.clone());
    metrics::with_local_recorder(&recorder, || {
        let outer = testing::capture();
        let inner = testing::capture();
        drop(outer);
        measure(1);
        assert_metric!(inner, "jobs" == 3);
        drop(inner);
        measure(5);
    });
    assert_eq!(theirs.counter("jobs", [("queue", "mail")]).value(), 5);
}
