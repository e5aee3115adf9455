//! How a process ends: each test runs itself as a child that ends in its own way.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use std::path::Path;
use std::process::{Command, Output};
use telemetry_toolkit::ConsoleExporter;

const CHILD: &str = "TELEMETRY_TEST_CHILD_FILE";

/// The file that this process is to write, if it is a child.
fn file_of_child() -> Option<String> {
    std::env::var(CHILD).ok()
}

fn run_child(test: &str, file: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, file);
    command.env_remove("RUST_BACKTRACE").output().unwrap()
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
