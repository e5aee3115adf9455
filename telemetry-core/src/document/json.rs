//! Documents as JSON (RFC 8259).

use super::{Cell, Document, Limits, Row, Section, Shape};
use std::fmt::Write;

/// The document as an object: one member a section, and how many rows were left out of which.
pub(super) fn render(document: &Document, limits: Limits) -> String {
    let mut out = String::from("{");
    let mut left_out = String::new();
    for section in &document.sections {
        push_key(section.key, &mut out);
        let (_, missing) = section.shown(limits);
        if missing > 0 {
            push_key(section.key, &mut left_out);
            let _ = write!(left_out, "{missing},");
        }
        push_section(section, limits, &mut out);
        out.push(',');
    }
    let _ = write!(out, "\"left_out\":{{{}}}}}", left_out.trim_end_matches(','));
    out
}

fn push_section(section: &Section, limits: Limits, out: &mut String) {
    let (rows, _) = section.shown(limits);
    if section.shape == Shape::Record {
        return match rows.first() {
            Some(row) => push_row(row, limits, out),
            None => out.push_str("{}"),
        };
    }
    push_list(rows, out, |row, out| match (section.shape, row.0.first()) {
        (Shape::Lines, Some((_, cell))) => push_cell(cell, limits, out),
        _ => push_row(row, limits, out),
    });
}

fn push_row(row: &Row, limits: Limits, out: &mut String) {
    out.push('{');
    for (n, (key, cell)) in row.0.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_key(key, out);
        push_cell(cell, limits, out);
    }
    out.push('}');
}

fn push_cell(cell: &Cell, limits: Limits, out: &mut String) {
    // Writing to a `String` does not fail.
    let _ = match cell {
        Cell::Text(text) => return push_text(text, limits, out),
        Cell::Texts(texts) => {
            return push_list(texts, out, |text, out| push_text(text, limits, out));
        }
        Cell::Fields(fields) => return push_fields(fields, limits, out),
        Cell::Count(number) | Cell::Bytes(number) => write!(out, "{number}"),
        Cell::Number(number) if number.is_finite() => write!(out, "{number}"),
        Cell::Number(_) => write!(out, "null"),
        Cell::Age(age) => write!(out, "{}.{:06}", age.as_secs(), age.subsec_micros()),
        Cell::Flag(flag) => write!(out, "{flag}"),
    };
}

fn push_fields(fields: &[(String, String)], limits: Limits, out: &mut String) {
    out.push('{');
    for (n, (name, value)) in fields.iter().enumerate() {
        // An object has a name once: the last value counts.
        if fields[n + 1..].iter().any(|(later, _)| later == name) {
            continue;
        }
        if !out.ends_with('{') {
            out.push(',');
        }
        push_text(name, limits, out);
        out.push(':');
        push_text(value, limits, out);
    }
    out.push('}');
}

fn push_list<T>(items: &[T], out: &mut String, push: impl Fn(&T, &mut String)) {
    out.push('[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push(item, out);
    }
    out.push(']');
}

fn push_key(key: &str, out: &mut String) {
    push_string(key.chars(), out);
    out.push(':');
}

fn push_text(text: &str, limits: Limits, out: &mut String) {
    push_string(super::text::cut(text, limits).chars(), out);
}

fn push_string(characters: impl Iterator<Item = char>, out: &mut String) {
    out.push('"');
    for character in characters {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // DEL and C1 as well: JSON may be read on a terminal.
            character if character.is_control() => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            character => out.push(character),
        }
    }
    out.push('"');
}
