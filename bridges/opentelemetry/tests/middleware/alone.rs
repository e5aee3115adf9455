//! The cases without `install`.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "tests emit, and may fail")]

mod cases;

fn start() {}
