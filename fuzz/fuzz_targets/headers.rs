//! `OTEL_EXPORTER_OTLP_HEADERS` and `…_ENDPOINT`: no value of a header and no user information is in
//! a warning, an error or `Debug`; what is written percent-encoded is a header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry_otlp::OtlpBuilder;

const SECRET: &str = "SeCrEt";

fn read(headers: &str, endpoint: &str) -> (OtlpBuilder, String) {
    let (builder, warnings) = OtlpBuilder::from_variables(|name| match name {
        "OTEL_EXPORTER_OTLP_HEADERS" => Some(headers.to_owned()),
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" => Some(endpoint.to_owned()),
        _ => None,
    });
    let shown = format!("{builder:?} {warnings:?}");
    (builder, shown)
}

fn build(builder: OtlpBuilder, shown: &mut String) -> bool {
    let built = builder.build();
    shown.push_str(&format!("{built:?}"));
    built.is_ok()
}

fuzz_target!(|text: &str| {
    let (builder, mut shown) = read(text, text);
    build(builder, &mut shown);
    if text.contains(SECRET) {
        return; // where it may stand, in a header's name for example
    }
    // The text around a secret, where one may stand.
    let pair: String = text.chars().filter(|c| *c != ',').collect();
    let user: String = text.chars().filter(|c| !"/?#\\ ".contains(*c)).collect();
    let (builder, mut shown) =
        read(&format!("{text},x={SECRET}{pair}"), &format!("http://{user}{SECRET}:{SECRET}@host/"));
    build(builder, &mut shown);
    assert!(!shown.contains(SECRET), "{shown}");
    let value: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let is_value = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if text.len() < 2000 && text.bytes().all(is_value) {
        let (builder, mut shown) = read(&format!(" x-y = {value} ,"), "");
        assert!(build(builder, &mut shown) && shown.contains("x-y"), "{shown}");
    }
});
