//! What the console writes by default: each test runs itself as a child on another kind of stream.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use std::process::Command;

const CHILD: &str = "TELEMETRY_TEST_CHILD";

/// Is this process the child? Then it has emitted an event.
fn emitted_as_child() -> bool {
    let is_child = std::env::var_os(CHILD).is_some();
    if is_child {
        let _telemetry = telemetry_toolkit::builder().from_env().init().unwrap();
        tracing::info!(n = 1, "hello");
    }
    is_child
}

fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    for name in ["RUST_LOG", "TELEMETRY_CONSOLE", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command
}

#[cfg(unix)]
#[test]
fn journal_gets_lines_with_a_priority() {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    if emitted_as_child() {
        return;
    }
    for (difference, expected) in [(0, "<6> INFO console: hello n=1\n"), (1, "")] {
        let (mut journal, stderr) = UnixStream::pair().unwrap();
        let stderr = std::fs::File::from(OwnedFd::from(stderr));
        let metadata = stderr.metadata().unwrap();
        let named = format!("{}:{}", metadata.dev(), metadata.ino() + difference);
        let mut command = child("journal_gets_lines_with_a_priority");
        command.env("JOURNAL_STREAM", &named).stderr(stderr);
        let output = command.output().unwrap();
        drop(command); // and with it our end of what the child wrote to
        let mut text = String::new();
        journal.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected, "{output:?}");
        let has_json = String::from_utf8_lossy(&output.stdout).contains(r#""n":1"#);
        assert_eq!(has_json, difference == 1, "{output:?}");
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
