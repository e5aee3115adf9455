//! The `OTEL_EXPORTER_OTLP_*` environment variables.
//!
//! # Invariants
//!
//! - An empty value is an unset one; what cannot be read is a warning and an unset one too
//!   (OpenTelemetry, "Environment Variable Specification").
//! - Nothing is read but through the caller's function, so tests change no environment.
//! - A warning about a header shows its name only.

use crate::config::{self, Compression, Lane};
use crate::exporter::OtlpBuilder;
use std::time::Duration;
use telemetry_core::Error;

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Sets what the environment says, and returns what could not be used.
pub(crate) fn read(builder: &mut OtlpBuilder, variable: Lookup<'_>) -> Vec<Error> {
    let mut warnings = Vec::new();
    read_scope(builder, None, variable, &mut warnings);
    for lane in Lane::ALL {
        read_scope(builder, Some(lane), variable, &mut warnings);
    }
    unsupported(variable, &mut warnings);
    warnings
}

fn name_of(lane: Option<Lane>, option: &str) -> String {
    match lane {
        None => format!("OTEL_EXPORTER_OTLP_{option}"),
        Some(lane) => format!("OTEL_EXPORTER_OTLP_{}_{option}", lane.variable()),
    }
}

/// The name and value of a variable that is set.
fn get(variable: Lookup<'_>, lane: Option<Lane>, option: &str) -> Option<(String, String)> {
    let name = name_of(lane, option);
    let value = variable(&name)?;
    let value = value.trim();
    (!value.is_empty()).then(|| (name, value.to_owned()))
}

fn read_scope(
    builder: &mut OtlpBuilder,
    lane: Option<Lane>,
    variable: Lookup<'_>,
    warnings: &mut Vec<Error>,
) {
    if let Some((name, value)) = get(variable, lane, "ENDPOINT") {
        match config::check(&name, &value) {
            // `https` passes here and fails in `build`: falling back to plain text would leak.
            Ok(()) => builder.set_endpoint(lane, value),
            Err(warning) => warnings.push(warning),
        }
    }
    if let Some((name, value)) = get(variable, lane, "HEADERS") {
        headers(&name, &value, warnings, |key, value| builder.set_header(lane, key, value));
    }
    if let Some((name, value)) = get(variable, lane, "TIMEOUT") {
        match value.parse::<u32>() {
            Ok(0) => builder.set_timeout(lane, None),
            Ok(ms) => builder.set_timeout(lane, Some(Duration::from_millis(u64::from(ms)))),
            Err(_) => warnings.push(Error::setting(&name, &value, "a number of milliseconds")),
        }
    }
    if let Some((name, value)) = get(variable, lane, "COMPRESSION") {
        match value.to_ascii_lowercase().as_str() {
            "gzip" => builder.set_compression(lane, Compression::Gzip),
            "none" => builder.set_compression(lane, Compression::None),
            _ => warnings.push(Error::setting(&name, &value, "`gzip` or `none`")),
        }
    }
    if let Some((name, value)) = get(variable, lane, "PROTOCOL")
        && !value.eq_ignore_ascii_case("http/protobuf")
    {
        let right = "`http/protobuf`, which is used instead";
        warnings.push(Error::setting(&name, &value, right));
    }
    for option in ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"] {
        if let Some((name, _)) = get(variable, lane, option) {
            warnings.push(Error::setting(&name, "[redacted]", "unset: TLS is not compiled in"));
        }
    }
}

/// The variable whose only supported value is the default.
fn unsupported(variable: Lookup<'_>, warnings: &mut Vec<Error>) {
    if let Some((name, value)) = get(variable, Some(Lane::Metrics), "TEMPORALITY_PREFERENCE")
        && !value.eq_ignore_ascii_case("cumulative")
    {
        warnings.push(Error::setting(&name, &value, "`cumulative`, which is used instead"));
    }
}

/// Reads `k1=v1,k2=v2`, percent-encoded as W3C baggage, without properties.
fn headers(
    setting: &str,
    text: &str,
    warnings: &mut Vec<Error>,
    mut set: impl FnMut(String, Vec<u8>),
) {
    for (n, pair) in text.split(',').enumerate() {
        let pair = pair.trim();
        if pair.is_empty() {
            continue;
        }
        let Some((name, value)) = pair.split_once('=') else {
            // A pair without `=` may be all secret: its place is all that is shown.
            let place = format!("pair {} ([redacted])", n + 1);
            warnings.push(Error::setting(setting, place, "`name=value`"));
            continue;
        };
        let name = name.trim();
        let Some(value) = percent_decoded(value.trim()) else {
            let shown: String = name.escape_default().take(64).collect();
            let shown = format!("{shown}=[redacted]");
            warnings.push(Error::setting(setting, shown, "percent-encoded"));
            continue;
        };
        match config::header_of(setting, name, &value) {
            Ok(_) => set(name.to_owned(), value),
            Err(warning) => warnings.push(warning),
        }
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push((digit()? * 16 + digit()?) as u8);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
