//! HTTP requests: what goes from process to process in their headers, and a span for each.
//!
//! [`headers`] are carriers of trace context and baggage, for programs that extract and inject by
//! themselves; the feature `tower` adds layers that do all of it, for servers and for clients.
//! [`inspect`] answers requests to look at the process.

#![forbid(unsafe_code)]

pub mod headers;
pub mod inspect;
#[cfg(feature = "tower")]
pub mod tower;

#[doc(hidden)]
pub use http;
