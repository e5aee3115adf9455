//! Fields as `key=value`, and what is the same for all records of a callsite.

use super::text::{put_text, put_value, put_word};
use crate::colours::{Palette, Style};
use std::collections::HashMap;
use telemetry_core::callsite::Callsite;
use telemetry_core::record::{Fields, Value};

/// The encoded parts of callsites, by callsite id.
#[derive(Debug, Default)]
pub(crate) struct Callsites {
    // Ids are dense from 1 and bounded by the process's table of callsites.
    entries: Vec<Option<Box<Pieces>>>,
}

/// The encoded parts of one callsite.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// ` INFO `
    pub(crate) level: Vec<u8>,
    /// `app::module: `
    pub(crate) target: Vec<u8>,
    /// `key=` for each field.
    keys: Vec<Box<[u8]>>,
    /// Are the names of the fields unique, and few enough for one word of bits?
    unique: bool,
}

impl Callsites {
    /// The parts of a callsite, made now if there are none.
    pub(crate) fn of(&mut self, callsite: &'static Callsite, palette: Palette) -> &Pieces {
        let index = callsite.id() as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        self.entries[index].get_or_insert_with(|| Box::new(Pieces::new(callsite, palette)))
    }
}

impl Pieces {
    fn new(callsite: &Callsite, palette: Palette) -> Self {
        let mut level = Vec::new();
        palette.begin(&mut level, Style::Level(callsite.level()));
        level.extend_from_slice(format!("{:>5}", callsite.level()).as_bytes());
        palette.end(&mut level);
        level.push(b' ');
        let mut target = Vec::new();
        put_target(&mut target, callsite.target(), palette);
        let keys = callsite.fields().iter().map(|name| {
            let mut key = Vec::new();
            put_key(&mut key, name, palette);
            key.into_boxed_slice()
        });
        let mut names: Vec<&String> = callsite.fields().iter().collect();
        names.sort_unstable();
        let unique = names.len() <= 64 && names.windows(2).all(|pair| pair[0] != pair[1]);
        Self { level, target, keys: keys.collect(), unique }
    }

    /// May a key come twice in these fields?
    fn may_repeat(&self, mut fields: Fields<'_>) -> bool {
        let mut seen = 0_u64;
        while let Some((index, _)) = fields.next_indexed() {
            let Some(index) = index.filter(|index| self.unique && *index < 64) else { return true };
            if seen & 1 << index != 0 {
                return true;
            }
            seen |= 1 << index;
        }
        false
    }
}

/// Writes `app::module: `.
pub(crate) fn put_target(out: &mut Vec<u8>, target: &str, palette: Palette) {
    palette.begin(out, Style::Quiet);
    put_text(out, target);
    out.push(b':');
    palette.end(out);
    out.push(b' ');
}

fn put_key(out: &mut Vec<u8>, name: &str, palette: Palette) {
    palette.begin(out, Style::Key);
    put_word(out, name);
    palette.end(out);
    out.push(b'=');
}

/// Which fields are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// All, with a key.
    All,
    /// All but the message, which stands for itself.
    AllButMessage,
}

/// Writes `key=value key=value`; of fields with the same key the last. Returns how many.
pub(crate) fn put_fields(
    out: &mut Vec<u8>,
    mut fields: Fields<'_>,
    pieces: &Pieces,
    palette: Palette,
    told: Told,
) -> usize {
    let last: Option<HashMap<&str, usize>> = pieces
        .may_repeat(fields.clone())
        .then(|| fields.clone().enumerate().map(|(n, field)| (field.key, n)).collect());
    let (mut count, mut n) = (0, 0);
    while let Some((index, field)) = fields.next_indexed() {
        let is_last = last.as_ref().is_none_or(|last| last.get(field.key) == Some(&n));
        n += 1;
        if !is_last || told == Told::AllButMessage && field.key == "message" {
            continue;
        }
        if count > 0 {
            out.push(b' ');
        }
        count += 1;
        match index.and_then(|index| pieces.keys.get(usize::from(index))) {
            Some(key) => out.extend_from_slice(key),
            None => put_key(out, field.key, palette),
        }
        put_value(out, field.value);
        if field.cut {
            out.extend_from_slice("…".as_bytes());
        }
    }
    count
}

/// Writes the message, which has no quotes around it. Returns whether there is one.
pub(crate) fn put_message(out: &mut Vec<u8>, fields: Fields<'_>) -> bool {
    let Some(message) = fields.filter(|field| field.key == "message").last() else { return false };
    match message.value {
        Value::Str(text) | Value::Formatted(text) => put_text(out, text),
        other => put_value(out, other),
    }
    if message.cut {
        out.extend_from_slice("…".as_bytes());
    }
    true
}
