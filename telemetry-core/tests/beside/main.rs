//! Claims about captures that need a process of their own: beside other libraries' subscribers and
//! beside a pipeline, in either order; and what `libtest` shows of what is printed.
//!
//! Each test runs this binary again with one scenario.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests"
)]

mod printing;
mod subscribers;

use std::process::{Command, Output};

const SCENARIO: &str = "TELEMETRY_TEST_SCENARIO";

/// Runs a scenario in a process of its own, as `libtest` runs a test.
fn run(scenario: &str, settings: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", scenario])
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE")
        .env(SCENARIO, scenario)
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// Runs a scenario that has to succeed.
#[track_caller]
fn assert_passes(scenario: &str) {
    let output = run(scenario, &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Is this the process of a scenario? As ordinary tests they do nothing.
fn is_scenario(scenario: &str) -> bool {
    std::env::var(SCENARIO).is_ok_and(|running| running == scenario)
}
