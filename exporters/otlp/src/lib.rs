//! Sends logs, spans and metrics to an OpenTelemetry collector: OTLP over HTTP with protobuf or,
//! with the feature `otlp-grpc`, over gRPC.
//!
//! Requests are encoded directly from records, without OpenTelemetry's structures in between.
//! Source: OpenTelemetry protocol 1.11, "OTLP/HTTP" and "OTLP/gRPC"; OTLP exporter specification.
//!
//! ```
//! use telemetry_otlp::OtlpExporter;
//!
//! let exporter = OtlpExporter::builder().endpoint("http://localhost:4318").build()?;
//! # Ok::<(), telemetry_core::Error>(())
//! ```
//!
//! # What becomes of a record
//!
//! - A **log event** is a `LogRecord`: the message is its body, all other fields are attributes in
//!   their own types. An integer beyond 64 signed bits becomes decimal text. An error is its text
//!   under the field's name, and its sources are a list under `<name>.chain`. `code.file.path` and
//!   `code.line.number` are added. The observed time is the time of the event.
//! - A **finished span** is a `Span`; the fields `otel.name`, `otel.kind`, `otel.status_code` and
//!   `otel.status_message` (or `otel.status_description`) shape it. Events inside it are log
//!   records with its ids, not span events: nothing is sent twice.
//! - The **target** is the name of the instrumentation scope.
//! - A **metric** is a cumulative sum, a gauge or a histogram with explicit buckets.
//! - Of equal keys the last wins. Beyond 128 attributes the rest is counted in
//!   `dropped_attributes_count`.
//!
//! # Delivery
//!
//! Records are gathered for a second, or up to 1 MiB or 8,192 records, whichever comes first; a
//! flush sends at once. Up to four requests of a signal are under way at the same time.
//!
//! An answer of 429, 502, 503 or 504 (over gRPC the statuses that OTLP calls retryable; of
//! `RESOURCE_EXHAUSTED` only one with a `RetryInfo`), a connection that fails and an answer that
//! does not come within 10 s are tried again: after 1 s, 2 s, 4 s and so on up to 30 s, each ± 50 %,
//! or when `Retry-After` or `RetryInfo` says so (up to 5 minutes). From its first attempt on a
//! request has 30 s, with one attempt in their last tenth however long the waits have become; then
//! its records count as `retries_exhausted`; requests behind it wait untried, within the bytes that
//! the pipeline's queue has, and lose nothing meanwhile (but a signal that fails alone gives way to
//! the others). Every other answer is final and counts as `rejected`; so do the records that a
//! partial success names, which are counted against the oldest batches of the request. After an
//! answer that was lost on its way the request is sent again, so a collector may see it twice; over
//! gRPC all requests of a signal share a connection, and its end is the end of all their answers.
//!
//! Requests are not compressed unless [`Compression::Gzip`] is set: gzip takes two to three times
//! the CPU time of encoding, and a collector usually stands on the same host.
//!
//! # Limits
//!
//! `http://` only: an `https://` endpoint is an error of the builder, because TLS is not compiled
//! in. HTTP/1.1, or HTTP/2 for gRPC; no proxies, no redirects, no JSON over HTTP. A request has at
//! most 3.5 MiB and its last record; an answer at most 4 MiB, also after decompression. At most 8
//! MiB are encoded and wait; beyond that batches stay in the pipeline's queue, whose bytes bound
//! everything.

#![forbid(unsafe_code)]

mod answer;
mod config;
mod diagnostics;
mod encode;
mod env;
mod exporter;
mod gather;

#[cfg(feature = "receiver")]
pub mod receiver;
mod retry;
mod secrets;
mod tally;
mod transport;
mod worker;

pub use config::{Compression, Protocol};
pub use exporter::{OtlpBuilder, OtlpExporter, OtlpSetting};
