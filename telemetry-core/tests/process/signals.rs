//! Claims about signals: with real ones, sent by `kill`.

use super::{LONG, assert_done, count, waits_for, write_line};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use telemetry_core::clock;
use telemetry_core::signal::watch;

static BEFORE: AtomicUsize = AtomicUsize::new(0);

fn send(signal: i32) {
    // SAFETY: a process may signal itself.
    unsafe { libc::kill(libc::getpid(), signal) };
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = clock::now() + LONG;
    while !holds() {
        assert!(clock::now() < deadline, "{what} does not come");
        std::thread::yield_now();
    }
}

fn counting(signal: i32) -> (telemetry_core::signal::Watch, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let watch = watch(signal, {
        let calls = Arc::clone(&calls);
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    });
    (watch.unwrap(), calls)
}

/// Sets a handler as an application would that knows nothing of us.
fn set_foreign_handler(signal: i32) {
    extern "C" fn foreign(_: i32) {
        BEFORE.fetch_add(1, Ordering::SeqCst);
    }
    let handler = foreign as extern "C" fn(i32);
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(signal, handler as libc::sighandler_t) };
}

pub(crate) fn chain() {
    set_foreign_handler(libc::SIGHUP);
    let (first, first_calls) = counting(libc::SIGHUP);
    let (second, second_calls) = counting(libc::SIGHUP);
    let (_other, other_calls) = counting(libc::SIGUSR1);
    let panicking = watch(libc::SIGHUP, || panic!("on purpose")).unwrap();
    for round in 1..=3 {
        send(libc::SIGHUP);
        wait_until("a call", || {
            first_calls.load(Ordering::SeqCst) == round
                && second_calls.load(Ordering::SeqCst) == round
        });
        assert_eq!(BEFORE.load(Ordering::SeqCst), round);
    }
    drop((first, panicking));
    send(libc::SIGHUP);
    wait_until("a call", || second_calls.load(Ordering::SeqCst) == 4);
    assert_eq!(first_calls.load(Ordering::SeqCst), 3);
    assert_eq!(other_calls.load(Ordering::SeqCst), 0);
    drop(second);
    send(libc::SIGHUP);
    wait_until("the handler of before", || BEFORE.load(Ordering::SeqCst) == 5);
    wait_until("the end of the threads", || threads_called("telemetry-signal") == 1);
}

/// How many threads of this process have a name; the system cuts names at 15 bytes.
fn threads_called(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names.filter(|found| found.as_ref().is_ok_and(|found| name.starts_with(found.trim()))).count()
}

#[test]
fn signal_calls_every_watch_and_the_handler_of_before() {
    assert_done("signal_chain");
}

pub(crate) fn emits() {
    let emitted = Arc::new(AtomicBool::new(false));
    let pipeline = super::builder().sink(super::lines()).attach().unwrap();
    let _watch = watch(libc::SIGHUP, {
        let emitted = Arc::clone(&emitted);
        move || {
            tracing::info!("of a callback");
            emitted.store(true, Ordering::SeqCst);
        }
    });
    send(libc::SIGHUP);
    wait_until("the call", || emitted.load(Ordering::SeqCst));
    tracing::info!("of the program");
    super::assert_delivered(&pipeline.shutdown(LONG));
}

#[test]
fn what_a_callback_emits_goes_nowhere() {
    let text = assert_done("signal_emits");
    assert_eq!((count(&text, "of a callback"), count(&text, "of the program")), (0, 1));
}

pub(crate) fn forked() {
    let (watch, calls) = counting(libc::SIGHUP);
    // SAFETY: the child signals itself and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        send(libc::SIGHUP);
        drop(watch);
        // SAFETY: ends the child without its exit hooks.
        unsafe { libc::_exit(0) };
    }
    assert!(waits_for(child), "the child hangs or was killed");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    send(libc::SIGHUP);
    wait_until("a call", || calls.load(Ordering::SeqCst) == 1);
    write_line("parent was called once");
}

#[test]
fn signal_in_a_forks_child_leaves_the_parents_watch_alone() {
    let text = assert_done("signal_forked");
    assert_eq!(count(&text, "parent was called once"), 1);
}

#[test]
fn signals_that_cannot_be_handled_are_errors() {
    let killed = watch(libc::SIGKILL, || ()).unwrap_err();
    assert!(killed.is_setting(), "{killed}");
    assert_eq!(killed.to_string(), "`signal` is `9`, but must be one that a program can handle");
    let unknown = watch(12_345, || ()).unwrap_err();
    assert_eq!(unknown.to_string(), "signal 12345 cannot be watched");
}
