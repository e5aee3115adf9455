//! Variables that cannot be used: each is a warning with what would be right, and the service goes
//! on with the default; with `TELEMETRY_STRICT=1` it does not start.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]
#![allow(clippy::disallowed_macros, reason = "tests emit")]

mod surroundings;

use std::cell::RefCell;
use std::collections::BTreeSet;
use surroundings::{child, is_child};
use telemetry_toolkit::builder;
use telemetry_toolkit::receiver::Receiver;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What is not what it should be.
const WRONG: &[(&str, &str)] = &[
    ("RUST_LOG", "inof"),
    ("RUST_LOG", "app[span{=info"),
    ("TELEMETRY_CONSOLE", "colourful"),
    ("TELEMETRY_CONSOLE", "json@file"),
    ("TELEMETRY_STRICT", "maybe"),
    ("TELEMETRY_RATE_LIMIT", "plenty"),
    ("TELEMETRY_INSPECT", "true"),
    ("TELEMETRY_REDACT", "-"),
    ("TELEMETRY_WRITE_THROUGH", "maybe"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/client.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/client.key"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "perhaps"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "-5"),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "exponential"),
    ("OTEL_LOGS_EXPORTER", "otlp,logging"),
    ("OTEL_LOG_LEVEL", "loud"),
    ("OTEL_METRICS_EXPORTER", "prometheus"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "1s"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ("OTEL_PROPAGATORS", "b3"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c"),
    ("OTEL_SDK_DISABLED", "yes"),
    ("OTEL_TRACES_EXPORTER", "zipkin"),
    ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ("OTEL_TRACES_SAMPLER_ARG", "half"),
];

/// What may hold a secret, or tells where one is.
const REDACTED: &[&str] = &[
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
];

/// What names something that cannot be had.
const UNAVAILABLE: &[(&str, &str)] = &[
    ("TELEMETRY_FILTER_FILE", "/no/such/directory/filter"),
    ("TELEMETRY_INSPECT", "/no/such/directory/socket"),
    ("TELEMETRY_JSON_FILE", "/no/such/directory/file.jsonl"),
];

/// Every text is a name.
const FREE: &[&str] = &["OTEL_SERVICE_NAME"];

/// The variables that the facade asks for.
fn asked() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    drop(builder().from_variables(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    }));
    asked.into_inner()
}

/// What a child with a variable writes to its standard output and to standard error.
fn run(test: &str, name: &str, value: &str, strict: bool) -> (String, String) {
    let mut command = child(test);
    let collector = Receiver::start().unwrap();
    if name.starts_with("OTEL_EXPORTER_OTLP_") {
        command.env(ENDPOINT, collector.endpoint());
    }
    if name == "OTEL_TRACES_SAMPLER_ARG" {
        command.env("OTEL_TRACES_SAMPLER", "traceidratio");
    }
    if strict {
        command.env("TELEMETRY_STRICT", "1");
    }
    let output = command.env(name, value).output().unwrap();
    assert!(output.status.success(), "{name}={value}: {output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn variable_that_cannot_be_used_is_named_with_what_would_be_right() {
    const TEST: &str = "variable_that_cannot_be_used_is_named_with_what_would_be_right";
    if is_child() {
        match builder().from_env().init() {
            Ok(telemetry) => {
                tracing::error!("the service goes on");
                assert!(telemetry.shutdown().is_complete());
            }
            Err(error) => println!("refused: {error:?}"),
        }
        return;
    }
    for (name, value) in WRONG.iter().chain(UNAVAILABLE) {
        let (output, errors) = run(TEST, name, value, false);
        let (shown, why): (&str, &str) = match *name {
            _ if REDACTED.contains(name) => ("[redacted]", ", but must be "),
            "RUST_LOG" => (value, ", but "),
            _ if UNAVAILABLE.contains(&(name, value)) => (value, ""),
            _ => (value, ", but must be "),
        };
        let is_told =
            |named: &str, text: &str| [named, shown, why].iter().all(|part| text.contains(part));
        // The file is followed: whether it is there is told again and again.
        let named = if *name == "TELEMETRY_FILTER_FILE" { "the filter file `" } else { *name };
        assert!(is_told(named, &errors), "{name}={value}: {errors}");
        assert_eq!(errors.matches("telemetry WARN ").count(), 1, "{name}={value}: {errors}");
        assert!(output.contains("the service goes on"), "{name}={value}: {output}");
        if *name != "TELEMETRY_STRICT" {
            let (output, _) = run(TEST, name, value, true);
            let refused = output.lines().find_map(|line| Some(line.split_once("refused: ")?.1));
            assert!(is_told(name, refused.expect(&output)), "{name}={value}: {output}");
        }
    }
}

#[test]
fn every_variable_is_tried() {
    let tried: Vec<_> = WRONG.iter().chain(UNAVAILABLE).map(|(name, _)| *name).collect();
    for name in asked() {
        let is_of_signal = name.starts_with("OTEL_EXPORTER_OTLP_");
        let signals = ["_LOGS", "_TRACES", "_METRICS"].iter().filter(|_| is_of_signal);
        let general = signals.fold(name.clone(), |name, signal| name.replacen(signal, "", 1));
        let is_tried = tried.contains(&name.as_str()) || tried.contains(&general.as_str());
        assert!(is_tried || FREE.contains(&name.as_str()), "{name}");
    }
}
