//! What is on without a word, wherever the program runs: console, collector, poller.
//!
//! Each test runs itself as a child, on a pseudo-terminal, in a pipe, and with a socket that
//! `JOURNAL_STREAM` names.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed test may say so")]
#![expect(clippy::disallowed_methods, reason = "a test's deadline")]

mod surroundings;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use surroundings::{Named, child, is_child};
use telemetry_toolkit::receiver::Receiver;
use telemetry_toolkit::{builder, testing};

/// Where the child says what it found.
const FINDINGS: &str = "TEST_FINDINGS";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surroundings {
    Terminal,
    Pipe,
    Journal,
}

use Surroundings::{Journal, Pipe, Terminal};

impl Surroundings {
    /// Runs a command, and returns what it wrote to standard output and to standard error.
    fn run(self, command: &mut Command) -> (String, String) {
        let (output, errors) = match self {
            Terminal => surroundings::run_on_terminal(command.env("NO_COLOR", "1")),
            Journal => surroundings::run_in_journal(command, Named::Rightly),
            Pipe => {
                let output = command.output().unwrap();
                let errors = String::from_utf8(output.stderr.clone()).unwrap();
                (output, errors)
            }
        };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
        (text, errors)
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never came true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As a child, starts what is there by default, emits, and tells what it finds.
fn emitted_as_child() -> bool {
    if is_child() {
        let telemetry = builder().from_env().init().unwrap();
        tracing::info_span!("request").in_scope(|| tracing::info!(n = 1, "hello"));
        tracing::debug!("more than is wanted");
        let found = || serde_json::from_str::<Value>(&telemetry.snapshot().to_json()).unwrap();
        wait_until(|| !found()["polled"].as_array().unwrap().is_empty());
        std::fs::write(std::env::var_os(FINDINGS).unwrap(), found().to_string()).unwrap();
        assert!(telemetry.shutdown().is_complete());
    }
    is_child()
}

/// What the child found, by name: value and origin of its settings, filters of its exporters.
struct Findings(Value);

impl Findings {
    fn read(path: &Path) -> Self {
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    fn setting(&self, name: &str) -> (&str, &str) {
        let all = self.0["settings"].as_array().unwrap();
        let found = all.iter().find(|one| one["setting"] == name).expect(name);
        (found["value"].as_str().unwrap(), found["origin"].as_str().unwrap())
    }

    fn exporters(&self) -> Vec<(&str, &str)> {
        let all = self.0["exporters"].as_array().unwrap().iter();
        all.map(|one| (one["exporter"].as_str().unwrap(), one["filter"].as_str().unwrap()))
            .collect()
    }
}

/// The records among the lines, the first of which stands behind the name of the test.
fn records(text: &str) -> Vec<Value> {
    let objects = text.lines().filter_map(|line| Some(&line[line.find('{')?..]));
    objects.filter_map(|object| serde_json::from_str(object).ok()).collect()
}

/// Looks at what was written to standard output and to standard error.
fn check_console(here: Surroundings, output: &str, errors: &str) {
    assert!(!format!("{output}{errors}").contains("more than is wanted"), "{output}{errors}");
    let records = records(output);
    match here {
        Terminal => {
            // A tree for people, without metrics.
            let lines: Vec<_> = errors.lines().collect();
            let ["  request", line] = lines[..] else { panic!("{errors:?}") };
            assert!(line.contains("Z INFO  hello ") && line.contains(" n=1 "), "{line}");
            assert!(records.is_empty(), "{output}");
        }
        Journal => {
            assert_eq!(errors, "<6> INFO request: defaults: hello n=1\n");
            assert!(records.is_empty(), "{output}");
        }
        Pipe => {
            assert_eq!(errors, "");
            let has = |key: &str, value: &str| records.iter().any(|record| record[key] == value);
            assert!(records.iter().any(|one| one["fields"]["message"] == "hello"), "{output}");
            assert!(has("name", "request") && has("name", "process.memory.usage"), "{output}");
        }
    }
}

#[test]
fn console_collector_and_poller_are_as_the_table_of_defaults_has_them() {
    if emitted_as_child() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("findings");
    for (here, console) in [
        (Terminal, "auto, here pretty@stderr"),
        (Pipe, "auto, here json@stdout"),
        (Journal, "auto, here journald@stderr"),
    ] {
        let test = "console_collector_and_poller_are_as_the_table_of_defaults_has_them";
        let (output, errors) = here.run(child(test).env(FINDINGS, &file));
        check_console(here, &output, &errors);
        let found = Findings::read(&file);
        for (setting, value) in [
            ("console", console),
            ("filter", "info"),
            ("otlp", "off"),
            ("poll_period", "10s"),
            ("json_file", "off"),
            ("inspect_socket", "off"),
        ] {
            assert_eq!(found.setting(setting), (value, "default"), "{here:?} {setting}");
        }
        assert_eq!(found.exporters(), [("console", "info")], "{here:?}");
    }
}

#[test]
fn collector_gets_everything_once_an_endpoint_is_set() {
    if emitted_as_child() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("findings");
    for here in [Terminal, Pipe, Journal] {
        let collector = Receiver::start().unwrap();
        let mut command = child("collector_gets_everything_once_an_endpoint_is_set");
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
        let (output, errors) = here.run(command.env(FINDINGS, &file));
        check_console(here, &output, &errors);
        assert!(collector.logs().iter().any(|log| log.body.to_string().contains("hello")));
        assert!(collector.spans().iter().any(|span| span.name == "request"), "{here:?}");
        assert!(collector.metrics().iter().any(|one| one.name == "process.memory.usage"));
        let found = Findings::read(&file);
        let expected = ("logs, traces, metrics", "OTEL_EXPORTER_OTLP_ENDPOINT");
        assert_eq!(found.setting("otlp"), expected, "{here:?}");
        assert_eq!(found.exporters(), [("console", "info"), ("otlp", "info")], "{here:?}");
    }
}

#[test]
fn tests_have_neither_collector_nor_poller() {
    const TEST: &str = "tests_have_neither_collector_nor_poller";
    if is_child() {
        testing::init_for_tests();
        tracing::info!("hello");
        metrics::counter!("hits").increment(1);
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")));
        let names: Vec<_> = names.flatten().filter(|name| name.starts_with("telemetry-")).collect();
        assert!(names.is_empty(), "{names:?}");
        return;
    }
    let collector = Receiver::start().unwrap();
    for here in [Terminal, Pipe, Journal] {
        let mut command = child(TEST);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
        let (output, errors) = here.run(&mut command);
        assert!(output.contains(" INFO defaults: hello\n"), "with the test's output: {output}");
        assert_eq!(errors, "", "{here:?}");
    }
    assert!(collector.requests().is_empty());
}
