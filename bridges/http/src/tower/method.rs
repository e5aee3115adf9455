//! Request methods as attributes: a few known ones, so that no caller can make series of its own.

use http::Method;

/// What stands for a method that is not known.
pub(super) const OTHER: &str = "_OTHER";

/// RFC 9110, `PATCH` (RFC 5789), and `QUERY`, which is on its way.
const KNOWN: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];

/// The methods that are told by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownMethods(Option<Vec<&'static str>>);

impl KnownMethods {
    pub(super) fn only(methods: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Some(methods.into_iter().collect()))
    }

    /// The method's name, or [`OTHER`]. Names are compared with regard to case, as in HTTP.
    pub(super) fn name(&self, method: &Method) -> &'static str {
        let known = self.0.as_deref().unwrap_or(&KNOWN);
        known.iter().find(|known| **known == method.as_str()).copied().unwrap_or(OTHER)
    }
}

/// How a span of this method is named, without its route.
pub(super) fn span_name(method: &'static str) -> &'static str {
    if method == OTHER { "HTTP" } else { method }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_other() {
        let known = KnownMethods::default();
        assert_eq!(known.name(&Method::PATCH), "PATCH");
        assert_eq!(known.name(&Method::from_bytes(b"get").unwrap()), OTHER);
        assert_eq!(known.name(&Method::from_bytes(b"BREW").unwrap()), OTHER);
        let known = KnownMethods::only(["BREW"]);
        assert_eq!(known.name(&Method::from_bytes(b"BREW").unwrap()), "BREW");
        assert_eq!(known.name(&Method::GET), OTHER);
        assert_eq!((span_name("GET"), span_name(OTHER)), ("GET", "HTTP"));
    }
}
