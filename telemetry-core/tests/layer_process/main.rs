//! Claims that need a process of their own, over the recorder as a layer on a `Registry`: those of
//! `tests/process`.

#![allow(clippy::disallowed_macros, clippy::print_stdout, reason = "tests")]

#[path = "../process/main.rs"]
mod process;
