//! Write-through: what a killed process has emitted is there. Each test runs itself as a child.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed test may say so; its threads are its own"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telemetry_toolkit::{Builder, ConsoleExporter, Waits};

const CHILD: &str = "TELEMETRY_TEST_CHILD_FILE";
const FACE: &str = "TELEMETRY_TEST_CHILD_FACE";
const EVENTS: usize = 1000;

/// The recorder alone, and beside the layers of others.
const FACES: &[&str] = &[
    "own",
    #[cfg(feature = "layer")]
    "layer",
];

/// The file that this process is to write, if it is a child.
fn file_of_child() -> Option<String> {
    std::env::var(CHILD).ok()
}

fn child(test: &str, face: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, file).env(FACE, face).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Lines for people on standard error, JSON lines in the file, as a program on the command line
/// may have them.
fn builder(file: &str) -> Builder {
    let console = ConsoleExporter::builder().stderr().build().unwrap();
    let builder = telemetry_toolkit::builder().console(console).json_file(file).poller(false);
    #[cfg(feature = "layer")]
    if std::env::var(FACE).is_ok_and(|face| face == "layer") {
        return builder.layer(tracing_subscriber::layer::Identity::new()).write_through(true);
    }
    builder.write_through(true)
}

/// The events in a text of lines, by their numbers.
fn numbers(text: &str) -> Vec<usize> {
    let after = |line: &str| {
        let (_, rest) = line.split_once("event number ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    text.lines().filter_map(after).collect()
}

fn assert_all(text: &str) {
    assert_eq!(numbers(text), (0..EVENTS).collect::<Vec<_>>());
}

/// The file's text: whole lines of JSON.
fn read_json(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    text
}

/// Emits all events and then ends as the function says, without another word from telemetry.
fn emit_and_end(test: &str, signal: Option<i32>, end: fn()) {
    if let Some(file) = file_of_child() {
        let _telemetry = builder(&file).init().unwrap();
        (0..EVENTS).for_each(|n| tracing::info!("event number {n}"));
        end();
    }
    for face in FACES {
        let file = tempfile::NamedTempFile::new().unwrap();
        let output = child(test, face, file.path()).output().unwrap();
        assert_eq!(output.status.signal(), signal, "{face}: {output:?}");
        assert_all(&read_json(file.path()));
        assert_all(&String::from_utf8(output.stderr).unwrap());
    }
}

#[test]
fn abort_loses_nothing_that_was_emitted() {
    let test = "abort_loses_nothing_that_was_emitted";
    emit_and_end(test, Some(libc::SIGABRT), || std::process::abort());
}

#[test]
#[expect(unsafe_code, reason = "`_exit` is called")]
fn exit_without_exit_hooks_loses_nothing_that_was_emitted() {
    let test = "exit_without_exit_hooks_loses_nothing_that_was_emitted";
    // SAFETY: `_exit` has no preconditions.
    emit_and_end(test, None, || unsafe { libc::_exit(0) });
}

#[test]
fn kill_right_after_a_call_has_returned_does_not_lose_its_line() {
    if let Some(file) = file_of_child() {
        let _telemetry = builder(&file).init().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { (0..EVENTS).for_each(|n| tracing::info!("event number {n}")) });
        println!("done");
        loop {
            std::thread::park();
        }
    }
    let test = "kill_right_after_a_call_has_returned_does_not_lose_its_line";
    for face in FACES {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut process = child(test, face, file.path()).stderr(Stdio::piped()).spawn().unwrap();
        // Its standard error has to be read, or it would wait for us.
        let mut stderr = process.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || std::io::read_to_string(&mut stderr).unwrap());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // libtest has begun the line.
        assert!(lines.any(|line| line.unwrap().ends_with("done")), "the child ended early");
        process.kill().unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_all(&read_json(file.path()));
        assert_all(&stderr.join().unwrap());
    }
}

#[test]
fn panic_that_aborts_is_out_with_all_before_it() {
    if let Some(file) = file_of_child() {
        let _telemetry = builder(&file).init().unwrap();
        (0..EVENTS).for_each(|n| tracing::info!("event number {n}"));
        std::thread::spawn(|| {
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("while panicking: the process aborts");
                }
            }
            let _bomb = Bomb;
            panic!("the fall");
        });
        loop {
            std::thread::park();
        }
    }
    for face in FACES {
        let file = tempfile::NamedTempFile::new().unwrap();
        let test = "panic_that_aborts_is_out_with_all_before_it";
        let output = child(test, face, file.path()).output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{face}: {output:?}");
        let text = read_json(file.path());
        assert_all(&text);
        assert!(text.contains("the fall"), "{text}");
    }
}

#[test]
fn pipeline_that_ends_lets_go_of_everybody() {
    let Some(file) = file_of_child() else {
        let file = tempfile::NamedTempFile::new().unwrap();
        let test = "pipeline_that_ends_lets_go_of_everybody";
        let output = child(test, "own", file.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    };
    static EMITTED: AtomicU64 = AtomicU64::new(0);
    static ENDED: AtomicU64 = AtomicU64::new(0);
    let emit_until_the_end = || {
        while ENDED.load(Ordering::Relaxed) == 0 {
            tracing::info!("event number {}", EMITTED.fetch_add(1, Ordering::Relaxed));
        }
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(emit_until_the_end)).collect();
    for _ in 0..5 {
        let telemetry = builder(&file).init().unwrap();
        let began = EMITTED.load(Ordering::Relaxed);
        while EMITTED.load(Ordering::Relaxed) < began + 50 {
            std::thread::yield_now();
        }
        let report = telemetry.shutdown();
        assert!(report.is_balanced() && !report.timed_out, "{report}");
        assert_eq!(report.lost(), 0, "{report}");
    }
    ENDED.store(1, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn environment_cannot_ask_for_it_where_nobody_waits() {
    let try_to = |strict: &'static str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let waits = Waits { blocking: Duration::ZERO, in_async: Duration::ZERO };
        let builder = telemetry_toolkit::builder().no_console().json_file(file.path());
        let builder = builder.poller(false).waits(waits);
        let builder = builder.from_variables(|name| match name {
            "TELEMETRY_WRITE_THROUGH" => Some("1".to_owned()),
            "TELEMETRY_STRICT" => Some(strict.to_owned()),
            _ => None,
        });
        builder.init().map(telemetry_toolkit::Telemetry::shutdown)
    };
    try_to("0").expect("a warning");
    let text = "`TELEMETRY_WRITE_THROUGH` is `1`, but must be `0` where `waits.blocking` is `0ns`";
    assert_eq!(try_to("1").expect_err("it is to be an error").to_string(), text);
}
