//! Tables: variable, value, what becomes of it.

use super::*;

fn read_one(name: &'static str, value: &str) -> (Settings, Vec<Warning>) {
    read(&|asked| (asked == name).then(|| value.to_owned()))
}

fn read_all(variables: &[(&str, &str)]) -> (Settings, Vec<Warning>) {
    read(&|asked| {
        let found = variables.iter().find(|(name, _)| *name == asked);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn filter(text: &str) -> Option<Filter> {
    Some(text.parse().unwrap())
}

#[test]
fn what_can_be_read_is_taken() {
    let none = Settings::default;
    let console = |format, stream| Settings { console: Some(Console { format, stream }), ..none() };
    let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let table = [
        ("OTEL_SDK_DISABLED", "TRUE", Settings { disabled: true, ..none() }),
        ("OTEL_SDK_DISABLED", "false", none()),
        ("TELEMETRY_STRICT", "1", Settings { strict: true, ..none() }),
        ("TELEMETRY_STRICT", "true", Settings { strict: true, ..none() }),
        ("RUST_LOG", "warn,app=debug", Settings { filter: filter("warn,app=debug"), ..none() }),
        ("TELEMETRY_CONSOLE", "auto", console(Format::Auto, None)),
        ("TELEMETRY_CONSOLE", "off", console(Format::Off, None)),
        ("TELEMETRY_CONSOLE", "pretty", console(Format::Pretty, None)),
        ("TELEMETRY_CONSOLE", "compact", console(Format::Compact, None)),
        ("TELEMETRY_CONSOLE", "JSON@stderr", console(Format::Json, Some(Stream::Stderr))),
        ("TELEMETRY_CONSOLE", "logfmt@stdout", console(Format::Logfmt, Some(Stream::Stdout))),
        ("TELEMETRY_INSPECT", "/x", Settings { inspect: Some("/x".into()), ..none() }),
        ("TELEMETRY_JSON_FILE", "/x/y", Settings { json_file: Some("/x/y".into()), ..none() }),
        ("TELEMETRY_WRITE_THROUGH", "1", Settings { write_through: Some(true), ..none() }),
        ("TELEMETRY_WRITE_THROUGH", "false", Settings { write_through: Some(false), ..none() }),
        ("OTEL_SERVICE_NAME", "shop", Settings { service_name: Some("shop".to_owned()), ..none() }),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%20", Settings { resource: pair("a", " "), ..none() }),
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "500",
            Settings { metric_interval: Some(Duration::from_millis(500)), ..none() },
        ),
        ("OTEL_LOG_LEVEL", "none", Settings { diagnostics: Some(None), ..none() }),
        ("OTEL_LOG_LEVEL", "Warn", Settings { diagnostics: Some(Some(Level::Warn)), ..none() }),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://x",
            Settings { endpoints: Endpoints(Signals::ALL), ..none() },
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://x",
            Settings { endpoints: Endpoints(Signals::SPANS), ..none() },
        ),
        ("OTEL_PROPAGATORS", "none", Settings { propagators: Some(Propagators::NONE), ..none() }),
        (
            "OTEL_PROPAGATORS",
            "baggage,tracecontext,baggage",
            Settings { propagators: Some(Propagators::default()), ..none() },
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "always_off",
            Settings { sampler: Some(HeadSampler::always_off()), ..none() },
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "ParentBased_Always_On",
            Settings { sampler: Some(HeadSampler::always_on().parent_based()), ..none() },
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "traceidratio",
            Settings { sampler: Some(HeadSampler::always_on()), ..none() },
        ),
    ];
    for (name, value, expected) in table {
        let (settings, warnings) = read_one(name, value);
        assert_eq!(settings, expected, "{name}={value}");
        assert!(warnings.is_empty(), "{name}={value}: {warnings:?}");
    }
}

#[test]
fn default_buckets_of_histograms_are_those_of_the_specification() {
    for (value, buckets) in [
        ("Base2_Exponential_Bucket_Histogram", Some(Buckets::exponential())),
        ("explicit_bucket_histogram", None),
    ] {
        let (settings, warnings) = read_one(AGGREGATION, value);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(settings.default_buckets, Some(buckets));
    }
}

#[test]
fn what_cannot_be_read_warns_and_counts_as_unset() {
    let table = [
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("TELEMETRY_STRICT", "maybe"),
        ("TELEMETRY_WRITE_THROUGH", "yes"),
        ("RUST_LOG", "inof"),
        ("RUST_LOG", "app[span=info"),
        ("TELEMETRY_CONSOLE", "colourful"),
        ("TELEMETRY_CONSOLE", "json@file"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "exponential"),
        ("OTEL_LOG_LEVEL", "loud"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_LOGS_EXPORTER", "otlp,logging"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "parentbased_"),
        ("OTEL_PROPAGATORS", "b3"),
    ];
    for (name, value) in table {
        let (settings, warnings) = read_one(name, value);
        assert_eq!(settings, Settings::default(), "{name}={value}");
        let [(variable, error)] = warnings.as_slice() else {
            panic!("{name}={value}: {warnings:?}")
        };
        assert_eq!(*variable, name);
        assert!(error.is_setting(), "{error}");
        assert!(error.to_string().starts_with(&format!("`{name}` is ")), "{error}");
    }
}

#[test]
fn known_propagators_count_beside_unknown_ones() {
    let (settings, warnings) = read_one("OTEL_PROPAGATORS", "b3,tracecontext,jaeger");
    assert_eq!(settings.propagators, Some(Propagators::TRACE_CONTEXT));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn names_to_redact_are_a_list() {
    let (settings, warnings) = read_one("TELEMETRY_REDACT", "iban, ,session_id,");
    assert_eq!(settings.redact, ["iban", "session_id"]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn empty_is_unset() {
    let (settings, warnings) = read(&|_| Some("  ".to_owned()));
    assert_eq!(settings, Settings::default());
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn otlp_takes_what_is_said_for_a_signal_and_else_what_it_had() {
    let said = |traces, logs| {
        read_all(&[("OTEL_TRACES_EXPORTER", traces), ("OTEL_LOGS_EXPORTER", logs)]).0.exporters
    };
    let two = Signals::LOGS | Signals::SPANS;
    let table = [
        (said("", ""), Signals::NONE, Signals::NONE),
        (said("", ""), Signals::ALL, Signals::ALL),
        (said("otlp", ""), Signals::NONE, Signals::SPANS),
        (said("otlp,console", "OTLP"), Signals::NONE, two),
        (said("none", ""), Signals::ALL, Signals::LOGS | Signals::METRICS),
        (said("console", "none"), Signals::ALL, Signals::METRICS),
    ];
    for (exporters, before, expected) in table {
        assert_eq!(exporters.otlp(before), expected, "{exporters:?} {before:?}");
    }
}

#[test]
fn ratio_of_the_sampler_is_one_unless_it_can_be_read() {
    let ratio = |text| {
        let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        read_all(&[sampler, ("OTEL_TRACES_SAMPLER_ARG", text)])
    };
    let table = [("0.25", 0.25, 0), ("", 1.0, 0), ("half", 1.0, 1), ("2", 1.0, 1), ("NaN", 1.0, 1)];
    for (text, expected, warned) in table {
        let (settings, warnings) = ratio(text);
        let expected = HeadSampler::trace_id_ratio(expected).unwrap().parent_based();
        assert_eq!(settings.sampler, Some(expected), "{text}");
        assert_eq!(warnings.len(), warned, "{text}");
    }
}
