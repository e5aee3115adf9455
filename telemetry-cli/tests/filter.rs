//! The command as a shell meets it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod command;

use command::telemetry;
use std::process::Command;

#[test]
fn check_prints_the_filter_and_exits_with_0() {
    let (status, output, errors) = telemetry(&["filter", "check", "info, app[s{a>1}] = debug"]);
    assert_eq!((status, output.as_str(), errors.as_str()), (0, "info,app[s{a>1}]=debug\n", ""));
}

#[test]
fn check_shows_the_mistake_and_exits_with_2() {
    let (status, output, errors) = telemetry(&["filter", "check", "info,inof"]);
    assert_eq!((status, output.as_str()), (2, ""));
    assert!(
        errors.contains("     ^^^^ did you mean `info`, or the target `inof=trace`?"),
        "{errors}"
    );
}

#[test]
fn filters_over_a_limit_are_refused_with_it() {
    let table = [
        ("app::module=debug,".repeat(5_000), "at most 8192"),
        ("a,".repeat(1_025), "more than 1024 directives"),
        ("[{a~\"((((a{100}){100}){100}){100})\"}]".to_owned(), "65536 bytes compiled"),
    ];
    for (filter, limit) in table {
        let (status, output, errors) = telemetry(&["filter", "check", &filter]);
        assert_eq!((status, output.as_str()), (2, ""), "{errors}");
        assert!(errors.contains(limit) && errors.len() < 1000, "{errors}");
    }
}

#[cfg(unix)]
#[test]
fn filter_that_is_no_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry"));
    command.args(["filter", "check"]).arg(std::ffi::OsStr::from_bytes(b"info\xff"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("invalid UTF-8"));
}

#[test]
fn check_names_what_never_decides() {
    let (status, _, errors) = telemetry(&["filter", "check", "app=info,app=debug"]);
    assert_eq!(status, 0);
    assert!(errors.contains("`app=info` never decides"), "{errors}");
}

#[test]
fn explain_begins_with_the_decision_and_names_the_directive() {
    let base = ["filter", "explain", "--filter", "info,[request{tenant=42}]=debug"];
    let explain = |rest: &[&str]| telemetry(&[&base, rest].concat());
    let event = ["--target", "app", "--level", "debug"];
    let (status, output, _) = explain(&event);
    assert_eq!((status, output.as_str()), (0, "disabled by `info`\n"));
    let span = ["--span", "request:tenant=42,user=bob", "--field", "n=1"];
    let (status, output, _) = explain(&[&event[..], &span].concat());
    let expected = "enabled by `[request{tenant=42}]=debug`, in span `request`\n";
    assert_eq!((status, output.as_str()), (0, expected));
    let (_, output, _) = explain(&[&event[..], &span, &["--json"]].concat());
    let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(answer["enabled"], true);
    assert_eq!(answer["directive"], "[request{tenant=42}]=debug");
}

#[test]
fn mistakes_of_the_caller_exit_with_2() {
    let explain = ["filter", "explain", "--filter", "info", "--target", "a", "--level"];
    for rest in [&["loud"][..], &["info", "--field", "x"], &["info", "--span", "s:x"]] {
        let (status, output, errors) = telemetry(&[&explain, rest].concat());
        assert_eq!((status, output.as_str()), (2, ""), "{rest:?}");
        assert!(!errors.is_empty());
    }
    assert_eq!(telemetry(&["filter", "chekc"]).0, 2);
}
