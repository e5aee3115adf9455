//! What the builder refuses, and what goes out on the wire.

use crate::support::{LONG, Outcomes, builder, logs, soon, started};
use std::time::Duration;
use telemetry_core::export::Exporter;
use telemetry_core::redaction::Secret;
use telemetry_otlp::receiver::{Answer, Receiver};
use telemetry_otlp::{Compression, OtlpExporter, Protocol};

#[test]
fn builder_refuses_what_cannot_work() {
    let build = OtlpExporter::builder;
    for (builder, named) in [
        (build().endpoint("https://c:4318"), "TLS is not compiled in"),
        (build().logs_endpoint("https://c:4318"), "TLS is not compiled in"),
        (build().endpoint("localhost:4318"), "otlp.endpoint"),
        (build().protocol(Protocol::Grpc).endpoint("https://c:4317"), "TLS is not compiled in"),
        (build().protocol(Protocol::Grpc).endpoint("http://c:4317/v1/logs"), "without a path"),
        (build().protocol(Protocol::Grpc).spans_endpoint("http://c:4317/?a=b"), "without a path"),
        (build().protocol(Protocol::Grpc).endpoint("c:4317"), "http://localhost:4318"),
        (build().header("grpc-timeout", "1S"), "the transport sets"),
        (build().header("a b", "c"), "otlp.header"),
        (build().header("a", "b\r\nx: y"), "otlp.header"),
        (build().request_bytes(1), "otlp.request_bytes"),
        (build().request_bytes(64 << 20), "otlp.request_bytes"),
        (build().concurrency(0), "otlp.concurrency"),
        (build().delay(Duration::MAX), "otlp.delay"),
        (build().retry_timeout(Duration::MAX), "otlp.retry_timeout"),
        (build().backoff(Duration::ZERO, Duration::ZERO), "otlp.backoff"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.is_setting() && error.to_string().contains(named), "{error}");
    }
}

#[test]
fn debug_of_builder_and_exporter_shows_no_secret() {
    let url = Secret::new("http://ann:canary@c:4318/x?key=canary".to_owned());
    let builder = OtlpExporter::builder()
        .endpoint(url.clone())
        .logs_endpoint(url)
        .header("x-key", Secret::new("canary".to_owned()));
    let shown = format!("{builder:#?} {:#?}", builder.clone().build().unwrap());
    assert!(!shown.contains("canary") && shown.contains("x-key"), "{shown}");
    let error = builder.endpoint("ftp://ann:canary@c/?key=canary").logs_endpoint("ftp://canary@c");
    let error = error.build().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[test]
fn request_has_the_headers_that_otlp_wants() {
    let receiver = Receiver::start().unwrap();
    let endpoint = format!("{}/below", receiver.endpoint());
    let builder = builder(Protocol::HttpProtobuf, &endpoint)
        .header("authorization", "Bearer t0ken")
        .header("X-Team", "a");
    let mut exporter = started(builder.compression(Compression::Gzip));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 100));
    exporter.flush(soon(LONG));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/below/v1/logs");
    let header = |name: &str| {
        let mut found = requests[0].headers.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.clone());
        assert!(found.next().is_none(), "{name} comes twice");
        value.unwrap_or_default()
    };
    assert_eq!(header("content-type"), "application/x-protobuf");
    assert_eq!(header("content-encoding"), "gzip");
    assert_eq!(header("authorization"), "Bearer t0ken");
    assert_eq!(header("x-team"), "a");
    let agent = concat!("telemetry-toolkit-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
    assert_eq!(header("user-agent"), agent);
    assert_eq!(header("content-length"), requests[0].body_bytes.to_string());
    assert_eq!(outcomes.logs().0, 100);
    exporter.shutdown(soon(LONG));
}

#[test]
fn redirects_are_not_followed() {
    let (receiver, other) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    for code in [301, 302, 307, 308] {
        let headers = vec![("location".to_owned(), format!("{}/v1/logs", other.endpoint()))];
        receiver.script([Answer::Status { code, headers, body: Vec::new() }]);
    }
    let mut exporter = started(
        builder(Protocol::HttpProtobuf, &receiver.endpoint())
            .header("authorization", "secret")
            .concurrency(1),
    );
    let outcomes = Outcomes::default();
    for number in 0..4 {
        outcomes.export(&mut exporter, logs(number, 1));
        exporter.flush(soon(LONG));
    }
    assert_eq!(receiver.requests().len(), 4);
    assert!(other.requests().is_empty());
    assert_eq!(outcomes.logs().0, 0);
    exporter.shutdown(soon(LONG));
}
