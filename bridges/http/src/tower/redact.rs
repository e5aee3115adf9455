//! What of an address is not told: values of parameters that are secrets, and user information.
//!
//! # Invariants
//!
//! - A value that is left out is left out whole, and its name stays.
//! - Names are compared without regard to case, as they stand and percent-decoded.

use http::Uri;
use std::borrow::Cow;

const REDACTED: &str = "REDACTED";

/// The first four are those of OpenTelemetry's conventions (`url.query`); the others are what such
/// secrets are usually called.
const SECRETS: [&str; 20] = [
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "client_secret",
    "id_token",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "session",
    "token",
];

/// The names of parameters whose values are not told.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Further names.
    pub(super) fn with(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.0.extend(names);
        self
    }

    fn has(&self, name: &str) -> bool {
        let known = SECRETS.into_iter().chain(self.0.iter().map(String::as_str));
        known.into_iter().any(|known| is_name(name, known))
    }

    /// The query as it may be told.
    pub(super) fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let name = |parameter: &'q str| parameter.split_once('=').map(|(name, _)| name);
        let is_secret = |parameter: &'q str| name(parameter).is_some_and(|name| self.has(name));
        if !query.split('&').any(is_secret) {
            return Cow::Borrowed(query);
        }
        let mut told = String::with_capacity(query.len());
        for (n, parameter) in query.split('&').enumerate() {
            told.push_str(if n == 0 { "" } else { "&" });
            match name(parameter) {
                Some(name) if self.has(name) => told.extend([name, "=", REDACTED]),
                _ => told.push_str(parameter),
            }
        }
        Cow::Owned(told)
    }

    /// An address as it may be told, without user information; `host` where it names none itself.
    pub(super) fn url(&self, uri: &Uri, host: Option<&str>) -> Option<String> {
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
        if let Some(query) = uri.query() {
            told.push('?');
            told.push_str(&self.query(query));
        }
        Some(told)
    }
}

/// Is a name as it stands in a query the known one?
fn is_name(name: &str, known: &str) -> bool {
    let mut rest = name.as_bytes();
    let mut known = known.bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, length) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => ((high << 4 | low) as u8, 3),
            _ => (*first, 1),
        };
        if !known.next().is_some_and(|known| known.eq_ignore_ascii_case(&byte)) {
            return false;
        }
        rest = &rest[length..];
    }
    known.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_their_names_stay() {
        let secrets = Secrets::default().with(["pin".to_owned()]);
        let table = [
            ("", ""),
            ("a=1&b", "a=1&b"),
            ("sig=abc", "sig=REDACTED"),
            ("a=1&Sig=x=y&b=2", "a=1&Sig=REDACTED&b=2"),
            ("X-Goog-Signature=x&signature=y", "X-Goog-Signature=REDACTED&signature=REDACTED"),
            ("AWSAccessKeyId=x&&token=", "AWSAccessKeyId=REDACTED&&token=REDACTED"),
            ("pass%77ord=x&PIN=1", "pass%77ord=REDACTED&PIN=REDACTED"),
            ("signed=1&sigx=2&si=3&%=4&si%6=5", "signed=1&sigx=2&si=3&%=4&si%6=5"),
            ("token&password", "token&password"),
        ];
        for (query, expected) in table {
            assert_eq!(secrets.query(query), expected);
        }
    }

    #[test]
    fn address_is_told_without_user_information() {
        let secrets = Secrets::default();
        let table = [
            ("http://a.b/c?d=1&sig=2", "http://a.b/c?d=1&sig=REDACTED"),
            ("https://user:pass@a.b:8443/", "https://REDACTED:REDACTED@a.b:8443/"),
            ("https://user@[::1]:1/x", "https://REDACTED@[::1]:1/x"),
            ("/only/path?token=1", "http://host:8080/only/path?token=REDACTED"),
        ];
        for (uri, expected) in table {
            let told = secrets.url(&uri.parse().unwrap(), Some("host:8080"));
            assert_eq!(told.as_deref(), Some(expected));
        }
        assert_eq!(secrets.url(&"/only/path".parse().unwrap(), None), None);
    }
}
