//! Human-readable lines on a terminal, a pipe or the journal.
//!
//! One record is one line: time, level, the spans around it with their fields, target, message,
//! fields.
//!
//! ```text
//! 2026-11-22T09:00:00.123456Z  INFO request{method=GET path=/x}:query{rows=3}: app::db: stored it bytes=512 user="Jane Doe"
//! 2026-11-22T09:00:00.123459Z ERROR app: no luck error="cannot store: disk is full"
//! ```
//!
//! - A **string** is quoted if it is empty or holds a space, a quote, `=` or an unprintable
//!   character; what `Debug` or `Display` wrote stands as it is; an error is told with all its
//!   sources; bytes are hexadecimal, the first 32 of them. `…` ends a value that was cut.
//! - Of fields with the same name the last is told.
//! - **Hostile texts** cannot act on the terminal or forge a line: control characters (C0, DEL,
//!   C1), direction marks, invisible characters and line separators of any message, value, key,
//!   name or target are shown as `\n`, `\x1b`, `\u{202e}`.
//! - **Colours** are used on a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` say
//!   otherwise; `CLICOLOR_FORCE=1` wants them everywhere ([`Colours`]).
//!
//! This output is for people and may change; programs read the JSON lines of `telemetry-json`.
//!
//! # Delivery
//!
//! A batch is acknowledged after write(2) took all of its lines. A line that is not wholly written
//! (a closed pipe, a full disk, a reader that takes nothing for 100 ms from a non-blocking pipe)
//! is counted as lost under `write_failed`, a torn line is ended before the next one, and writing
//! resumes by itself. Nothing panics when the reader is gone, as `println!` does.
//!
//! # Limits
//!
//! - A line is at most 64 KiB; a longer one ends in `…`.
//! - The line of a metric snapshot is at most 8 KiB; how many points are left out stands at its
//!   end.
//! - Finished spans and metrics are left out unless asked for.
//!
//! # Example
//!
//! ```
//! use telemetry_console::{Colours, ConsoleExporter};
//!
//! let exporter = ConsoleExporter::builder().stderr().colours(Colours::Auto).build()?;
//! # drop(exporter);
//! # Ok::<(), telemetry_core::Error>(())
//! ```

#![forbid(unsafe_code)]

mod colours;
mod encode;
mod exporter;

pub use colours::Colours;
pub use exporter::{ConsoleExporter, ConsoleExporterBuilder};
