//! The command as a shell meets it: on this very process, and on processes that are not to be had.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod command;

use command::telemetry;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn process_is_inspected_by_its_number_and_by_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    let telemetry_here = telemetry_toolkit::builder()
        .no_console()
        .json_file(folder.path().join("x.jsonl"))
        .inspect_socket(&socket)
        .init()
        .unwrap();
    let span = tracing::info_span!("charge", order = 42).entered();
    telemetry_here.flush(Duration::from_secs(30)).unwrap();
    let number = std::process::id().to_string();
    for process in [number.as_str(), socket.to_str().unwrap()] {
        let (status, output, errors) = telemetry(&["inspect", process]);
        assert_eq!((status, errors.as_str()), (0, ""), "{process}");
        assert!(
            output.contains("\nOldest open spans\n") && output.contains("order=42"),
            "{output}"
        );
    }
    let (_, output, _) = telemetry(&["inspect", &number, "--json"]);
    let found: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(found["oldest_spans"][0]["fields"]["order"], "42");
    let (_, output, _) = telemetry(&["config", "show", &number]);
    assert!(output.contains("inspect_socket") && output.contains("program"), "{output}");
    let (_, output, _) = telemetry(&["inspect"]);
    let line = output.lines().find(|line| line.split_whitespace().next() == Some(&number));
    assert!(line.unwrap().ends_with(socket.to_str().unwrap()), "{output}");

    // Watched, it is looked at again and again, until it is gone.
    let mut watching = Command::new(env!("CARGO_BIN_EXE_telemetry"))
        .args(["inspect", &number, "--json", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with(r#"{"suspects":"#), "{line}");
    }
    drop(span);
    telemetry_here.shutdown();
    let _ = lines.by_ref().count();
    let output = watching.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.starts_with("error: "), "{errors}");
}

#[test]
fn process_that_cannot_be_inspected_is_named_with_what_to_do() {
    let (status, output, errors) = telemetry(&["inspect", "4000000000"]);
    assert_eq!((status, output.as_str()), (2, ""));
    assert_eq!(errors, "error: process 4000000000 does not run\n");
    #[cfg(target_os = "linux")]
    {
        let (status, _, errors) = telemetry(&["inspect", "1"]);
        assert_eq!(status, 2);
        assert!(errors.starts_with("error: process 1 of user "), "{errors}");
        assert!(errors.ends_with("start it with `TELEMETRY_INSPECT=auto`\n"), "{errors}");
    }
    let (status, _, errors) = telemetry(&["inspect", "/no/such/socket"]);
    assert_eq!(status, 2);
    assert!(errors.starts_with("error: `/no/such/socket` cannot be connected to: "), "{errors}");
    assert_eq!(telemetry(&["inspect", "--watch"]).0, 2, "watch what?");
}

#[test]
fn what_is_no_telemetry_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let answers = std::thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = BufReader::new(&stream).read_line(&mut String::new());
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 \x1b[2J\n\n").unwrap();
    });
    let (status, output, errors) = telemetry(&["inspect", socket.to_str().unwrap()]);
    answers.unwrap().join().unwrap();
    assert_eq!((status, output.as_str()), (2, ""));
    assert!(errors.ends_with("answers something else than telemetry does\n"), "{errors}");
}
