//! What the exporter writes, and what it does when it cannot.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod format;
mod hostile;
mod polls;
mod styles;
mod support;
mod transport;
