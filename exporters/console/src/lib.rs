//! Human-readable lines on a terminal, a pipe or the journal, and `logfmt`.
//!
//! # Styles
//!
//! [`Style::Pretty`] is the usual one on a terminal. The message stands first, the target last;
//! the spans around a record have a line of their own where they change, and so have the sources
//! of an error. The time is that of the day, in UTC:
//!
//! ```text
//!   request{method=GET path=/x} › query{rows=3}
//! 09:00:00.123Z INFO  stored it                                bytes=512 user="Jane Doe"  app::db
//! 09:00:00.124Z DEBUG close query                              duration=1.50ms rows=3  app::db
//!   (no span)
//! 09:00:00.125Z ERROR no luck                                  error="cannot store"  app
//!   caused by: disk is full
//! ```
//!
//! [`Style::Compact`] is the usual one elsewhere. One record is one line: time, level, the spans
//! around it with their fields, target, message, fields:
//!
//! ```text
//! 2026-11-22T09:00:00.123456Z  INFO request{method=GET path=/x}:query{rows=3}: app::db: stored it bytes=512 user="Jane Doe"
//! 2026-11-22T09:00:00.123459Z ERROR app: no luck error="cannot store: disk is full"
//! ```
//!
//! [`Style::Journald`] has the priority of sd-daemon(3) in place of the time: error 3, warn 4, info
//! 6, debug and trace 7:
//!
//! ```text
//! <3>ERROR app: no luck error="cannot store: disk is full"
//! ```
//!
//! [`Style::Logfmt`] is pairs, a line a record (here folded) and a line a point of a metric:
//!
//! ```text
//! ts=2026-11-22T09:00:00.123456Z level=info target=app::db span=request:query
//!   trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7
//!   msg="stored it" bytes=512 user="Jane Doe" span.rows=3 span.method=GET span.path=/x
//! ```
//!
//! Its keys are unique: a field whose name is taken (`level`, `msg`, `span.…`) stands behind
//! `field.`, what a key may not hold is percent-encoded, and of spans' fields with the same name
//! that of the innermost is told. Values are quoted if need be, with the escapes of JSON; `cut=true`
//! ends a line that does not hold everything.
//!
//! # What else may be told
//!
//! - **Time** is UTC; with [`Time::SinceStart`] it is the seconds since the exporter was built
//!   (`+12.345s`).
//! - **Ends of spans** ([`spans`](ConsoleExporterBuilder::spans)), a line each, with name, duration
//!   and all fields, those of its status and errors included: `close query … duration=1.50ms`. The
//!   duration is that from the begin to the end; how long the span was entered is not measured.
//! - **The poller's reading** ([`polls`](ConsoleExporterBuilder::polls)), a short line each:
//!
//! ```text
//! 09:00:10.000Z poll cpu=3.2% memory=12.3MiB virtual=276.8MiB threads=5 fds=6 switches=12/s faults=3/s read=0B/s written=2.0KiB/s uptime=70s
//! ```
//!
//! - **Metrics** ([`metrics`](ConsoleExporterBuilder::metrics)), all on one line an interval, or a
//!   line a point in `logfmt`.
//!
//! # What is common to them
//!
//! - A **string** is quoted if it is empty or holds a space, a quote, `=` or an unprintable
//!   character; what `Debug` or `Display` wrote stands as it is; an error is told with all its
//!   sources; bytes are hexadecimal, the first 32 of them. `…` ends a value that was cut.
//! - Of fields with the same name the last is told.
//! - **Hostile texts** cannot act on the terminal or forge a line: control characters (C0, DEL,
//!   C1), direction marks, invisible characters and line separators of any message, value, key,
//!   name or target are shown as `\n`, `\x1b`, `\u{202e}`. In the pretty style every line that does
//!   not begin a record is indented by two spaces, whatever a text holds.
//! - **Colours** are used on a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` say
//!   otherwise; `CLICOLOR_FORCE=1` wants them everywhere ([`Colours`]). `logfmt` and the journal
//!   never have any.
//!
//! All styles but `logfmt` are for people and may change; programs read `logfmt`, or the JSON lines
//! of `telemetry-json`.
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
//! - A line is at most 64 KiB, one for the journal 47 KiB, because it reads what is behind 48 KiB as
//!   another entry; a longer one ends in `…`. In the pretty style this holds for all lines of a
//!   record together, but for the line of its spans.
//! - The line of a metric snapshot is at most 8 KiB; how many points are left out stands at its
//!   end. In `logfmt` all of its lines together are at most about 1 MiB.
//! - Finished spans, readings and metrics are left out unless asked for. The poller's metrics are
//!   known by their names: those of the process, the system, the container and tokio. Metrics that
//!   come beside a reading and are not asked for count as delivered.
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
mod style;
mod time;

pub use colours::Colours;
pub use exporter::{ConsoleExporter, ConsoleExporterBuilder};
pub use style::Style;
pub use time::Time;
