//! What is the same for all records of a callsite, encoded once.

use super::value::put_text;
use telemetry_core::callsite::Callsite;

/// The encoded parts of callsites, by callsite id.
#[derive(Debug, Default)]
pub(crate) struct Callsites {
    // Ids are dense from 1 and bounded by the process's table of callsites.
    entries: Vec<Option<Box<Pieces>>>,
}

/// The encoded parts of one callsite.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// From behind the timestamp to the fields, which are left out.
    pub(crate) head: Vec<u8>,
    /// `,"key":` for each field.
    pub(crate) keys: Vec<Box<[u8]>>,
    /// `,"file":"src/main.rs","line":7`, or nothing.
    pub(crate) location: Vec<u8>,
    /// Are the names of the fields unique, and few enough for one word of bits?
    pub(crate) unique: bool,
}

impl Callsites {
    /// The parts of a callsite, made now if there are none.
    #[inline]
    pub(crate) fn of(&mut self, callsite: &'static Callsite) -> &Pieces {
        let index = callsite.id() as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        self.entries[index].get_or_insert_with(|| Box::new(Pieces::new(callsite)))
    }
}

impl Pieces {
    fn new(callsite: &Callsite) -> Self {
        let mut head = Vec::new();
        put_head(&mut head, callsite, callsite.target(), usize::MAX);
        let mut location = Vec::new();
        put_location(&mut location, callsite.file(), callsite.line(), usize::MAX);
        let keys = callsite.fields().iter().map(|name| {
            let mut key = Vec::new();
            put_key(&mut key, name);
            key.into_boxed_slice()
        });
        let mut names: Vec<&String> = callsite.fields().iter().collect();
        names.sort_unstable();
        let unique = names.len() <= 64 && names.windows(2).all(|pair| pair[0] != pair[1]);
        Self { head, keys: keys.collect(), location, unique }
    }
}

/// Writes `,"key":`; the comma of the first one becomes the object's brace.
pub(crate) fn put_key(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    put_text(out, name, usize::MAX);
    out.push(b':');
}

/// Writes what stands between the timestamp and the fields.
pub(crate) fn put_head(out: &mut Vec<u8>, callsite: &Callsite, target: &str, text_max: usize) {
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(callsite.level().as_str().as_bytes());
    let kind: &[u8] = if callsite.is_span() { b"span" } else { b"log" };
    out.extend_from_slice(b"\",\"kind\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"target\":");
    put_text(out, target, text_max);
    if callsite.is_span() || is_named(callsite) {
        out.extend_from_slice(b",\"name\":");
        put_text(out, callsite.name(), text_max);
    }
    out.extend_from_slice(b",\"fields\":");
}

/// Has the event a name that somebody chose? `tracing` calls the others `event file:line`, and the
/// bridge from `log` has one callsite per level.
fn is_named(callsite: &Callsite) -> bool {
    let name = callsite.name();
    !(name.is_empty() || name == "event" || name.starts_with("event ") || name.starts_with("log "))
}

/// Writes the place in the source, where it is known.
pub(crate) fn put_location(
    out: &mut Vec<u8>,
    file: Option<&str>,
    line: Option<u32>,
    text_max: usize,
) {
    if let Some(file) = file {
        out.extend_from_slice(b",\"file\":");
        put_text(out, file, text_max);
    }
    if let Some(line) = line {
        out.extend_from_slice(b",\"line\":");
        super::value::put_integer(out, line);
    }
}
