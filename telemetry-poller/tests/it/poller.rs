//! Thread, ticks, requests and shutdown.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use telemetry_core::metric::Registry;
use telemetry_poller::{PERIOD_MAX, PollReport, Poller, PollerHandle};

/// Far longer than any of these waits takes.
const LONG: Duration = Duration::from_secs(20);

fn hourly() -> telemetry_poller::Builder {
    Poller::builder().period(Duration::from_secs(3600)).registry(Registry::new()).process(false)
}

#[test]
fn settings_out_of_range_are_refused_with_value_and_limit() {
    let text = |builder: telemetry_poller::Builder| {
        let error = builder.start().expect_err("refused");
        assert!(error.is_setting());
        error.to_string()
    };
    let short = hourly().period(Duration::from_millis(9));
    assert_eq!(text(short), "`poller.period` is 9ms, but must be at least 10ms");
    let long = hourly().period(PERIOD_MAX + Duration::from_secs(1));
    assert_eq!(text(long), "`poller.period` is 86401s, but must be at most 86400s");
    let twice = hourly().measure("a", |_| Ok(())).measure("a", |_| Ok(()));
    let expected = "`poller.measure` has two measurements named `a`, but each needs its own";
    assert_eq!(text(twice), expected);
    assert!(text(hourly().measure("", |_| Ok(()))).contains("empty name"));
}

#[test]
fn ticks_follow_each_other_on_a_thread_of_its_own() {
    let (sender, reports) = sync_channel::<(PollReport, Option<String>)>(64);
    let poller = hourly()
        .period(Duration::from_millis(10))
        .on_poll(move |report| {
            let thread = std::thread::current().name().map(str::to_owned);
            let _ = sender.try_send((report.clone(), thread));
        })
        .start()
        .expect("starts");
    for sequence in 1..=5 {
        let (report, thread) = reports.recv_timeout(LONG).expect("ticks");
        assert_eq!((report.sequence, thread.as_deref()), (sequence, Some("telemetry-poller")));
    }
    poller.shutdown().expect("stops");
    while reports.try_recv().is_ok() {}
    assert!(reports.recv().is_err(), "the callback is gone with the thread");
}

#[test]
fn asked_poll_runs_now_and_its_values_are_there() {
    let registry = Registry::new();
    let mut runs = 0;
    let poller = hourly()
        .registry(registry.clone())
        .measure("runs", move |measure| {
            runs += 1;
            measure.counter("runs", (), runs);
            Ok(())
        })
        .measure("fails", |_| Err("always".into()))
        .start()
        .expect("starts");
    let first = poller.poll_now().expect("answers");
    let second = poller.poll_now().expect("answers");
    assert!(second.sequence > first.sequence);
    assert_eq!((second.measured, second.observations, second.failures.len()), (2, 1, 1));
    assert_eq!(registry.counter("runs", ()).value(), second.sequence);
    let infos = poller.list_measurements();
    assert_eq!((&*infos[0].name, infos[0].series), ("runs", 1));
    assert_eq!(infos[1].last_error.as_deref(), Some("always"));
    assert_eq!(infos[1].failures, infos[0].runs);
}

#[test]
fn dropping_the_handle_ends_the_thread() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let poller = hourly().on_poll(move |_| drop(Arc::clone(&held))).start().expect("starts");
    drop(poller);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn call_from_its_own_thread_is_refused_instead_of_stuck() {
    let (sender, answers) = sync_channel(1);
    let slot = Arc::new(Mutex::new(None::<PollerHandle>));
    let inside = Arc::clone(&slot);
    let poller = hourly()
        .on_poll(move |report| {
            if let Some(poller) = inside.lock().expect("unpoisoned").take() {
                let asked = poller.poll_now().map(drop);
                let _ = sender.try_send((report.sequence, asked, poller.shutdown()));
            }
        })
        .period(Duration::from_millis(10))
        .start()
        .expect("starts");
    *slot.lock().expect("unpoisoned") = Some(poller);
    let (_, asked, stopped) = answers.recv_timeout(LONG).expect("not stuck");
    assert!(asked.expect_err("refused").is_own_thread());
    assert!(stopped.expect_err("cannot wait").is_own_thread());
    assert!(answers.recv_timeout(LONG).is_err(), "it ended");
}

#[test]
fn shutdown_does_not_wait_for_ever() {
    let (release, held): (_, Receiver<()>) = sync_channel(0);
    let (entered, running) = sync_channel(1);
    let poller = hourly()
        .measure("stuck", move |_| {
            let _ = entered.try_send(());
            let _ = held.recv();
            Ok(())
        })
        .start()
        .expect("starts");
    running.recv_timeout(LONG).expect("runs");
    assert!(poller.shutdown().expect_err("is stuck").is_timeout());
    drop(release);
}

#[test]
fn panicking_measurement_leaves_the_poller_alive() {
    let poller = hourly().measure("panics", |_| panic!("boom")).start().expect("starts");
    for _ in 0..3 {
        let report = poller.poll_now().expect("alive");
        assert_eq!(report.failures[0].to_string(), "measurement `panics` panicked: boom");
    }
}
