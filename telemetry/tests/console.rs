//! What the console writes by default: each test runs itself as a child on another kind of stream.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

mod surroundings;

#[cfg(all(target_os = "linux", feature = "poller"))]
use std::time::Duration;

use surroundings::{Named, child, is_child};

const LONG: &str = "TELEMETRY_TEST_LONG";

/// Is this process the child? Then it has emitted an event.
fn emitted_as_child() -> bool {
    let is_child = is_child();
    if is_child {
        let _telemetry = telemetry_toolkit::builder().from_env().init().unwrap();
        tracing::info!(n = 1, "hello");
        if std::env::var_os(LONG).is_some() {
            tracing::info!(text = "x".repeat(100_000), "long");
        }
    }
    is_child
}

#[cfg(unix)]
#[test]
fn journal_gets_lines_with_a_priority() {
    if emitted_as_child() {
        return;
    }
    let mut command = child("journal_gets_lines_with_a_priority");
    for (named, expected) in [
        (Named::Rightly, "<6> INFO console: hello n=1\n"),
        (Named::Wrongly, ""), // as for a child whose output was redirected
    ] {
        let (output, text) = surroundings::run_in_journal(&mut command, named);
        assert_eq!(text, expected, "{output:?}");
        let has_json = String::from_utf8_lossy(&output.stdout).contains(r#""n":1"#);
        assert_eq!(has_json, named == Named::Wrongly, "{output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn terminal_gets_lines_for_people_and_no_metrics() {
    if emitted_as_child() {
        return;
    }
    let mut command = child("terminal_gets_lines_for_people_and_no_metrics");
    let (output, text) = surroundings::run_on_terminal(command.env("NO_COLOR", "1"));
    let lines: Vec<_> = text.lines().collect();
    let [line] = lines[..] else { panic!("{text}") };
    assert!(
        line.ends_with("Z INFO  hello                                    n=1  console"),
        "{line}"
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hello"), "{output:?}");
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    let (_, text) = surroundings::run_on_terminal(&mut command);
    assert!(text.contains('\u{1b}'), "a terminal has colours: {text:?}");
}

#[test]
fn pipe_gets_lines_of_16_kib_at_most_and_metrics() {
    if emitted_as_child() {
        return;
    }
    let mut command = child("pipe_gets_lines_of_16_kib_at_most_and_metrics");
    let output = command.env(LONG, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let long = text.lines().find(|line| line.contains(r#""long""#)).unwrap();
    assert!((8_000..=16 * 1024).contains(&long.len()), "{}", long.len());
    assert!(text.contains(r#""kind":"metric""#), "metrics are exported at the end");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn settings_are_told_at_debug_level_with_their_origin() {
    if emitted_as_child() {
        return;
    }
    let mut command = child("settings_are_told_at_debug_level_with_their_origin");
    let filtered = command.env("RUST_LOG", "info,telemetry=debug").output().unwrap();
    let text = String::from_utf8_lossy(&filtered.stdout);
    assert!(text.contains("filter=info,telemetry=debug (RUST_LOG)"), "{filtered:?}");
    assert_eq!(String::from_utf8_lossy(&filtered.stderr), "", "a record is enough");
}

#[test]
fn all_but_the_console_is_the_same_wherever_the_output_goes() {
    let config = telemetry_toolkit::builder().config();
    let expected = [
        ("filter", "info"),
        ("otlp", "off"),
        ("json_file", "off"),
        #[cfg(feature = "poller")]
        ("poll_period", "10s"),
        ("metric_interval", "60s"),
        ("sampler", "all"),
        ("buffer_bytes", "16777216"),
        ("panic_hook", "on"),
        ("exit_hook", "on"),
    ];
    for (setting, value) in expected {
        assert_eq!(config.get(setting), Some((value, "default")), "{setting}");
    }
}

#[test]
fn pipe_gets_json_unless_told_otherwise() {
    if emitted_as_child() {
        return;
    }
    let table = [
        ("", r#""n":1"#, ""),
        ("pretty", "", "Z INFO  hello                                    n=1  console\n"),
        ("logfmt", " level=info target=console msg=hello n=1\n", ""),
        ("compact@stdout", "Z  INFO console: hello n=1\n", ""),
        ("off", "", ""),
    ];
    for (variable, stdout, stderr) in table {
        let mut command = child("pipe_gets_json_unless_told_otherwise");
        let output = command.env("TELEMETRY_CONSOLE", variable).output().unwrap();
        for (bytes, part) in [(&output.stdout, stdout), (&output.stderr, stderr)] {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains(part), "{variable}: {part:?} in {output:?}");
            assert_eq!(text.contains("hello"), !part.is_empty(), "{variable}: {output:?}");
        }
    }
}

/// As a child, tells the end of a span and polls until its standard input ends.
#[cfg(all(target_os = "linux", feature = "poller"))]
fn polled_as_child() -> bool {
    let is_child = is_child();
    if is_child {
        let builder = telemetry_toolkit::builder().from_env().console_spans(true);
        let builder = builder.console_polls(true).poll_period(Duration::from_millis(20));
        let _telemetry = builder.init().unwrap();
        tracing::info_span!("request", path = "/x").in_scope(|| {});
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    is_child
}

#[cfg(all(target_os = "linux", feature = "poller"))]
#[test]
fn ends_of_spans_and_polls_are_lines_if_asked_for() {
    use std::io::BufRead;
    use std::process::Stdio;
    if polled_as_child() {
        return;
    }
    let mut command = child("ends_of_spans_and_polls_are_lines_if_asked_for");
    command.env("TELEMETRY_CONSOLE", "compact@stdout").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut lines = std::io::BufReader::new(running.stdout.take().unwrap()).lines();
    let close = " INFO request{path=/x}: console: close duration=";
    let (mut has_close, mut polls) = (false, 0);
    while polls < 2 || !has_close {
        let line = lines.next().unwrap().unwrap();
        has_close |= line.contains(close);
        let words = [" poll ", " memory=", " threads=", " uptime="];
        polls += usize::from(words.iter().all(|word| line.contains(word)));
    }
    drop(running.stdin.take());
    lines.for_each(drop);
    assert!(running.wait().unwrap().success());
}
