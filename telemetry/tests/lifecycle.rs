//! The life of the one pipeline of a process: start, end, start again.
//!
//! One test, because the process has one.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]
#![expect(clippy::disallowed_macros, reason = "tests emit as users do")]

use std::time::Duration;
use telemetry_toolkit::ledger::Signal;
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{Builder, SinkBuilder, builder};

const PATIENCE: Duration = Duration::from_secs(10);

fn quiet(memory: &MemoryExporter) -> Builder {
    builder().no_console().poller(false).exporter(SinkBuilder::new(memory.clone())).exit_hook(false)
}

fn builder_errors_fail_init() {
    type Set = fn(Builder) -> Builder;
    let cases: [(&str, Set); 8] = [
        ("inof", |builder| builder.filter("inof")),
        ("app[span", |builder| builder.json_filter("app[span")),
        ("5ms", |builder| builder.poll_period(Duration::from_millis(5))),
        ("own", |builder| builder.measure("a", |_| Ok(())).measure("a", |_| Ok(()))),
        ("100", |builder| builder.buffer_bytes(100)),
        ("/no/such", |builder| builder.json_file("/no/such/directory/file")),
        ("metric_interval", |builder| {
            builder.otlp_endpoint("http://localhost:1").metric_interval(Duration::ZERO)
        }),
        ("https://collector", |builder| builder.otlp_endpoint("https://collector")),
    ];
    for (expected, set) in cases {
        let error = set(builder().no_console()).init().expect_err(expected);
        let text = error.to_string();
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

fn environment_errors_fail_only_strict_init() {
    let variables = |strict: &'static str| {
        move |name: &str| match name {
            "RUST_LOG" => Some("inof".to_owned()),
            "TELEMETRY_JSON_FILE" => Some("/no/such/directory/file".to_owned()),
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("https://no-tls".to_owned()),
            "OTEL_LOG_LEVEL" => Some("none".to_owned()),
            "TELEMETRY_STRICT" => Some(strict.to_owned()),
            _ => None,
        }
    };
    let memory = MemoryExporter::new("memory");
    let telemetry = quiet(&memory).from_variables(variables("0")).init().unwrap();
    tracing::info!("goes on with the defaults");
    let report = telemetry.shutdown();
    assert!(report.exporter("json").is_none() && report.exporter("otlp").is_none(), "{report}");
    assert!(report.is_complete() && report.is_balanced(), "{report}");
    let error = quiet(&memory).from_variables(variables("1")).init().unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("inof"), "{error}");
}

/// The file stands above `RUST_LOG`; one that cannot be read fails a strict `init` only.
fn filter_file_stands_above_the_environments_filter() {
    let path = std::env::temp_dir().join(format!("telemetry-filter-{}", std::process::id()));
    let variables = |strict: &'static str| {
        let path = path.to_str().unwrap().to_owned();
        move |name: &str| match name {
            "RUST_LOG" => Some("error".to_owned()),
            "TELEMETRY_FILTER_FILE" => Some(path.clone()),
            "OTEL_LOG_LEVEL" => Some("none".to_owned()),
            "TELEMETRY_STRICT" => Some(strict.to_owned()),
            _ => None,
        }
    };
    let memory = MemoryExporter::new("memory");
    let error = quiet(&memory).from_variables(variables("1")).init().unwrap_err();
    assert!(error.to_string().contains("telemetry-filter-"), "{error}");
    let telemetry = quiet(&memory).from_variables(variables("0")).init().unwrap();
    assert_eq!(telemetry.filters().of("memory"), Some("error".parse().unwrap()));
    let _ = telemetry.shutdown();

    std::fs::write(&path, "# wanted today\nwarn\nlifecycle=debug\n").unwrap();
    let memory = MemoryExporter::new("memory");
    let telemetry = quiet(&memory).from_variables(variables("1")).init().unwrap();
    tracing::debug!("as the file says");
    telemetry.filters().set("off").unwrap();
    tracing::error!("as the program says since");
    assert!(telemetry.shutdown().is_complete());
    assert_eq!(memory.events()[0].message(), Some("as the file says"));
    let texts: Vec<_> = memory.events().iter().map(|e| e.message().unwrap().to_owned()).collect();
    assert_eq!(texts[1..], ["the filter is `off`, and was `warn,lifecycle=debug` (by: program)"]);
    std::fs::remove_file(path).unwrap();
}

fn second_init_is_an_error_until_shutdown() {
    let memory = MemoryExporter::new("memory");
    let first = quiet(&memory).init().unwrap();
    let error = quiet(&MemoryExporter::new("memory")).init().unwrap_err();
    assert!(error.is_already_attached(), "{error}");
    tracing::info!(n = 1, "still there");
    log::info!("through log");
    metrics::counter!("lifecycle.test").increment(3);
    let report = first.flush(PATIENCE).unwrap();
    assert!(!report.timed_out && report.is_balanced(), "{report}");
    let report = first.shutdown();
    assert!(report.is_complete(), "{report}");
    let counts = report.exporters[0].counts(Signal::Log).clone();
    assert_eq!(counts.delivered, 2, "{report}");
    let value = telemetry_toolkit::metric::global().counter("lifecycle.test", ()).value();
    assert_eq!(value, 3);

    let memory = MemoryExporter::new("memory");
    let again = quiet(&memory).init().unwrap();
    tracing::info!("after a shutdown");
    again.flush(PATIENCE).unwrap();
    let records = memory.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].message(), Some("after a shutdown"));
    drop(again);
    drop(quiet(&memory).init().unwrap());
}

fn panic_is_an_event_and_the_earlier_hook_runs() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static WAS_CALLED: AtomicBool = AtomicBool::new(false);
    let memory = MemoryExporter::new("memory");
    let telemetry = quiet(&memory).init().unwrap();
    let thread = std::thread::Builder::new().name("unlucky".to_owned());
    let thread = thread.spawn(|| panic!("no {}", "luck")).unwrap();
    thread.join().unwrap_err();
    // The hook has flushed: nothing more is needed.
    let records = memory.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].target, "panic");
    assert_eq!(records[0].level, telemetry_toolkit::Level::Error);
    assert_eq!(records[0].message(), Some("no luck"));
    let text = |key| format!("{:?}", records[0].field(key));
    assert!(text("location").contains("lifecycle.rs"), "{records:?}");
    assert!(text("thread.name").contains("unlucky"), "{records:?}");
    drop(telemetry);

    let _ = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| WAS_CALLED.store(true, Ordering::SeqCst)));
    std::thread::Builder::new().spawn(|| panic!("again")).unwrap().join().unwrap_err();
    assert!(WAS_CALLED.load(Ordering::SeqCst));
    let _ = std::panic::take_hook();
}

fn disabled_does_nothing_and_can_be_called() {
    let variables = |name: &str| match name {
        "OTEL_SDK_DISABLED" => Some("true".to_owned()),
        "OTEL_LOG_LEVEL" => Some("none".to_owned()),
        _ => None,
    };
    let memory = MemoryExporter::new("memory");
    let telemetry = quiet(&memory).from_variables(variables).init().unwrap();
    tracing::info!("nobody listens");
    assert!(telemetry.flush(PATIENCE).unwrap().exporters.is_empty());
    assert!(telemetry.shutdown().is_complete());
    assert!(memory.records().is_empty());
}

fn what_comes_later_stands_above_what_came_before() {
    let variables = |name: &str| (name == "RUST_LOG").then(|| "warn".to_owned());
    let count = |builder: Builder| {
        let path = tempfile::NamedTempFile::new().unwrap();
        let telemetry = builder.no_console().poller(false).json_file(path.path()).init().unwrap();
        tracing::info!("info");
        tracing::event!(tracing::Level::WARN, "warn");
        let report = telemetry.shutdown();
        assert!(report.is_complete(), "{report}");
        let text = std::fs::read_to_string(path.path()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.iter().filter(|line| line["kind"] == "log").count()
    };
    assert_eq!(count(builder().filter("info").from_variables(variables)), 1);
    assert_eq!(count(builder().from_variables(variables).filter("info")), 2);
    assert_eq!(count(builder().from_variables(variables).json_filter("info")), 2);
}

#[test]
fn life_of_the_pipeline() {
    builder_errors_fail_init();
    environment_errors_fail_only_strict_init();
    filter_file_stands_above_the_environments_filter();
    second_init_is_an_error_until_shutdown();
    disabled_does_nothing_and_can_be_called();
    what_comes_later_stands_above_what_came_before();
    panic_is_an_event_and_the_earlier_hook_runs();
}
