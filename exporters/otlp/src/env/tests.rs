//! Tables of what the environment may say (OTLP exporter specification; rules D1 to D5 of the
//! environment variable specification).

use crate::OtlpBuilder;
use proptest::prelude::*;
use telemetry_core::export::Signals;

fn read(variables: &[(&str, &str)]) -> (OtlpBuilder, Vec<String>) {
    let (builder, warnings) = OtlpBuilder::from_variables(|name| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    (builder, warnings.iter().map(ToString::to_string).collect())
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
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

proptest! {
    #[test]
    fn headers_that_are_percent_encoded_are_sent(
        pairs in prop::collection::vec(("x-[a-zA-Z0-9_.!-]{1,9}", "[\t -~é-ÿ]{0,20}"), 0..6),
    ) {
        let encoded = |text: &str| -> String {
            text.bytes().map(|byte| format!("%{byte:02x}")).collect()
        };
        let pair = |(name, value): &(String, String)| format!(" {name} =\t{} ,", encoded(value));
        let text: String = pairs.iter().map(pair).collect();
        let (builder, warnings) = read(&[(HEADERS, &text)]);
        prop_assert!(warnings.is_empty(), "{:?}", warnings);
        let headers = builder.logs_lane().unwrap().headers;
        for (name, _) in &pairs {
            let is_it = |other: &&(String, String)| other.0.eq_ignore_ascii_case(name);
            let last = pairs.iter().rev().find(is_it).unwrap();
            prop_assert_eq!(headers[name].as_bytes(), last.1.as_bytes());
        }
    }

    #[test]
    fn any_headers_and_endpoint_show_no_secret(
        text in prop_oneof!["[a-z=,%:/@ ]{0,30}", any::<String>()],
    ) {
        let no_comma = text.replace(',', "");
        let (builder, warnings) = read(&[
            (HEADERS, &format!("{text},x=hunter2{no_comma}")),
            (TRACES, &format!("http://{}:hunter2@host/?{text}=hunter2", no_comma.replace('/', ""))),
        ]);
        let shown = format!("{builder:?} {warnings:?} {:?}", builder.clone().build());
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }
}

#[test]
fn values_that_cannot_be_read_warn_and_count_as_unset() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "99999999999"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC/web"),
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
fn protocol_that_is_unknown_warns_and_is_http() {
    let (builder, warnings) =
        read(&[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"), (ENDPOINT, "http://c:4318")]);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` is `http/json`"), "{warning}");
    assert!(warning.contains("`grpc` or `http/protobuf`"), "{warning}");
    assert_eq!(builder.urls().unwrap()[1], "http://c:4318/v1/traces");
    assert_eq!(builder.refused(), Signals::NONE);
}

#[test]
fn endpoint_that_cannot_be_used_refuses_its_signals() {
    let two = Signals::LOGS | Signals::METRICS;
    for (variables, refused) in [
        (&[(ENDPOINT, "http://c"), (TRACES, "http://c")][..], Signals::NONE),
        (&[(ENDPOINT, "c:1"), (TRACES, "http://c")], two),
        (&[(ENDPOINT, "http://c"), (TRACES, "c:1")], Signals::SPANS),
        (&[(ENDPOINT, "c:1")], Signals::ALL),
        (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Signals::NONE),
    ] {
        assert_eq!(read(variables).0.refused(), refused, "{variables:?}");
    }
}

#[test]
fn grpc_that_is_not_compiled_in_refuses_what_was_meant_for_it() {
    let mut builder = OtlpBuilder::default();
    let variables = |name: &str| match name {
        ENDPOINT => Some("http://c:4317".to_owned()),
        TRACES_PROTOCOL => Some("grpc".to_owned()),
        _ => None,
    };
    let warnings = super::read(&mut builder, &variables, None);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let warning = warning.to_string();
    assert!(warning.contains(TRACES_PROTOCOL) && warning.contains("`otlp-grpc`"), "{warning}");
    assert_eq!(builder.refused(), Signals::SPANS);
}

#[cfg(feature = "otlp-grpc")]
mod grpc {
    use super::*;
    use crate::config::Lane;

    const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const INSECURE: &str = "OTEL_EXPORTER_OTLP_INSECURE";

    #[test]
    fn endpoints_have_no_path_and_may_lack_the_scheme_if_they_are_insecure() {
        for (endpoint, insecure, origin) in [
            ("", "", "http://localhost:4317"),
            ("http://c", "", "http://c"),
            ("http://c:4317/", "", "http://c:4317"),
            ("http://user:password@c:1", "", "http://c:1"),
            // The scheme stands above the other variable.
            ("http://c:1", "false", "http://c:1"),
            ("c:4317", "true", "http://c:4317"),
            ("localhost", "TRUE", "http://localhost"),
            ("[::1]:4317", "true", "http://[::1]:4317"),
        ] {
            let variables = [(PROTOCOL, "grpc"), (ENDPOINT, endpoint), (INSECURE, insecure)];
            let (builder, warnings) = read(&variables);
            assert!(warnings.is_empty(), "{endpoint}: {warnings:?}");
            let expected = Lane::ALL.map(|lane| format!("{origin}{}", lane.method()));
            assert_eq!(builder.urls().unwrap(), expected, "{endpoint}");
        }
    }

    #[test]
    fn endpoint_that_cannot_be_used_warns_and_refuses() {
        for (endpoint, insecure, warned) in [
            ("c:4317", "", "OTEL_EXPORTER_OTLP_INSECURE=true"),
            ("c:4317", "false", "OTEL_EXPORTER_OTLP_INSECURE=true"),
            ("http://c:4317/v1/logs", "", "without a path"),
            ("http://c:99999", "", "a URL"),
            ("unix:///run/otel.sock", "true", "a URL"),
        ] {
            let variables = [(PROTOCOL, "grpc"), (ENDPOINT, endpoint), (INSECURE, insecure)];
            let (builder, warnings) = read(&variables);
            let [warning] = warnings.as_slice() else { panic!("{endpoint}: {warnings:?}") };
            assert!(warning.contains(ENDPOINT) && warning.contains(warned), "{warning}");
            assert_eq!(builder.refused(), Signals::ALL);
        }
        let (_, warnings) = read(&[(PROTOCOL, "grpc"), (ENDPOINT, "c"), (INSECURE, "1")]);
        assert!(warnings[0].contains(INSECURE), "{warnings:?}");
    }

    #[test]
    fn https_is_an_error_of_the_builder_although_it_is_insecure() {
        let variables = [(PROTOCOL, "grpc"), (ENDPOINT, "https://c:4317"), (INSECURE, "true")];
        let (builder, warnings) = read(&variables);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(builder.build().unwrap_err().to_string().contains("TLS is not compiled in"));
    }

    #[test]
    fn signals_have_protocols_of_their_own() {
        let (builder, warnings) = read(&[(PROTOCOL, "GRPC"), (TRACES_PROTOCOL, "http/protobuf")]);
        assert!(warnings.is_empty(), "{warnings:?}");
        let [logs, spans, _] = builder.urls().unwrap();
        assert_eq!(logs, format!("http://localhost:4317{}", Lane::Logs.method()));
        assert_eq!(spans, "http://localhost:4318/v1/traces");
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
