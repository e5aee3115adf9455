//! The command as a shell meets it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn show(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry"));
    command.args(["config", "show"]).args(arguments).env_clear().envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The words of the line that begins with a setting.
fn line<'a>(output: &'a str, setting: &str) -> Vec<&'a str> {
    let mut lines = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.first() == Some(&setting)).unwrap()
}

#[test]
fn every_setting_is_shown_with_its_origin() {
    let (status, output, errors) = show(&[], &[("RUST_LOG", "warn,app=debug")]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert_eq!(line(&output, "filter"), ["filter", "warn,app=debug", "RUST_LOG"]);
    assert_eq!(line(&output, "otlp"), ["otlp", "off", "default"]);
    let expected = ["console", "auto,", "here", "json@stdout", "default"];
    assert_eq!(line(&output, "console"), expected);
}

#[test]
fn what_cannot_be_used_is_a_warning_and_the_default_is_shown() {
    let (status, output, errors) = show(&[], &[("RUST_LOG", "inof"), ("TELEMETRY_CONSOLE", "x")]);
    assert_eq!(status, 0);
    assert_eq!(line(&output, "filter"), ["filter", "info", "default"]);
    for name in ["RUST_LOG", "TELEMETRY_CONSOLE"] {
        assert!(errors.contains(&format!("warning: `{name}` is `")), "{errors}");
    }
}

#[test]
fn json_has_the_same_settings() {
    let (_, output, _) = show(&["--json"], &[("OTEL_SERVICE_NAME", "shop")]);
    let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
    let settings = answer["settings"].as_array().unwrap();
    let name = settings.iter().find(|one| one["setting"] == "resource `service.name`").unwrap();
    assert_eq!((&name["value"], &name["origin"]), (&"shop".into(), &"OTEL_SERVICE_NAME".into()));
}
