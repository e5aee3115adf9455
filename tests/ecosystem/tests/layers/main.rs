//! One process with the layers of several libraries, and ours: each gets what it wants.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
#![allow(clippy::disallowed_macros, reason = "tests emit")]

mod opentelemetry;
mod sentry;
mod span_trace;
mod stack;
mod text;
