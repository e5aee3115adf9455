//! Claims about a fork's child: none of its calls waits for a thread that it does not have.

use super::{LONG, assert_delivered, assert_done, builder, count, lines, waits_for};
use std::sync::atomic::{AtomicBool, Ordering};
use telemetry_core::bridge::metrics::Recorder;
use telemetry_core::context;
use telemetry_core::metric::{self, Labels, Observation, Settings};
use telemetry_core::pipeline::Pipeline;
use telemetry_core::{counter, event, gauge, histogram, testing};

/// How often each call is made in a child of its own. A child hangs if the parent holds the lock
/// at the moment of the fork.
const ROUNDS: usize = 30;

/// Returns whether nothing was measured or told.
type Call = fn(&Pipeline) -> bool;

/// What an application calls.
const CALLS: [(&str, Call); 9] = [
    ("macros", |_| {
        counter!("child.count").add(1);
        gauge!("child.level", "of" => "a child").set(1.0);
        histogram!("child.duration").record(0.1);
        true
    }),
    ("macros with values", |_| {
        count_with_value("of a child");
        histogram!("child.labelled", "of" => String::new().as_str()).record(0.1);
        true
    }),
    ("facade", |_| {
        metrics::describe_counter!("facade.count", "Of a child.");
        metrics::counter!("facade.count").increment(1);
        metrics::gauge!("facade.level", "of" => "a child").set(1.0);
        metrics::histogram!("facade.duration").record(0.1);
        true
    }),
    ("registry", |_| {
        let registry = metric::global();
        registry.describe("child.count", "{thing}", "Of a child.");
        registry.counter("child.count", ()).add(1);
        registry.observe("child.observed", &Labels::new(), Observation::Counter(1));
        let is_refused = registry.set_buckets("child.duration", [1.0]).is_err()
            && registry.configure(Settings::new()).is_err();
        is_refused && !registry.remove("busy.count", &Labels::new())
    }),
    ("snapshot of the registry", |_| {
        let registry = metric::global();
        registry.snapshot(0).points() == 0 && registry.conflicts().is_empty()
    }),
    ("first emission", |_| {
        log::info!("child");
        tracing::info_span!("of the child").in_scope(|| tracing::info!("child"));
        event!(Info, "child.event", { n = 1_u64 }, { of = "a child" });
        true
    }),
    ("scope and task", |_| {
        let _scope = context::scope([("of", "a child")]);
        context::spawn_thread("child", || tracing::info!("child"))
            .is_ok_and(|task| task.join().is_ok())
    }),
    ("capture", |_| {
        let captured = testing::capture();
        tracing::info!("child");
        captured.records().is_empty()
    }),
    ("inspection", |pipeline| {
        let found = pipeline.inspect(LONG);
        found.sections.is_empty() && found.suspects[0].contains("fork's child")
    }),
];

fn count_with_value(value: &str) {
    counter!("busy.labelled", "value" => value).add(1);
}

/// Takes the locks as often as it can: registers metrics and series, starts threads that emit.
fn keep_busy(stop: &AtomicBool) {
    for n in (0..2_000).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let registry = metric::global();
        let name = format!("busy.{n}");
        registry.describe(&name, "{thing}", "Of the parent.");
        registry.histogram(&name, [("n", n)]).record(0.1);
        registry.snapshot(0);
        count_with_value(&name);
        metrics::counter!("busy.facade", "n" => name).increment(1);
    }
}

fn keep_starting(stop: &AtomicBool, pipeline: &Pipeline) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::spawn(|| tracing::info!("of a short thread")).join().unwrap();
        pipeline.report();
    }
}

/// Forks in a thread that has emitted nothing yet, and makes one call in the child.
fn forked(call: Call, pipeline: &Pipeline) -> bool {
    // SAFETY: the child calls only what this test is about, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_silent = call(pipeline);
        // SAFETY: ends the child without its exit hooks.
        unsafe { libc::_exit(i32::from(!is_silent)) };
    }
    waits_for(child)
}

pub(crate) fn of_a_busy_process() {
    let pipeline = builder().sink(lines()).attach().unwrap();
    Recorder::new(metric::global().clone()).install().unwrap();
    drop(testing::capture());
    counter!("busy.count").add(1);
    let stop = AtomicBool::new(false);
    let pipeline_here = &pipeline;
    let hung = std::thread::scope(|scope| {
        scope.spawn(|| keep_busy(&stop));
        scope.spawn(|| keep_starting(&stop, &pipeline));
        let calls = std::iter::repeat_n(CALLS, ROUNDS).flatten();
        let hung = calls.map(|(name, call)| {
            (name, scope.spawn(move || forked(call, pipeline_here)).join().unwrap())
        });
        let hung = hung.into_iter().find(|(_, is_fine)| !is_fine).map(|(name, _)| name);
        stop.store(true, Ordering::Relaxed);
        hung
    });
    assert_eq!(hung, None, "the child of this call hangs, or was not silent");
    assert_delivered(&pipeline.shutdown(LONG));
}

#[test]
fn no_call_of_a_forks_child_waits_for_a_thread_of_its_parent() {
    let text = assert_done("forks");
    assert_eq!(count(&text, "child"), 0);
}
