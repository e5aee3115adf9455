//! `OTEL_RESOURCE_ATTRIBUTES`: all pairs or none, none of its values in the warning, and what is
//! written percent-encoded is read.

#![no_main]

use libfuzzer_sys::fuzz_target;

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn builder(attributes: &str) -> telemetry_toolkit::Builder {
    let variable = |name: &str| match name {
        "OTEL_RESOURCE_ATTRIBUTES" => Some(attributes.to_owned()),
        _ => None,
    };
    telemetry_toolkit::builder().from_variables(variable)
}

fuzz_target!(|text: &str| {
    let _ = format!("{:?}", builder(text));
    if text.len() < 1000 {
        let pair = format!("key={},other=1", percent_encoded(text));
        let shown = format!("{:?}", builder(&pair));
        assert!(shown.contains("\"other\": \"1\""), "{shown}");
        let hidden = format!("{:?}", builder(&format!("token={}", percent_encoded(text))));
        assert!(hidden.contains("\"token\": \"[redacted]\""), "{hidden}");
    }
});
