//! The `OTEL_EXPORTER_OTLP_*` environment variables.
//!
//! # Invariants
//!
//! - An empty value is an unset one; what cannot be read is a warning and an unset one too
//!   (OpenTelemetry, "Environment Variable Specification").
//! - Nothing is read but through the caller's function, so tests change no environment.
//! - A warning about a header shows its name only.
//! - What was meant for one peer goes to no other: an endpoint that cannot be used refuses its
//!   signals, and so does one for a protocol that is not compiled in.

use crate::config::{self, Compression, Lane, Protocol};
use crate::exporter::OtlpBuilder;
use std::time::Duration;
use telemetry_core::Error;

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Sets what the environment says, and returns what could not be used. `grpc` is the protocol of
/// that name, if it is compiled in.
pub(crate) fn read(
    builder: &mut OtlpBuilder,
    variable: Lookup<'_>,
    grpc: Option<Protocol>,
) -> Vec<Error> {
    let mut warnings = Vec::new();
    let mut scope = |builder: &mut OtlpBuilder, lane| {
        let is_spoken = read_protocol(builder, lane, variable, grpc, &mut warnings);
        check_insecure(lane, variable, &mut warnings);
        let endpoint = read_endpoint(builder, lane, variable, &mut warnings);
        read_rest(builder, lane, variable, &mut warnings);
        Scope { is_spoken, endpoint }
    };
    let common = scope(builder, None);
    for lane in Lane::ALL {
        let own = scope(builder, Some(lane));
        let is_spoken = own.is_spoken.or(common.is_spoken).unwrap_or(true);
        if own.endpoint.or(common.endpoint).is_some_and(|is_usable| !is_usable || !is_spoken) {
            builder.refuse(lane.signals());
        }
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

/// Can what is set in a scope be used? `None` = it is not set.
struct Scope {
    is_spoken: Option<bool>,
    endpoint: Option<bool>,
}

/// Is the protocol one that is compiled in? `None` = none is set, or none that is known.
fn read_protocol(
    builder: &mut OtlpBuilder,
    lane: Option<Lane>,
    variable: Lookup<'_>,
    grpc: Option<Protocol>,
    warnings: &mut Vec<Error>,
) -> Option<bool> {
    let (name, value) = get(variable, lane, "PROTOCOL")?;
    let mut warn = |right| warnings.push(Error::setting(&name, &value, right));
    match (value.to_ascii_lowercase().as_str(), grpc) {
        ("http/protobuf", _) => builder.set_protocol(lane, Protocol::HttpProtobuf),
        ("grpc", Some(grpc)) => builder.set_protocol(lane, grpc),
        ("grpc", None) => {
            warn("`http/protobuf`: gRPC needs the cargo feature `otlp-grpc`, which is off");
            return Some(false);
        }
        _ => {
            warn("`grpc` or `http/protobuf`, so it is ignored");
            return None;
        }
    }
    Some(true)
}

/// Can the endpoint be used? `None` = none is set.
fn read_endpoint(
    builder: &mut OtlpBuilder,
    lane: Option<Lane>,
    variable: Lookup<'_>,
    warnings: &mut Vec<Error>,
) -> Option<bool> {
    let (name, value) = get(variable, lane, "ENDPOINT")?;
    let plain = || is_insecure(lane, variable);
    match endpoint_of(builder.protocol_of(lane), &name, value, plain) {
        Ok(url) => builder.set_endpoint(lane, url),
        Err(warning) => {
            warnings.push(warning);
            return Some(false);
        }
    }
    Some(true)
}

/// Warns about what says neither that a gRPC endpoint without a scheme is insecure nor that not.
fn check_insecure(lane: Option<Lane>, variable: Lookup<'_>, warnings: &mut Vec<Error>) {
    let Some((name, value)) = get(variable, lane, "INSECURE") else { return };
    if !["true", "false"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
        warnings.push(Error::setting(&name, &value, "`true` or `false`, which is used instead"));
    }
}

/// What stands for the scheme of a gRPC endpoint that has none.
fn is_insecure(lane: Option<Lane>, variable: Lookup<'_>) -> bool {
    let own = lane.and_then(|lane| get(variable, Some(lane), "INSECURE"));
    let said = own.or_else(|| get(variable, None, "INSECURE"));
    said.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
}

/// The endpoint as a URL.
fn endpoint_of(
    protocol: Protocol,
    name: &str,
    value: String,
    is_insecure: impl FnOnce() -> bool,
) -> Result<String, Error> {
    let lacks_scheme = protocol != Protocol::HttpProtobuf && !value.contains("://");
    let url = if lacks_scheme && is_insecure() { format!("http://{value}") } else { value };
    if lacks_scheme && !url.contains("://") {
        let right = "a URL such as `http://localhost:4317`, or stand beside \
            `OTEL_EXPORTER_OTLP_INSECURE=true`: TLS is not compiled in";
        return Err(Error::setting(name, config::redacted(&url), right));
    }
    // `https` passes here and fails in `build`: falling back to plain text would leak.
    config::check(protocol, name, &url).map(|()| url)
}

fn read_rest(
    builder: &mut OtlpBuilder,
    lane: Option<Lane>,
    variable: Lookup<'_>,
    warnings: &mut Vec<Error>,
) {
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
