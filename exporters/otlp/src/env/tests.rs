//! Tables of what the environment may say (OTLP exporter specification; rules D1 to D5 of the
//! environment variable specification).

use crate::OtlpBuilder;

fn read(variables: &[(&str, &str)]) -> (OtlpBuilder, Vec<String>) {
    let (builder, warnings) = OtlpBuilder::from_variables(|name| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    (builder, warnings.iter().map(ToString::to_string).collect())
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

#[test]
fn base_endpoint_gets_the_signals_path() {
    for (endpoint, traces) in [
        ("", "http://localhost:4318/v1/traces"),
        ("  ", "http://localhost:4318/v1/traces"),
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("http://c:4318/mycollector/", "http://c:4318/mycollector/v1/traces"),
        ("http://c:4318/mycollector", "http://c:4318/mycollector/v1/traces"),
        ("http://c:4318//", "http://c:4318//v1/traces"),
        ("http://c", "http://c/v1/traces"),
        ("http://c:", "http://c/v1/traces"),
        ("HTTP://c:80", "http://c:80/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("http://c/a%00b", "http://c/a%00b/v1/traces"),
        ("http://c/a?token=t#part", "http://c/a/v1/traces"),
        ("http://user:password@c:1/a", "http://c:1/a/v1/traces"),
    ] {
        let (builder, warnings) = read(&[(ENDPOINT, endpoint)]);
        assert!(warnings.is_empty(), "{endpoint}: {warnings:?}");
        let [_, url, _] = builder.urls().unwrap();
        assert_eq!(url, traces, "{endpoint}");
    }
}

#[test]
fn endpoint_of_a_signal_is_used_as_it_is() {
    for (endpoint, traces) in [
        ("http://c:4318", "http://c:4318/"),
        ("http://c:4318/", "http://c:4318/"),
        ("http://c:4318/x/", "http://c:4318/x/"),
        ("http://c/x?y=z", "http://c/x?y=z"),
        ("http://user@c/x", "http://c/x"),
    ] {
        let (builder, warnings) = read(&[(ENDPOINT, "http://base:1"), (TRACES, endpoint)]);
        assert!(warnings.is_empty(), "{endpoint}: {warnings:?}");
        let urls = builder.urls().unwrap();
        let expected = ["http://base:1/v1/logs", traces, "http://base:1/v1/metrics"];
        assert_eq!(urls, expected, "{endpoint}");
    }
}

#[test]
fn endpoint_that_is_no_url_warns_and_leaves_the_default() {
    for endpoint in [
        "localhost:4318",
        "localhost",
        "unix:/run/otel.sock",
        "grpc://c:1",
        "http://",
        "http:///v1",
        "//c:1",
        "http://c:99999",
        "http://a b/",
        "http://user:hunter2@c:99999/",
    ] {
        let (builder, warnings) = read(&[(ENDPOINT, endpoint)]);
        assert_eq!(warnings.len(), 1, "{endpoint}");
        assert!(warnings[0].contains(ENDPOINT) && !warnings[0].contains("hunter2"), "{warnings:?}");
        let [logs, ..] = builder.urls().unwrap();
        assert_eq!(logs, "http://localhost:4318/v1/logs", "{endpoint}");
    }
}

#[test]
fn https_is_an_error_of_the_builder_and_never_plain_text() {
    let (builder, warnings) = read(&[(ENDPOINT, "https://user:hunter2@c:4318?key=hunter2")]);
    assert!(warnings.is_empty());
    let error = builder.build().unwrap_err();
    assert!(error.is_setting());
    let text = error.to_string();
    assert!(text.contains("TLS is not compiled in") && !text.contains("hunter2"), "{text}");
}

#[test]
fn headers_are_decoded_and_a_bad_pair_is_named_without_its_value() {
    let long = format!("long={}", "s3cret".repeat(200_000));
    for (text, warned) in [
        ("a=1,b=2", None),
        (" a = 1 , ,b=x%20y", None),
        ("a=x%3D%2c", None),
        ("a=key==", None),
        ("s3cret", Some("pair 1")),
        ("a=1,s3cret", Some("pair 2")),
        ("bad=%zzs3cret", Some("bad=[redacted]")),
        ("bad=s3cret%4", Some("bad=[redacted]")),
        ("bad=s3cret%0d%0ax-evil: 1", Some("bad=[redacted]")),
        ("bad=s3cret%00", Some("bad=[redacted]")),
        ("b\r\nad=s3cret", Some("b\\r\\nad=[redacted]")),
        ("b d=s3cret", Some("b d=[redacted]")),
        ("=s3cret", Some("=[redacted]")),
        ("content-length=s3cret", Some("content-length=[redacted]")),
        ("Host=s3cret", Some("Host=[redacted]")),
        (&long, Some("long=[redacted]")),
    ] {
        let (builder, warnings) = read(&[(HEADERS, text)]);
        let shown: String = text.chars().take(60).collect();
        assert_eq!(warnings.len(), usize::from(warned.is_some()), "{shown}: {warnings:?}");
        for (warning, warned) in warnings.iter().zip(warned) {
            assert!(warning.contains(warned), "{warning}");
            assert!(warning.contains(HEADERS) && !warning.contains("s3cret"), "{warning}");
        }
        let debug = format!("{builder:?}");
        assert!(!debug.contains("s3cret") && !debug.contains("x%20y") && !debug.contains("x y"));
        let exporter = builder.build().unwrap();
        let debug = format!("{exporter:?}");
        assert!(!debug.contains("s3cret") && !debug.contains("x y"), "{debug}");
    }
}

#[test]
fn header_values_are_percent_decoded() {
    let decoded =
        |text| super::percent_decoded(text).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(decoded("Basic%20YQ%3d%3D").as_deref(), Some("Basic YQ=="));
    assert_eq!(decoded("%C3%A4").as_deref(), Some("ä"));
    assert_eq!(decoded("100%"), None);
}

#[test]
fn values_that_cannot_be_read_warn_and_count_as_unset() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "99999999999"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ] {
        let (builder, warnings) = read(&[(name, value)]);
        assert_eq!(warnings.len(), 1, "{name}={value}");
        assert!(warnings[0].contains(name), "{}", warnings[0]);
        assert_eq!(format!("{builder:?}"), format!("{:?}", OtlpBuilder::default()));
    }
}

#[test]
fn values_that_can_be_read_do_not_warn() {
    let (builder, warnings) = read(&[
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Cumulative"),
    ]);
    assert!(warnings.is_empty(), "{warnings:?}");
    let debug = format!("{builder:?}");
    assert!(
        debug.contains("timeout: Some(None)") && debug.contains("Some(Some(250ms))"),
        "{debug}"
    );
    assert!(debug.contains("Some(Gzip)") && debug.contains("Some(None)"), "{debug}");
}
