//! JSON lines to files, standard output and standard error.
//!
//! One record is one line: a log event, a finished span, or a data point of a metric, told apart
//! by `kind`. Whoever knows the JSON of `tracing-subscriber` finds `timestamp`, `level`, `target`,
//! `fields.message`, `span.name` and `spans` where they were; trace context stands at the top
//! level, as the OpenTelemetry specification wants it of logs that are not OTLP ("Trace Context in
//! non-OTLP Log Formats").
//!
//! ```text
//! {"timestamp":"2026-11-22T09:00:00.123456Z","level":"INFO","kind":"log","target":"app",
//!  "fields":{"message":"stored","bytes":512,"error":{"message":"outer","chain":["inner"]}},
//!  "span":{"name":"request","fields":{"method":"GET"}},
//!  "spans":[{"name":"request","fields":{"method":"GET"}}],
//!  "trace_id":"0000000000000000000000000000000a","span_id":"000000000000000b","trace_flags":"01"}
//! {"timestamp":"…","level":"INFO","kind":"span","target":"app","name":"request","fields":{…},
//!  "start_timestamp":"…","duration_ns":1500000,"links":[{"trace_id":"…","span_id":"…"}],
//!  "trace_id":"…","span_id":"…","trace_flags":"01","parent_span_id":"…"}
//! {"timestamp":"…","kind":"metric","name":"http.server.request.duration","unit":"s",
//!  "type":"histogram","attributes":{"http.route":"/users"},"start_timestamp":"…","count":1,
//!  "sum":0.012,"min":0.012,"max":0.012,"bounds":[…],"buckets":[…]}
//! ```
//!
//! - **Times** are UTC with six digits; the `timestamp` of a span is its end, so that a file is in
//!   order. `duration_ns` is a number.
//! - **No key stands twice** in an object. Fields have objects of their own, so that a field named
//!   `level` or `name` never stands in for the line's; of fields with the same name the last wins.
//! - **Values keep their type.** Integers are numbers up to 64 bits and strings beyond; `NaN`,
//!   `Infinity` and `-Infinity` are strings; bytes are base64; an error is an object with its
//!   `message` and the `chain` of its sources. What `Debug` or `Display` wrote is a string.
//! - **Hostile texts** cannot break out: controls (C0, DEL, C1), direction marks, invisible
//!   characters and line separators are written as `\uXXXX`, which every reader turns back.
//! - `name` is there for spans and for events that were given one; `span` and `spans` (outermost
//!   first, `span` included) for events inside spans; `cut` where a value was cut or a field left
//!   out; `file` and `line` if asked for.
//!
//! # Delivery
//!
//! A batch is acknowledged after write(2) took all of its lines: then they survive the death of
//! the process, and what the process still had to write is counted as pending. There is no fsync:
//! they may not survive a loss of power. A line that is not wholly written (a full disk, a closed
//! pipe, a reader that takes nothing for 100 ms) is counted as lost under `write_failed`; a torn
//! line is ended before the next one; writing resumes by itself.
//!
//! # Limits
//!
//! - A line is at most 1 MiB in a file and 16 KiB elsewhere (container runtimes split longer ones)
//!   unless set; a longer one has its values cut, then its spans and fields left out, and stays
//!   valid JSON.
//! - A file is appended to, with mode 0640, and is never reached through a symbolic link in the
//!   last place of its path. One that is renamed or deleted is opened anew within a second.
//!   Rotation is left to `logrotate` or to a later version.
//! - A process with a limit on its files' size (`RLIMIT_FSIZE`) has to ignore `SIGXFSZ`, which
//!   ends it otherwise.
//!
//! # Example
//!
//! ```
//! use telemetry_json::JsonExporter;
//!
//! let path = std::env::temp_dir().join("telemetry-json-example.jsonl");
//! let exporter = JsonExporter::builder().file(&path).metrics(false).build()?;
//! # drop(exporter);
//! # let _ = std::fs::remove_file(&path);
//! # Ok::<(), telemetry_core::Error>(())
//! ```

#![forbid(unsafe_code)]

mod encode;
mod exporter;

pub use exporter::{JsonExporter, JsonExporterBuilder};
