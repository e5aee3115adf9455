//! Documents as text for people: aligned columns, ages and sizes with their unit.

use super::{Cell, Document, Limits, Row, Section, Shape};
use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// How wide a column gets; what is longer shifts the rest of its line.
const COLUMN_MAX: usize = 48;

pub(super) fn render(document: &Document, limits: Limits) -> String {
    let mut out = String::new();
    if !document.headline.is_empty() {
        push_plain(&cut(&document.headline, limits), &mut out);
        out.push('\n');
    }
    for section in &document.sections {
        let (rows, missing) = section.shown(limits);
        if rows.is_empty() && missing == 0 && section.shape != Shape::Lines {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(section.title);
        out.push('\n');
        match section.shape {
            Shape::Lines if rows.is_empty() => out.push_str("  nothing\n"),
            Shape::Lines => rows.iter().for_each(|row| push_sentence(row, limits, &mut out)),
            Shape::Record => rows.iter().for_each(|row| push_record(row, limits, &mut out)),
            Shape::Table => push_table(section, rows, limits, &mut out),
        }
        if missing > 0 {
            let _ = writeln!(out, "  … and {missing} more");
        }
    }
    out
}

fn push_sentence(row: &Row, limits: Limits, out: &mut String) {
    for (_, cell) in row.cells() {
        let _ = writeln!(out, "  {}", shown(cell, limits));
    }
}

fn push_record(row: &Row, limits: Limits, out: &mut String) {
    let width = row.cells().map(|(key, _)| heading(key).chars().count()).max().unwrap_or(0);
    for (key, cell) in row.cells() {
        let _ = writeln!(out, "  {:width$}  {}", heading(key), shown(cell, limits));
    }
}

/// One column of a table.
struct Column {
    key: &'static str,
    width: usize,
    is_number: bool,
}

fn columns(rows: &[Row], cells: &[Vec<String>]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (row, texts) in rows.iter().zip(cells) {
        for ((key, cell), text) in row.cells().zip(texts) {
            let is_number =
                matches!(cell, Cell::Count(_) | Cell::Bytes(_) | Cell::Number(_) | Cell::Age(_));
            let at = columns.iter().position(|column| column.key == key).unwrap_or_else(|| {
                let width = heading(key).chars().count();
                columns.push(Column { key, width, is_number });
                columns.len() - 1
            });
            columns[at].width = columns[at].width.max(text.chars().count()).min(COLUMN_MAX);
            columns[at].is_number &= is_number;
        }
    }
    columns
}

fn push_table(section: &Section, rows: &[Row], limits: Limits, out: &mut String) {
    debug_assert_eq!(section.shape, Shape::Table);
    let shown_cells = |row: &Row| row.cells().map(|(_, cell)| shown(cell, limits)).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(shown_cells).collect();
    let columns = columns(rows, &cells);
    let headings = columns.iter().map(|column| heading(column.key));
    push_line(&columns, headings, out);
    for (row, texts) in rows.iter().zip(&cells) {
        let text_of = |column: &Column| {
            let at = row.cells().position(|(key, _)| key == column.key);
            at.and_then(|at| texts.get(at)).cloned().unwrap_or_default()
        };
        push_line(&columns, columns.iter().map(text_of), out);
    }
}

fn push_line(columns: &[Column], texts: impl Iterator<Item = String>, out: &mut String) {
    for (column, text) in columns.iter().zip(texts) {
        let width = column.width;
        out.push_str("  ");
        let _ = match column.is_number {
            true => write!(out, "{text:>width$}"),
            false => write!(out, "{text:width$}"),
        };
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// The key without its unit, which people see at the value.
fn heading(key: &str) -> String {
    if let Some(key) = key.strip_suffix("_per_s") {
        return format!("{}/s", key.replace('_', " "));
    }
    let key = key.strip_suffix("_s").or(key.strip_suffix("_bytes")).unwrap_or(key);
    key.replace('_', " ")
}

fn shown(cell: &Cell, limits: Limits) -> String {
    let mut out = String::new();
    match cell {
        Cell::Text(text) => push_plain(&cut(text, limits), &mut out),
        Cell::Texts(texts) => push_plain(&cut(&texts.join(", "), limits), &mut out),
        Cell::Fields(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            push_plain(&cut(&fields.join(" "), limits), &mut out);
        }
        Cell::Count(number) => out = number.to_string(),
        Cell::Bytes(bytes) => out = size(*bytes),
        Cell::Number(number) => out = decimal(*number),
        Cell::Age(age) => out = duration(*age),
        Cell::Flag(true) => out.push_str("yes"),
        Cell::Flag(false) => out.push_str("no"),
    }
    out
}

/// The text, cut to what the limits allow.
pub(super) fn cut(text: &str, limits: Limits) -> Cow<'_, str> {
    if text.len() <= limits.characters {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(limits.characters) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Appends a text without what could steer a terminal or hide a part of it: escaped, it is seen.
pub(crate) fn push_plain(text: &str, out: &mut String) {
    for character in text.chars() {
        let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(character, '\u{2066}'..='\u{2069}' | '\u{feff}');
        if character.is_control() || hidden {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
}

/// At most six digits behind the point.
fn decimal(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `12 ms`, `31.2 s`, `2 min 5 s`, `3 h 4 min`, `5 d 2 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 if duration.is_zero() => "0 s".to_owned(),
        0 if duration.as_millis() < 1 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let bytes = bytes as f64;
    match bytes {
        bytes if bytes < KIB => format!("{bytes} B"),
        bytes if bytes < KIB * KIB => format!("{:.1} KiB", bytes / KIB),
        bytes if bytes < KIB * KIB * KIB => format!("{:.1} MiB", bytes / KIB / KIB),
        bytes => format!("{:.1} GiB", bytes / KIB / KIB / KIB),
    }
}
