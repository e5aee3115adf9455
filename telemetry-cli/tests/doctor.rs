//! The command as a shell meets it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

fn doctor(lock: &Path) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_telemetry")).arg("doctor").arg(lock).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn doctor_of(lock: &str) -> (i32, String, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lock.as_bytes()).unwrap();
    doctor(file.path())
}

#[test]
fn our_own_lock_file_is_good() {
    let (status, output, errors) = doctor(Path::new("../Cargo.lock"));
    assert_eq!((status, errors.as_str()), (0, ""));
    for facade in ["tracing-core 0.1.", "log 0.4.", "metrics 0.24.", "opentelemetry 0."] {
        assert!(output.contains(&format!("good: {facade}")), "{output}");
    }
}

#[test]
fn version_that_nobody_listens_to_is_named_with_its_users() {
    let lock = r#"
version = 4

[[package]]
name = "metrics"
version = "0.23.1"

[[package]]
name = "metrics"
version = "0.24.6"

[[package]]
name = "log"
version = "0.3.9"

[[package]]
name = "old"
version = "1.0.0"
dependencies = ["log", "metrics 0.23.1"]

[[package]]
name = "new"
version = "2.0.0"
dependencies = ["metrics 0.24.6 (registry+https://example.com)"]
"#;
    let (status, output, errors) = doctor_of(lock);
    assert_eq!((status, output.as_str()), (2, "good: metrics 0.24.6\n"));
    let expected = "log 0.3.9: its records do not arrive; telemetry-toolkit listens to log 0.4\n  \
                    used by old 1.0.0\n\
                    metrics 0.23.1: its measurements do not arrive; telemetry-toolkit listens to \
                    metrics 0.24\n  \
                    used by old 1.0.0\n";
    assert_eq!(errors, expected);
}

#[test]
fn two_versions_of_opentelemetry_are_one_too_many_unless_the_bridge_has_both() {
    let package = |name: &str, version: &str| {
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
    };
    let one = package("opentelemetry", "0.33.1");
    assert_eq!(doctor_of(&one).0, 0);
    let users: String = (0..10)
        .map(|n| {
            package(&format!("user{n}"), "1.0.0") + "dependencies = [\"opentelemetry 0.32.0\"]\n"
        })
        .collect();
    let (status, output, errors) =
        doctor_of(&format!("{one}{}{users}", package("opentelemetry", "0.32.0")));
    assert_eq!((status, output.as_str()), (2, "good: opentelemetry 0.33.1\n"));
    assert!(errors.contains("opentelemetry 0.32.0: it has providers"), "{errors}");
    assert!(errors.contains("user7 1.0.0 and 2 more"), "{errors}");
    let old = package("opentelemetry", "0.32.0");
    let bridge = package("telemetry-opentelemetry", "0.1.0")
        + "dependencies = [\"opentelemetry 0.32.0\", \"opentelemetry 0.33.1\"]\n";
    let (status, output, _) = doctor_of(&format!("{one}{old}{users}{bridge}"));
    assert_eq!((status, output.matches("good: ").count()), (0, 2), "{output}");
}

#[test]
fn file_that_is_no_lock_file_is_a_mistake() {
    for (text, expected) in [("a = [", "is not TOML"), ("a = 1", "has no packages")] {
        let (status, output, errors) = doctor_of(text);
        assert_eq!((status, output.as_str()), (2, ""));
        assert!(errors.starts_with("error: `") && errors.contains(expected), "{errors}");
    }
    let (status, _, errors) = doctor(Path::new("/no/such/file"));
    assert!(status == 2 && errors.contains("`/no/such/file` cannot be read"), "{errors}");
}
