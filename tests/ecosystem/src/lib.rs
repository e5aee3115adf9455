//! telemetry-toolkit beside the libraries that services use: see `tests`.
//!
//! A package of its own, and not a default member, because what it depends on is heavy. Each file
//! in `tests` is a binary, because a process has one `tracing` subscriber.
