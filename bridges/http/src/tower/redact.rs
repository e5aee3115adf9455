//! What of an address is not told: values of parameters that are secrets, and user information.
//!
//! # Invariants
//!
//! - A value that is left out is left out whole, and its name stays.
//! - Names are read as they stand, percent-encoded or not.

use http::Uri;
use std::borrow::Cow;
use telemetry_core::redaction;

const REDACTED: &str = "REDACTED";

/// The parameters that OpenTelemetry's conventions name (`url.query`), and one more of a cloud's.
/// The others are those whose names the process's redaction denies to fields: `token`, `password`.
const SIGNATURES: [&str; 5] =
    ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "X-Amz-Signature"];

/// Is the value of a parameter a secret?
fn is_secret(name: &str) -> bool {
    let name = decoded(name);
    SIGNATURES.iter().any(|known| known.eq_ignore_ascii_case(&name)) || redaction::is_secret(&name)
}

/// A query as it may be told.
pub(super) fn query(query: &str) -> Cow<'_, str> {
    let secret = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret(name))
    };
    if !query.split('&').any(secret) {
        return Cow::Borrowed(query);
    }
    let mut told = String::with_capacity(query.len());
    for (n, parameter) in query.split('&').enumerate() {
        told.push_str(if n == 0 { "" } else { "&" });
        match parameter.split_once('=') {
            Some((name, _)) if secret(parameter) => told.extend([name, "=", REDACTED]),
            _ => told.push_str(parameter),
        }
    }
    Cow::Owned(told)
}

/// An address as it may be told, without user information; `host` where it names none itself.
pub(super) fn url(uri: &Uri, host: Option<&str>) -> Option<String> {
    let authority = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => host?,
    };
    let scheme = uri.scheme_str().unwrap_or("http");
    let mut told = format!("{scheme}://");
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let password = if user.contains(':') { ":REDACTED" } else { "" };
            told.extend([REDACTED, password, "@", host]);
        }
        None => told.push_str(authority),
    }
    told.push_str(uri.path());
    if let Some(text) = uri.query() {
        told.push('?');
        told.push_str(&query(text));
    }
    Some(told)
}

/// A name without percent-encoding; what is no encoding, or no UTF-8, stays as it is.
fn decoded(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, length) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => ((high << 4 | low) as u8, 3),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(name), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_their_names_stay() {
        let table = [
            ("", ""),
            ("a=1&b", "a=1&b"),
            ("sig=abc", "sig=REDACTED"),
            ("a=1&Sig=x=y&b=2", "a=1&Sig=REDACTED&b=2"),
            ("X-Goog-Signature=x&signature=y", "X-Goog-Signature=REDACTED&signature=REDACTED"),
            ("AWSAccessKeyId=x&&token=", "AWSAccessKeyId=REDACTED&&token="),
            ("pass%77ord=x&access_token=1", "pass%77ord=REDACTED&access_token=REDACTED"),
            ("signed=1&sigx=2&si=3&%=4&si%6=5&%ff=6", "signed=1&sigx=2&si=3&%=4&si%6=5&%ff=6"),
            ("token&password", "token&password"),
        ];
        for (text, expected) in table {
            assert_eq!(query(text), expected);
        }
    }

    #[test]
    fn address_is_told_without_user_information() {
        let table = [
            ("http://a.b/c?d=1&sig=2", "http://a.b/c?d=1&sig=REDACTED"),
            ("https://user:pass@a.b:8443/", "https://REDACTED:REDACTED@a.b:8443/"),
            ("https://user@[::1]:1/x", "https://REDACTED@[::1]:1/x"),
            ("/only/path?token=1", "http://host:8080/only/path?token=REDACTED"),
        ];
        for (uri, expected) in table {
            let told = url(&uri.parse().unwrap(), Some("host:8080"));
            assert_eq!(told.as_deref(), Some(expected));
        }
        assert_eq!(url(&"/only/path".parse().unwrap(), None), None);
    }
}
