//! Reads the source tree, for the rules in `tests/it`.
//!
//! # Invariants
//!
//! - Only tracked files are read: what git ignores has no rules.
//! - Code is judged without its comments, the text of its strings, and its tests.

#![forbid(unsafe_code)]

mod code;
mod manifest;
mod tree;

pub use code::{Function, code_lines, functions, strip, without_tests};
pub use manifest::Manifest;
pub use tree::{File, root, rust_files, tracked};
