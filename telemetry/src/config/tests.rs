//! Every setting is there with its origin.

use super::*;

fn config(variables: &[(&str, &str)]) -> Config {
    let variable = |name: &str| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    crate::builder().from_variables(variable).config()
}

/// The names that a part of a table with braces means: `A_{B,C}_[d_]E`.
fn expanded(name: &str) -> Vec<String> {
    let name = name.replace("[signal_]", "");
    let Some((before, rest)) = name.split_once('{') else { return vec![name] };
    let (choices, after) = rest.split_once('}').unwrap();
    choices.split(',').map(|choice| format!("{before}{choice}{after}")).collect()
}

/// The variables in the table of the crate's documentation.
fn documented() -> Vec<String> {
    let rows = include_str!("../lib.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    let names = rows.filter_map(|row| row.split(" | ").next());
    let names = names.flat_map(|cell| cell.split(", "));
    let names = names.map(|name| name.trim_matches('`')).filter(|name| {
        name.starts_with("RUST_") || name.starts_with("TELEMETRY_") || name.starts_with("OTEL_")
    });
    names.flat_map(expanded).collect()
}

#[test]
fn every_documented_variable_is_the_origin_of_what_it_sets() {
    let table = [
        ("RUST_LOG", "warn", "filter", "warn"),
        ("TELEMETRY_FILTER_FILE", "/etc/shop/filter", "filter_file", "/etc/shop/filter"),
        ("TELEMETRY_RATE_LIMIT", "50:200,audit=off", "rate_limit", "50:200,audit=off"),
        ("TELEMETRY_CONSOLE", "logfmt@stderr", "console", "logfmt@stderr"),
        ("TELEMETRY_JSON_FILE", "/var/log/x", "json_file", "/var/log/x"),
        ("TELEMETRY_WRITE_THROUGH", "1", "write_through", "on"),
        ("TELEMETRY_REDACT", "iban", "redact_names", "iban"),
        ("TELEMETRY_INSPECT", "auto", "inspect_socket", "auto"),
        ("TELEMETRY_STRICT", "1", "strict", "on"),
        ("OTEL_SERVICE_NAME", "shop", "resource `service.name`", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b", "resource `a`", "b"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "otlp", "logs, traces, metrics"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://x", "otlp", "logs"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x", "otlp", "traces"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://x", "otlp", "metrics"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2", "otlp.headers", "authorization"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500", "otlp.timeout", "500ms"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "otlp.compression", "gzip"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "otlp.protocol", "http/protobuf"),
        #[cfg(feature = "otlp-http")]
        ("OTEL_LOGS_EXPORTER", "otlp", "otlp", "logs"),
        ("OTEL_TRACES_EXPORTER", "console", "console.spans", "on"),
        ("OTEL_METRICS_EXPORTER", "none", "console.metrics", "off"),
        ("OTEL_TRACES_SAMPLER", "always_off", "sampler", "always_off"),
        ("OTEL_PROPAGATORS", "baggage", "propagators", "baggage"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500", "metric_interval", "500ms"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
            "metric_buckets",
            "exponential",
        ),
        ("OTEL_LOG_LEVEL", "none", "diagnostics", "none"),
        ("OTEL_SDK_DISABLED", "true", "disabled", "on"),
    ];
    for (name, value, setting, shown) in table {
        assert_eq!(config(&[(name, value)]).get(setting), Some((shown, name)), "{name}={value}");
    }
    // Parts of the sampler, and of the endpoint; and what has one value that can be used.
    let elsewhere = [
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_EXPORTER_OTLP_INSECURE",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    ];
    let documented = documented();
    assert!(documented.len() > 15, "{documented:?}");
    for name in documented {
        let is_elsewhere = elsewhere.iter().any(|start| name.starts_with(start));
        let is_here = table.iter().any(|(other, ..)| *other == name);
        assert!(is_here || is_elsewhere || cfg!(not(feature = "otlp-http")), "{name}");
    }
}

#[test]
fn what_is_said_last_is_the_origin() {
    let variable = |name: &str| (name == "RUST_LOG").then(|| "warn".to_owned());
    let first = crate::builder().filter("debug").from_variables(variable).config();
    assert_eq!(first.get("filter"), Some(("warn", "RUST_LOG")));
    let last = crate::builder().from_variables(variable).filter("debug").config();
    assert_eq!(last.get("filter"), Some(("debug", "program")));
    assert_eq!(crate::builder().config().get("filter"), Some(("info", "default")));
}

#[test]
fn a_variable_that_cannot_be_used_leaves_the_default_and_a_warning() {
    let config = config(&[("RUST_LOG", "inof"), ("OTEL_METRIC_EXPORT_INTERVAL", "soon")]);
    assert_eq!(config.get("filter"), Some(("info", "default")));
    assert_eq!(config.get("metric_interval"), Some(("60s", "default")));
    assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
}

#[test]
fn metrics_are_shown_as_they_were_set() {
    let builder = crate::builder()
        .histogram("db.*", [0.5, 1.0])
        .metric_label("region", "eu")
        .metric_label("api_key", "hunter2")
        .metric_idle_timeout(Duration::from_secs(600));
    let config = builder.config();
    assert_eq!(config.get("histogram `db.*`"), Some(("explicit 0.5, 1", "program")));
    assert_eq!(config.get("metric_label `region`"), Some(("eu", "program")));
    assert_eq!(config.get("metric_label `api_key`"), Some(("[redacted]", "program")));
    assert_eq!(config.get("metric_idle_timeout"), Some(("600s", "program")));
    assert_eq!(config.get("metric_buckets"), Some(("explicit, as suits the unit", "default")));
}

#[cfg(feature = "otlp-http")]
#[test]
fn how_records_go_to_a_collector_is_shown_with_its_origin() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@x"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "7"),
    ];
    let variable = |name: &str| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let builder = || crate::builder().from_variables(variable);
    let of_environment = builder().config();
    let endpoint = of_environment.get("otlp.endpoint");
    assert_eq!(endpoint, Some(("http://[redacted]@x", variables[0].0)));
    assert_eq!(of_environment.get("otlp.traces.timeout"), Some(("7ms", variables[1].0)));
    assert_eq!(of_environment.get("otlp.timeout"), Some(("10s", "default")));
    assert_eq!(of_environment.get("otlp.concurrency"), Some(("4", "default")));
    let of_program = builder().otlp_endpoint("http://y").config();
    assert_eq!(of_program.get("otlp.endpoint"), Some(("http://y", "program")));
    assert_eq!(of_program.get("otlp.traces.timeout"), Some(("7ms", variables[1].0)));
    let exporter = telemetry_otlp::OtlpExporter::builder().header("api-key", "hunter2").build();
    let made = builder().otlp(exporter.unwrap()).config();
    assert_eq!(made.get("otlp.logs.endpoint"), Some(("http://localhost:4318/v1/logs", "program")));
    assert_eq!(made.get("otlp.logs.headers"), Some(("api-key", "program")));
}

#[test]
fn secrets_are_not_shown() {
    let builder = crate::builder().resource("db.password", "hunter2");
    #[cfg(feature = "otlp-http")]
    let builder = builder.otlp_endpoint("http://user:hunter2@collector:4318/?key=hunter2");
    let config = builder.config();
    let all = format!("{config}{config:?}{}{}", config.line(), config.to_json());
    assert!(!all.contains("hunter2"), "{all}");
}
