//! What a snapshot of the running process holds.
//!
//! One test, because the process has one pipeline.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use serde_json::Value;
use std::time::{Duration, Instant};
use telemetry_toolkit::{Inspector, SNAPSHOT_BYTES_MAX, watch};

fn json(inspector: &Inspector) -> Value {
    let text = inspector.snapshot().to_json();
    assert!(text.len() <= SNAPSHOT_BYTES_MAX);
    serde_json::from_str(&text).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test's deadline")]
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never came true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn find<'a>(rows: &'a Value, key: &str, value: &str) -> &'a Value {
    let found = rows.as_array().unwrap().iter().find(|row| row[key] == value);
    found.unwrap_or_else(|| panic!("no {key}={value} in {rows:#}"))
}

#[test]
fn snapshot_holds_everything_that_was_set_and_happens() {
    let telemetry = telemetry_toolkit::builder()
        .service("shop", "1.4.2")
        .resource("vcs.ref.head.revision", "0a1b2c3")
        .resource("db.password", "hunter2")
        .filter("info,shop=debug")
        .no_console()
        .json_file(tempfile::NamedTempFile::new().unwrap().path())
        .json_filter("warn")
        .poll_period(Duration::from_millis(10))
        .exit_hook(false)
        .init()
        .unwrap();
    let inspector = telemetry.inspector();
    let _watch = watch("outbox", 100, || 95);
    let span = tracing::warn_span!("charge", order = 42, api_key = "hunter2").entered();
    telemetry.flush(Duration::from_secs(30)).unwrap();
    wait_until(|| !json(&inspector)["polled"].as_array().unwrap().is_empty());

    let found = json(&inspector);
    let process = &found["process"];
    assert_eq!((&process["service"], &process["version"]), (&"shop".into(), &"1.4.2".into()));
    assert_eq!(process["revision"], "0a1b2c3");
    assert_eq!(process["pid"], std::process::id());
    assert!(process["features"].as_array().unwrap().contains(&"json".into()));
    assert!(process["uptime_s"].as_f64().is_some_and(|uptime| uptime > 0.0));
    let filter = find(&found["settings"], "setting", "filter");
    assert_eq!(
        (&filter["value"], &filter["origin"]),
        (&"info,shop=debug".into(), &"program".into())
    );
    assert_eq!(find(&found["exporters"], "exporter", "json")["filter"], "warn");
    let oldest = find(&found["oldest_spans"], "span", "charge");
    assert_eq!(oldest["fields"]["order"], "42");
    assert_eq!(find(&found["open_spans"], "name", "charge")["count"], 1);
    assert_eq!(find(&found["queues"], "name", "outbox")["length"], 95);
    assert!(
        found["suspects"]
            .as_array()
            .unwrap()
            .contains(&"queue `outbox` is full: 95 of 100, 95 %".into())
    );
    let memory = find(&found["polled"], "metric", "process.memory.usage");
    assert!(memory["age_s"].as_f64().is_some_and(|age| age < 30.0), "{memory}");
    wait_until(|| {
        let polled = json(&inspector);
        let polled = polled["polled"].as_array().unwrap();
        polled.iter().any(|row| row["metric"] == "telemetry.queue.length" && row["value"] == 95)
    });

    let snapshot = telemetry.snapshot();
    let text = snapshot.to_string();
    assert!(text.starts_with("shop 1.4.2, process "), "{text}");
    let places: Vec<_> = ["Look here first", "Oldest open spans", "Settings", "Process"]
        .map(|title| text.find(&format!("\n{title}\n")).unwrap())
        .into();
    assert!(places.is_sorted(), "the suspicious first: {text}");
    let all = format!("{text}{}{snapshot:?}", snapshot.to_json());
    assert!(!all.contains("hunter2"), "secrets stay redacted: {all}");

    drop(span);
    telemetry.shutdown();
    let gone = inspector.snapshot();
    assert_eq!(gone.suspects(), ["telemetry is off, or has been shut down"]);
}

#[cfg(feature = "serde")]
#[test]
fn serde_writes_what_to_json_writes() {
    let builder = telemetry_toolkit::builder();
    let telemetry =
        builder.from_variables(|name| (name == "OTEL_SDK_DISABLED").then(|| "true".into()));
    let snapshot = telemetry.init().unwrap().snapshot();
    let own: Value = serde_json::from_str(&snapshot.to_json()).unwrap();
    assert_eq!(serde_json::to_value(&snapshot).unwrap(), own);
}
