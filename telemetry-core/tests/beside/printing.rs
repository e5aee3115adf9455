//! What `libtest` shows of a test's records.

use super::{is_scenario, run};
use std::sync::mpsc;
use telemetry_core::{context, testing};
use tracing::{debug, info, trace, warn};

/// Emits on the test's thread and on another one; fails if it is told to.
fn emit() {
    info!(n = 1, "first");
    let (sender, receiver) = mpsc::channel::<()>();
    let thread = context::spawn_thread("helper", move || {
        receiver.recv().unwrap();
        warn!("from a thread");
    });
    std::thread::spawn(|| info!("from a stranger")).join().unwrap();
    debug!("second");
    trace!("third");
    sender.send(()).unwrap();
    thread.unwrap().join().unwrap();
    assert!(std::env::var_os("TELEMETRY_TEST_FAILS").is_none(), "it fails");
}

#[test]
fn with_init() {
    if is_scenario("printing::with_init") {
        testing::init_for_tests();
        testing::init_for_tests();
        emit();
    }
}

#[test]
fn with_capture() {
    if is_scenario("printing::with_capture") {
        let _captured = testing::capture();
        emit();
    }
}

#[test]
fn with_both() {
    if is_scenario("printing::with_both") {
        testing::init_for_tests();
        drop(testing::capture());
        let _captured = testing::capture();
        emit();
    }
}

/// More spans than a tape holds, and then an event.
#[test]
fn with_many_spans() {
    if is_scenario("printing::with_many_spans") {
        testing::init_for_tests();
        for n in 0..200_000 {
            drop(tracing::info_span!("many", n));
        }
        emit();
    }
}

const FAILS: (&str, &str) = ("TELEMETRY_TEST_FAILS", "1");

fn shown(scenario: &str, settings: &[(&str, &str)]) -> String {
    let output = run(scenario, settings);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn records_are_shown_with_the_test_that_fails_those_of_its_threads_too() {
    for scenario in ["printing::with_init", "printing::with_capture", "printing::with_both"] {
        let text = shown(scenario, &[FAILS]);
        let [before, output] = text.split(" stdout ----").collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert!(!before.contains("first"), "{text}");
        let lines: Vec<_> = output.lines().filter(|line| line.contains("beside::")).collect();
        assert!(lines[0].contains(" INFO beside::printing: first n=1"), "{text}");
        assert!(lines[1].contains(" WARN beside::printing: from a thread"), "{text}");
        assert_eq!(lines.len(), 2, "{text}");
        assert!(output.find("from a thread") < output.find("it fails"), "{text}");
    }
}

#[test]
fn thread_that_prints_keeps_nothing_that_is_printed() {
    let text = shown("printing::with_many_spans", &[FAILS]);
    assert!(text.contains("first n=1") && text.contains("from a thread"), "{text}");
    assert!(!text.contains("are missing here"), "{text}");
}

#[test]
fn records_of_a_test_that_passes_are_not_shown() {
    for scenario in ["printing::with_init", "printing::with_capture"] {
        let text = shown(scenario, &[]);
        assert!(text.contains("1 passed") && !text.contains("first"), "{text}");
    }
}

#[test]
fn rust_log_says_what_is_printed_and_not_what_is_captured() {
    let text = shown("printing::with_capture", &[FAILS, ("RUST_LOG", "warn,[{n=1}]=trace")]);
    assert!(text.contains("first") && text.contains("from a thread"), "{text}");
    assert!(!text.contains("second"), "{text}");
    let text = shown("printing::with_init", &[FAILS, ("RUST_LOG", "beside=trace")]);
    assert!(text.contains("second") && text.contains("third"), "{text}");
    let text = shown("printing::filtered", &[("RUST_LOG", "off")]);
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn filtered() {
    if is_scenario("printing::filtered") {
        let captured = testing::capture();
        trace!("captured all the same");
        telemetry_core::assert_event!(captured, level: Trace);
    }
}

#[test]
fn rust_log_that_cannot_be_read_is_said_and_info_is_printed() {
    let output = run("printing::with_init", &[FAILS, ("RUST_LOG", "beside=loud")]);
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(stdout.contains("first") && !stdout.contains("second"), "{stdout}");
    assert!(stderr.contains("`loud` is not a level"), "{stderr}");
}
