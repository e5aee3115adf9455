//! Layers of `tower` that carry trace context and baggage, and tell of every request as a span and
//! as a measurement.
//!
//! A [`ServerLayer`] goes around the services of a server (of hyper, axum, tonic), a [`ClientLayer`]
//! around a client's. Attributes, names and metrics follow OpenTelemetry's stable conventions for
//! HTTP; `docs/context.md` lists them.
//!
//! # Invariants
//!
//! - Requests, responses and errors are handed on unchanged, but for the headers that a client
//!   injects, and bodies that are wrapped.
//! - What runs for a request runs inside its span and its caller's context: the service, the
//!   future, the body, and the destructors of all three.
//! - What callers say is bounded by kind (methods, schemes, addresses) where it could make series
//!   of a metric, and secrets are left out of addresses.

mod body;
mod client;
mod exchange;
mod future;
mod method;
mod peer;
mod redact;
mod server;

pub use body::Body;
pub use client::{Client, ClientLayer};
pub use future::ResponseFuture;
pub use server::{Server, ServerLayer};

/// `network.protocol.version`.
fn version(version: http::Version) -> Option<&'static str> {
    match version {
        http::Version::HTTP_09 => Some("0.9"),
        http::Version::HTTP_10 => Some("1.0"),
        http::Version::HTTP_11 => Some("1.1"),
        http::Version::HTTP_2 => Some("2"),
        http::Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

/// Where a request ends: with its response, if that has no body for sure.
fn ends(wanted: future::Ends, method: &http::Method) -> future::Ends {
    match *method {
        http::Method::HEAD | http::Method::CONNECT => future::Ends::WithResponse,
        _ => wanted,
    }
}
