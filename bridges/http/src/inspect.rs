//! A page that tells what the process is doing: who may see it, and how it is asked for.
//!
//! # Invariants
//!
//! - Only a peer on this host is answered, under a name of this host's: the page of a foreign site
//!   that a browser here shows may send requests, under its own name (DNS rebinding), and gets
//!   nothing. What came through a proxy is from elsewhere.
//! - Nothing is changed by a request, and its answer is kept by no cache.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::header::{CONTENT_SECURITY_POLICY, FORWARDED, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use std::net::IpAddr;

/// What the answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// Answers a request to look; `body` says what is to be seen.
///
/// ```
/// use telemetry_http::inspect::respond;
///
/// let request = http::Request::get("/debug").header("host", "localhost:8080").body(())?;
/// let here = respond([127, 0, 0, 1].into(), &request, |_| "all is well".to_owned());
/// assert_eq!((here.status().as_u16(), here.body().as_str()), (200, "all is well"));
/// let elsewhere = respond([192, 0, 2, 7].into(), &request, |_| unreachable!());
/// assert_eq!(elsewhere.status().as_u16(), 403);
/// # Ok::<(), http::Error>(())
/// ```
pub fn respond<B>(
    peer: IpAddr,
    request: &Request<B>,
    body: impl FnOnce(Format) -> String,
) -> Response<String> {
    let format = match admit(peer, request) {
        Ok(format) => format,
        Err(refusal) => return refusal.response(),
    };
    let content_type = match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json => "application/json",
    };
    answer(StatusCode::OK, content_type, body(format), request.method() == Method::HEAD)
}

/// Why there is no answer.
struct Refusal(StatusCode, &'static str);

impl Refusal {
    fn response(self) -> Response<String> {
        let Self(status, why) = self;
        let mut response = answer(status, "text/plain", why.to_owned(), false);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

fn admit<B>(peer: IpAddr, request: &Request<B>) -> Result<Format, Refusal> {
    let forbid = |why| Err(Refusal(StatusCode::FORBIDDEN, why));
    if !peer.to_canonical().is_loopback() {
        return forbid("only this host is answered\n");
    }
    if is_forwarded(request.headers()) {
        return forbid("what comes through a proxy is not answered\n");
    }
    if !is_for_this_host(request) {
        return forbid("only `localhost` and loopback addresses are answered\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let why = "only GET and HEAD are answered\n";
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, why));
    }
    let query = request.uri().query().unwrap_or_default();
    let mut formats = query.split('&').filter_map(|pair| pair.strip_prefix("format="));
    match (formats.next(), formats.next()) {
        (None | Some("text"), None) => Ok(Format::Text),
        (Some("json"), None) => Ok(Format::Json),
        _ => Err(Refusal(StatusCode::BAD_REQUEST, "`format` is `text` or `json`\n")),
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    let names = ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
    headers.contains_key(FORWARDED) || names.iter().any(|name| headers.contains_key(*name))
}

/// Is the request for `localhost` or a loopback address, and for nothing else?
fn is_for_this_host<B>(request: &Request<B>) -> bool {
    let headers = request.headers().get_all(HOST).iter();
    let mut named: Vec<Option<Authority>> =
        headers.map(|host| host.to_str().ok()?.parse().ok()).collect();
    // HTTP/2 has it in the target.
    named.extend(request.uri().authority().map(|authority| Some(authority.clone())));
    let is_here = |named: &Option<Authority>| {
        named.as_ref().is_some_and(|authority| {
            let host = authority.host().trim_matches(['[', ']']);
            let is_address = host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
            host.eq_ignore_ascii_case("localhost") || is_address
        })
    };
    !named.is_empty() && named.iter().all(is_here)
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: String,
    head_only: bool,
) -> Response<String> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(if head_only { String::new() } else { body });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn status(peer: IpAddr, request: http::request::Builder) -> u16 {
        let request = request.body(()).unwrap();
        respond(peer, &request, |format| format!("{format:?}")).status().as_u16()
    }

    #[test]
    fn only_this_host_is_answered_under_a_name_of_its_own() {
        let get = |host: &str| Request::get("/debug").header("host", host);
        let table = [
            ("127.0.0.1", "localhost:8080", 200),
            ("127.0.0.7", "127.0.0.1", 200),
            ("::1", "[::1]:80", 200),
            ("::ffff:127.0.0.1", "LOCALHOST", 200),
            ("10.0.0.1", "localhost", 403),
            ("::ffff:10.0.0.1", "localhost", 403),
            // What DNS rebinding looks like: a foreign name that leads here.
            ("127.0.0.1", "evil.example", 403),
            ("127.0.0.1", "localhost.evil.example", 403),
            ("127.0.0.1", "10.0.0.1", 403),
            ("127.0.0.1", "", 403),
        ];
        for (peer, host, expected) in table {
            assert_eq!(status(peer.parse().unwrap(), get(host)), expected, "{peer} {host}");
        }
        assert_eq!(status(HERE, Request::get("/debug")), 403, "no name at all");
        assert_eq!(status(HERE, get("localhost").header("host", "evil.example")), 403);
        assert_eq!(status(HERE, Request::get("http://localhost/debug")), 200, "HTTP/2");
        assert_eq!(status(HERE, get("localhost").header("x-forwarded-for", "10.0.0.1")), 403);
    }

    #[test]
    fn only_reading_is_possible() {
        let request = |method: &str| Request::builder().method(method).header("host", "localhost");
        for (method, expected) in [("GET", 200), ("HEAD", 200), ("POST", 405), ("OPTIONS", 405)] {
            assert_eq!(status(HERE, request(method)), expected, "{method}");
        }
        let head = request("HEAD").body(()).unwrap();
        let answer = respond(HERE, &head, |_| "text".to_owned());
        assert_eq!(
            (answer.body().as_str(), &answer.headers()[CONTENT_LENGTH]),
            ("", &"4".parse().unwrap())
        );
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn format_is_what_the_query_says() {
        let table = [
            ("/", "Text"),
            ("/?format=text", "Text"),
            ("/?a=b&format=json", "Json"),
            ("/?format=xml", "`format` is `text` or `json`\n"),
            ("/?format=json&format=text", "`format` is `text` or `json`\n"),
        ];
        for (path, expected) in table {
            let request = Request::get(path).header("host", "localhost").body(()).unwrap();
            let answer = respond(HERE, &request, |format| format!("{format:?}"));
            assert_eq!(answer.body(), expected, "{path}");
        }
    }
}
