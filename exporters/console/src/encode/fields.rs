//! Fields as `key=value`, and what is the same for all records of a callsite.

use super::text::{put_text, put_value, put_word};
use super::{compact, logfmt, pretty};
use crate::colours::{Palette, Role};
use crate::style::Style;
use std::collections::HashMap;
use telemetry_core::Level;
use telemetry_core::callsite::Callsite;
use telemetry_core::record::{Field, Fields, Value};

/// The encoded parts of callsites, by callsite id.
#[derive(Debug)]
pub(crate) struct Callsites {
    style: Style,
    palette: Palette,
    // Ids are dense from 1 and bounded by the process's table of callsites.
    entries: Vec<Option<Box<Pieces>>>,
}

/// The encoded parts of one callsite.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// ` INFO `, `INFO  `, `level=info` or `<6> INFO `, as the style has it.
    pub(crate) level: Vec<u8>,
    /// `app::module: `, or what the style makes of a target.
    pub(crate) target: Vec<u8>,
    /// `key=` for each field.
    pub(crate) keys: Vec<Box<[u8]>>,
    /// Are the names of the fields unique, and few enough for one word of bits?
    unique: bool,
}

impl Callsites {
    pub(crate) fn new(style: Style, palette: Palette) -> Self {
        Self { style, palette, entries: Vec::new() }
    }

    /// The parts of a callsite, made now if there are none.
    pub(crate) fn of(&mut self, callsite: &'static Callsite) -> &Pieces {
        let index = callsite.id() as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        let (style, palette) = (self.style, self.palette);
        self.entries[index].get_or_insert_with(|| Box::new(Pieces::new(callsite, style, palette)))
    }
}

impl Pieces {
    fn new(callsite: &Callsite, style: Style, palette: Palette) -> Self {
        let mut level = Vec::new();
        put_level(&mut level, callsite.level(), style, palette);
        let mut target = Vec::new();
        match style {
            Style::Pretty => pretty::put_target(&mut target, callsite.target(), palette),
            // Its line has a limit of its own, and quotes.
            Style::Logfmt => {}
            _ => put_target(&mut target, callsite.target(), palette),
        }
        let keys = callsite.fields().iter().map(|name| {
            let mut key = Vec::new();
            match style {
                Style::Logfmt => logfmt::put_field_key(&mut key, name),
                _ => put_key(&mut key, name, palette),
            }
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

fn put_level(out: &mut Vec<u8>, level: Level, style: Style, palette: Palette) {
    if style == Style::Logfmt {
        return out.extend_from_slice(level.as_str().to_ascii_lowercase().as_bytes());
    }
    if style == Style::Journald {
        compact::put_priority(out, level);
    }
    palette.begin(out, Role::Level(level));
    let text = match style {
        // From the first column on: an indented line is never the begin of a record.
        Style::Pretty => format!("{level:<5}"),
        _ => format!("{level:>5}"),
    };
    out.extend_from_slice(text.as_bytes());
    palette.end(out);
    out.push(b' ');
}

/// Writes `app::module: `.
pub(crate) fn put_target(out: &mut Vec<u8>, target: &str, palette: Palette) {
    palette.begin(out, Role::Quiet);
    put_text(out, target);
    out.push(b':');
    palette.end(out);
    out.push(b' ');
}

fn put_key(out: &mut Vec<u8>, name: &str, palette: Palette) {
    palette.begin(out, Role::Key);
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

/// Goes through the fields that are told: of those with the same name the last. `tell` gets the
/// name's index among those of the callsite, if it has one.
#[inline]
pub(crate) fn each_told<'a>(
    mut fields: Fields<'a>,
    pieces: &Pieces,
    told: Told,
    mut tell: impl FnMut(Option<u16>, Field<'a>),
) {
    let last: Option<HashMap<&str, usize>> = pieces
        .may_repeat(fields.clone())
        .then(|| fields.clone().enumerate().map(|(n, field)| (field.key, n)).collect());
    let mut n = 0;
    while let Some((index, field)) = fields.next_indexed() {
        let is_last = last.as_ref().is_none_or(|last| last.get(field.key) == Some(&n));
        n += 1;
        if is_last && !(told == Told::AllButMessage && field.key == "message") {
            tell(index, field);
        }
    }
}

/// Writes `key=value key=value`. Returns how many.
pub(crate) fn put_fields(
    out: &mut Vec<u8>,
    fields: Fields<'_>,
    pieces: &Pieces,
    palette: Palette,
    told: Told,
) -> usize {
    let mut count = 0;
    each_told(fields, pieces, told, |index, field| {
        if count > 0 {
            out.push(b' ');
        }
        count += 1;
        put_indexed_key(out, index, field.key, pieces, palette);
        put_value(out, field.value);
        if field.cut {
            out.extend_from_slice("…".as_bytes());
        }
    });
    count
}

/// Writes `key=`, from what is kept if it is there.
pub(crate) fn put_indexed_key(
    out: &mut Vec<u8>,
    index: Option<u16>,
    name: &str,
    pieces: &Pieces,
    palette: Palette,
) {
    match index.and_then(|index| pieces.keys.get(usize::from(index))) {
        Some(key) => out.extend_from_slice(key),
        None => put_key(out, name, palette),
    }
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
