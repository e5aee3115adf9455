//! Trace context and baggage in the headers of the `http` crate, which hyper, axum, tonic and
//! reqwest share.
//!
//! ```
//! use http::HeaderMap;
//! use telemetry_core::context::{self, Propagators};
//! use telemetry_http::headers::{Headers, HeadersMut};
//!
//! # let (incoming, mut outgoing) = (HeaderMap::new(), HeaderMap::new());
//! # context::set_propagators(Propagators::default());
//! let remote = context::extract(&Headers(&incoming));
//! let span = remote.run(|| tracing::info_span!("request"));
//! span.in_scope(|| context::inject(&mut HeadersMut(&mut outgoing)));
//! ```
//!
//! # Invariants
//!
//! - All values of a repeated header are read; one that is no ASCII counts, and breaks the grammar.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use telemetry_core::context::{Extract, Inject};

/// Headers to extract from.
#[derive(Clone, Copy)]
pub struct Headers<'h>(pub &'h HeaderMap);

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(f, self.0)
    }
}

impl Extract for Headers<'_> {
    fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.0.get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap_or("\u{fffd}"))
    }
}

/// Headers to inject into.
pub struct HeadersMut<'h>(pub &'h mut HeaderMap);

impl fmt::Debug for HeadersMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(f, self.0)
    }
}

/// Names only: values may be secrets.
fn names(f: &mut fmt::Formatter<'_>, headers: &HeaderMap) -> fmt::Result {
    f.write_str("Headers")?;
    f.debug_set().entries(headers.keys()).finish()
}

impl Inject for HeadersMut<'_> {
    fn set(&mut self, name: &'static str, value: String) {
        // What propagators write is ASCII without control characters.
        if let Ok(value) = HeaderValue::try_from(value) {
            self.0.insert(HeaderName::from_static(name), value);
        }
    }
}
