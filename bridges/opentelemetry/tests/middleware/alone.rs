//! The cases without `install`.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

mod cases;

fn start() {}
