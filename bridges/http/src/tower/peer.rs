//! Who called, and by which name: what proxies, the request and its headers say.
//!
//! # Invariants
//!
//! - What is no address, host name or scheme is not told: callers say what is in their headers.
//!
//! Sources: RFC 7239 (`Forwarded`); OpenTelemetry's conventions for HTTP spans, "Setting
//! `server.address` and `server.port` attributes".

use http::uri::Authority;
use http::{HeaderMap, Uri};
use std::net::{IpAddr, SocketAddr};

/// What the first proxy that the request came through says of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Forwarded<'h> {
    pub(super) client: Option<IpAddr>,
    pub(super) host: Option<&'h str>,
    pub(super) scheme: Option<&'static str>,
}

impl<'h> Forwarded<'h> {
    /// Reads `Forwarded`, or else `X-Forwarded-For`, `-Host` and `-Proto`.
    pub(super) fn of(headers: &'h HeaderMap) -> Self {
        if let Some(first) = first_of(headers, "forwarded") {
            return Self::of_pairs(first);
        }
        Self {
            client: first_of(headers, "x-forwarded-for").and_then(address),
            host: first_of(headers, "x-forwarded-host"),
            scheme: first_of(headers, "x-forwarded-proto").and_then(scheme),
        }
    }

    fn of_pairs(pairs: &'h str) -> Self {
        let mut forwarded = Self::default();
        for (name, value) in pairs.split(';').filter_map(|pair| pair.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => forwarded.client = address(value),
                "host" => forwarded.host = Some(value),
                "proto" => forwarded.scheme = scheme(value),
                _ => {}
            }
        }
        forwarded
    }
}

/// The first member of a list in a header.
fn first_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let first = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
    (!first.is_empty()).then_some(first)
}

/// An address, with a port behind it or not.
fn address(text: &str) -> Option<IpAddr> {
    let whole = text.parse::<SocketAddr>().map(|address| address.ip());
    whole.or_else(|_| text.trim_matches(['[', ']']).parse()).ok()
}

/// `http` or `https`: there are no others, and a caller makes none.
fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

/// The scheme of the request itself.
pub(super) fn scheme_of(uri: &Uri) -> Option<&'static str> {
    uri.scheme_str().and_then(scheme)
}

/// A host name and, if it is said, a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

impl Host {
    fn of(authority: &Authority) -> Option<Self> {
        let name = authority.host().trim_matches(['[', ']']);
        let is_told = !name.is_empty();
        is_told.then(|| Self { name: name.to_owned(), port: authority.port_u16() })
    }

    /// The host that a request is for: what the proxy says it was, what the request itself names,
    /// or the header `Host`.
    pub(super) fn of_request(
        forwarded: Option<&str>,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let parsed = |text: &str| Self::of(&text.parse().ok()?);
        forwarded
            .and_then(parsed)
            .or_else(|| uri.authority().and_then(Self::of))
            .or_else(|| header(headers).and_then(parsed))
    }
}

/// The header `Host`.
pub(super) fn header(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::HOST)?.to_str().ok()
}

/// The port that a scheme means when none is named.
pub(super) fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn forwarded(pairs: &[(&'static str, &str)]) -> String {
        let headers = headers(pairs);
        let Forwarded { client, host, scheme } = Forwarded::of(&headers);
        let client = client.map(|client| client.to_string());
        format!("{client:?} {host:?} {scheme:?}").replace("Some(\"", "").replace("\")", "")
    }

    #[test]
    fn first_proxy_is_believed() {
        let table: [(&[(&'static str, &str)], &str); 8] = [
            (&[], "None None None"),
            (
                &[("forwarded", "for=192.0.2.1;Proto=HTTPS;host=a.b:1, for=x")],
                "192.0.2.1 a.b:1 https",
            ),
            (&[("forwarded", r#"for="[2001:db8::1]:47""#)], "2001:db8::1 None None"),
            (&[("forwarded", "for=_hidden;by=x;proto=gopher")], "None None None"),
            (&[("x-forwarded-for", "192.0.2.1:80, 192.0.2.2")], "192.0.2.1 None None"),
            (
                &[("x-forwarded-for", "2001:db8::1"), ("x-forwarded-proto", "http")],
                "2001:db8::1 None http",
            ),
            (&[("x-forwarded-for", "me"), ("x-forwarded-host", "a")], "None a None"),
            (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-host", "a")], "192.0.2.1 None None"),
        ];
        for (pairs, expected) in table {
            assert_eq!(forwarded(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn host_is_what_names_it_first() {
        let host = |forwarded, uri: &str, header: &str| {
            let headers = headers(&[("host", header)]);
            let host = Host::of_request(forwarded, &uri.parse().unwrap(), &headers);
            host.map(|host| format!("{}|{:?}", host.name, host.port)).unwrap_or_default()
        };
        assert_eq!(host(Some("a:1"), "http://b:2/", "c:3"), "a|Some(1)");
        assert_eq!(host(Some("no host"), "http://user@b/", "c:3"), "b|None");
        assert_eq!(host(None, "/", "[::1]:3"), "::1|Some(3)");
        assert_eq!(host(None, "/", "c d"), "");
        assert_eq!(host(None, "/", ""), "");
    }
}
