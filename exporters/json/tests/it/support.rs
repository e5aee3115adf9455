//! A place for lines, a reader that refuses duplicate keys, errors with sources.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Exporter, Outcome};
use telemetry_json::{JsonExporter, JsonExporterBuilder};

/// 2026-11-22T09:00:00.123456789Z.
pub(crate) const NOW: u64 = 1_795_338_000_123_456_789;

#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("lines are UTF-8")
    }
}

/// What an exporter says of a batch.
pub(crate) fn export(exporter: &mut JsonExporter, batch: Batch) -> Outcome {
    let outcome = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&outcome);
    let ack = Ack::for_tests(batch.units(), move |outcome| *seen.lock().unwrap() = Some(outcome));
    exporter.export(batch, ack);
    let outcome = outcome.lock().unwrap().take();
    outcome.expect("an outcome before `export` returns")
}

/// The text that a batch becomes.
pub(crate) fn text_of(builder: JsonExporterBuilder, batch: Batch) -> String {
    let sink = Sink::default();
    let mut exporter = builder.writer(Box::new(sink.clone())).build().unwrap();
    assert_eq!(export(&mut exporter, batch), Outcome::Delivered);
    sink.text()
}

/// The objects that a batch becomes, one a line, no key twice.
pub(crate) fn lines_of(builder: JsonExporterBuilder, batch: Batch) -> Vec<serde_json::Value> {
    let text = text_of(builder, batch);
    assert!(text.is_empty() || text.ends_with('\n'));
    text.split_terminator('\n').map(strict).collect()
}

/// Reads an object, and panics if a key stands twice in it or in an object within it.
pub(crate) fn strict(line: &str) -> serde_json::Value {
    let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut open: Vec<HashSet<String>> = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(['{', '}', '"']) {
        let found = rest.as_bytes()[at];
        rest = &rest[at..];
        if found != b'"' {
            if found == b'{' {
                open.push(HashSet::new())
            } else {
                drop(open.pop())
            }
            rest = &rest[1..];
            continue;
        }
        let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let text = texts.next().unwrap().unwrap();
        rest = &rest[texts.byte_offset()..];
        if rest.starts_with(':') {
            let keys = open.last_mut().expect("a key stands in an object");
            assert!(keys.insert(text.clone()), "key {text:?} twice: {line}");
        }
    }
    value
}

/// An error with as many sources as it has further texts.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    text: String,
    source: Option<Box<Chain>>,
}

impl Chain {
    pub(crate) fn of(texts: &[String]) -> Option<Self> {
        let (text, sources) = texts.split_first()?;
        Some(Self { text: text.clone(), source: Self::of(sources).map(Box::new) })
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Chain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
