//! What shows only from outside: how a process ends, and what it says on standard error. Each test
//! runs itself as a child.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use std::path::Path;
use std::process::{Command, Output};
use telemetry_toolkit::ConsoleExporter;

const CHILD: &str = "TELEMETRY_TEST_CHILD_FILE";

/// The file that this process is to write, if it is a child.
fn file_of_child() -> Option<String> {
    std::env::var(CHILD).ok()
}

fn child(test: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, file);
    command.env_remove("RUST_BACKTRACE");
    command
}

fn run_child(test: &str, file: &Path) -> Output {
    child(test, file).output().unwrap()
}

#[test]
fn process_exit_flushes() {
    if let Some(file) = file_of_child() {
        let builder = telemetry_toolkit::builder().no_console().json_file(file);
        let _telemetry = builder.init().unwrap();
        tracing::info!("last words");
        std::process::exit(7);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run_child("process_exit_flushes", file.path());
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert!(text.contains("last words"), "{text}");
}

#[test]
fn console_is_out_before_the_message_of_a_panic() {
    if let Some(file) = file_of_child() {
        let console = ConsoleExporter::builder().stderr().build().unwrap();
        let builder = telemetry_toolkit::builder().console(console).json_file(file);
        let _telemetry = builder.init().unwrap();
        tracing::info!("before the fall");
        panic!("the fall");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run_child("console_is_out_before_the_message_of_a_panic", file.path());
    let text = String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no `{part}` in {text}"));
    assert!(at("before the fall") < at("panic: the fall"), "{text}");
    assert!(at("panic: the fall") < at("panicked at"), "{text}");
    let lines = std::fs::read_to_string(file.path()).unwrap();
    assert!(lines.contains(r#""target":"panic""#), "{lines}");
}

#[test]
#[cfg(unix)]
fn forks_child_finds_nothing_and_drops_the_handle_at_once() {
    let Some(_) = file_of_child() else {
        let file = tempfile::NamedTempFile::new().unwrap();
        let output =
            run_child("forks_child_finds_nothing_and_drops_the_handle_at_once", file.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        return;
    };
    let telemetry = telemetry_toolkit::builder().no_console().init().unwrap();
    // SAFETY: the child looks and drops the handle, which is what this test is about, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let began = telemetry_core::clock::now();
        let is_told = telemetry.snapshot().to_string().contains("fork's child");
        drop(telemetry);
        let was_late = telemetry_core::clock::now() - began >= std::time::Duration::from_secs(1);
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(was_late || !is_told)) };
    }
    let mut status = -1;
    // SAFETY: `status` is ours.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(
        status, 0,
        "the child waited for a thread that it does not have, or found something"
    );
}

/// Forks while another thread makes names of spans up, so that it mostly holds their lock.
#[test]
#[cfg(all(unix, feature = "opentelemetry"))]
fn span_of_a_forks_child_waits_for_no_thread_of_its_parent() {
    use opentelemetry::trace::{Span, Tracer, TracerProvider as _};
    use std::sync::atomic::{AtomicBool, Ordering};
    let Some(_) = file_of_child() else {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = "span_of_a_forks_child_waits_for_no_thread_of_its_parent";
        let output = run_child(name, file.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        return;
    };
    let telemetry = telemetry_toolkit::builder().no_console().init().unwrap();
    let tracer = telemetry_toolkit::opentelemetry::TracerProvider::new().tracer("forks");
    let stop = AtomicBool::new(false);
    let is_fine = std::thread::scope(|scope| {
        scope.spawn(|| {
            let names = (0..).take_while(|_| !stop.load(Ordering::Relaxed));
            names.for_each(|n: u64| tracer.start(n.to_string()).end());
        });
        let is_fine = (0..50).all(|_| {
            // SAFETY: the child opens a span, which is what this test is about, and ends; if it
            // hangs, by the alarm.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: takes a number.
                unsafe { libc::alarm(10) };
                let is_wanted = tracer.start("of the child").is_recording();
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(is_wanted)) };
            }
            let mut status = -1;
            // SAFETY: `status` is ours.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            status == 0
        });
        stop.store(true, Ordering::Relaxed);
        is_fine
    });
    assert!(is_fine, "a child hangs, or its span is recorded");
    drop(telemetry);
}

/// The variables that the facade asks for.
fn asked_variables() -> Vec<String> {
    let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let builder = telemetry_toolkit::builder().from_variables(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    drop(builder);
    asked.into_inner().into_iter().collect()
}

#[cfg(unix)]
#[test]
fn variables_that_are_no_utf_8_are_each_named() {
    use std::os::unix::ffi::OsStrExt;
    if file_of_child().is_some() {
        let builder = telemetry_toolkit::builder().no_console().from_env();
        if let Err(error) = builder.init().map(|telemetry| telemetry.shutdown()) {
            println!("refused: {error}");
        }
        return;
    }
    let run = |names: &[&str], is_strict: bool| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = child("variables_that_are_no_utf_8_are_each_named", file.path());
        for name in names {
            command.env(name, std::ffi::OsStr::from_bytes(b"canary\xff"));
        }
        if is_strict {
            command.env("TELEMETRY_STRICT", "1");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{names:?}: {output:?}");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains("canary"), "{names:?}: {text}");
        text
    };
    let asked = asked_variables();
    assert!(asked.len() > 20 && asked.iter().any(|name| name == "OTEL_EXPORTER_OTLP_LOGS_HEADERS"));
    let all: Vec<&str> = asked.iter().map(String::as_str).collect();
    let text = run(&all, false);
    for name in &all {
        let named = format!("`{name}` is `…`, but must be UTF-8");
        assert!(text.contains(&named), "{name}: {text}");
        assert!(run(&[name], false).contains(&named), "{name} alone");
        if *name != "TELEMETRY_STRICT" {
            let refused = format!("refused: {named}");
            assert!(run(&[name], true).contains(&refused), "{name}, and strict");
        }
    }
}

#[test]
fn environment_that_cannot_be_used_is_a_warning_with_its_cause() {
    if file_of_child().is_some() {
        telemetry_toolkit::builder().no_console().from_env().init().unwrap().shutdown();
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command =
        child("environment_that_cannot_be_used_is_a_warning_with_its_cause", file.path());
    command.env("TELEMETRY_JSON_FILE", "/no/such/directory/x.jsonl");
    #[cfg(unix)]
    command.env("RUST_LOG", <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("`/no/such/directory/x.jsonl` for appending: No such file"), "{text}");
    #[cfg(unix)]
    assert!(text.contains("`RUST_LOG` is `…`, but must be UTF-8"), "{text}");
}
