//! What the exporter writes, and what it does when it cannot.

mod format;
mod hostile;
mod support;
mod transport;
