//! What an inspection says: sections of rows, as text for people and as JSON for programs.
//!
//! ```
//! use telemetry_core::document::{Cell, Document, Row, Section};
//!
//! let mut queues = Section::table("queues", "Queues");
//! queues.push(Row::new().with("name", "outbox").with("length", Cell::Count(7)));
//! let document = Document::default().with(queues);
//! assert_eq!(document.json(1024), r#"{"queues":[{"name":"outbox","length":7}],"left_out":{}}"#);
//! assert_eq!(document.text(1024), "Queues\n  name    length\n  outbox       7\n");
//! ```
//!
//! # Invariants
//!
//! - A rendering is never larger than what it may be: rows are left out, the same number of every
//!   section at most, then texts are cut. It says how many rows it left out of which section.
//! - Text has no control characters but line ends, so it cannot steer a terminal.
//! - Keys carry their unit at the end (`age_s`, `queue_bytes`); programs read JSON, people text.

mod json;
mod text;

pub(crate) use text::{duration as age_text, push_plain};

use std::time::Duration;

/// One value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// A text.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A size in bytes; its key ends in `_bytes`.
    Bytes(u64),
    /// A number.
    Number(f64),
    /// A time span; its key ends in `_s`.
    Age(Duration),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    Texts(Vec<String>),
    /// Names with their values.
    Fields(Vec<(String, String)>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Duration> for Cell {
    fn from(age: Duration) -> Self {
        Self::Age(age)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Values with their keys, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row(Vec<(&'static str, Cell)>);

impl Row {
    /// A row without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row with one value more.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Cell>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    /// The row with one value more, if there is one: what is not known is absent, never 0.
    #[must_use]
    pub fn with_known(self, key: &'static str, value: Option<impl Into<Cell>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn cut(&mut self, limits: Limits) {
        let cut = |text: &mut String| *text = text::cut(text, limits).into_owned();
        for (_, cell) in &mut self.0 {
            match cell {
                Cell::Text(text) => cut(text),
                Cell::Texts(texts) => texts.iter_mut().for_each(cut),
                Cell::Fields(fields) => fields.iter_mut().for_each(|(name, value)| {
                    cut(name);
                    cut(value);
                }),
                _ => {}
            }
        }
    }

    /// The values with their keys.
    pub fn cells(&self) -> impl Iterator<Item = (&'static str, &Cell)> {
        self.0.iter().map(|(key, cell)| (*key, cell))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Cell> {
        self.0.iter().find(|(other, _)| *other == key).map(|(_, cell)| cell)
    }
}

/// How the rows of a section are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// One row, whose values stand below each other.
    Record,
    /// Rows with the same keys.
    Table,
    /// Sentences.
    Lines,
}

/// Rows about one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    key: &'static str,
    title: &'static str,
    shape: Shape,
    rows: Vec<Row>,
    left_out: u64,
}

impl Section {
    fn new(key: &'static str, title: &'static str, shape: Shape) -> Self {
        Self { key, title, shape, rows: Vec::new(), left_out: 0 }
    }

    /// A section of rows with the same keys.
    pub fn table(key: &'static str, title: &'static str) -> Self {
        Self::new(key, title, Shape::Table)
    }

    /// A section of one row.
    pub fn record(key: &'static str, title: &'static str, row: Row) -> Self {
        let mut section = Self::new(key, title, Shape::Record);
        section.push(row);
        section
    }

    /// A section of sentences.
    pub fn lines(key: &'static str, title: &'static str, lines: Vec<String>) -> Self {
        let mut section = Self::new(key, title, Shape::Lines);
        section.rows = lines.into_iter().map(|line| Row::new().with("line", line)).collect();
        section
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Says that there are so many more rows than those that were added.
    #[must_use]
    pub fn left_out(mut self, rows: u64) -> Self {
        self.left_out += rows;
        self
    }

    /// The key in JSON.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// How its rows are to be read.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many rows there are besides.
    pub fn rows_left_out(&self) -> u64 {
        self.left_out
    }

    /// Its rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that are shown under these limits, and how many are not.
    fn shown(&self, limits: Limits) -> (&[Row], u64) {
        let shown = &self.rows[..self.rows.len().min(limits.rows)];
        (shown, self.left_out + (self.rows.len() - shown.len()) as u64)
    }
}

/// Sections in the order in which they are to be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    headline: String,
    sections: Vec<Section>,
}

/// How many rows of each section are shown, and how many characters of a text.
#[derive(Debug, Clone, Copy)]
struct Limits {
    rows: usize,
    characters: usize,
}

/// The least that texts are cut to.
const CHARACTERS_MIN: usize = 16;

impl Document {
    /// The document with a line above everything, of the text for people only.
    #[must_use]
    pub fn headline(mut self, headline: impl Into<String>) -> Self {
        self.headline = headline.into();
        self
    }

    /// The document with one section more.
    #[must_use]
    pub fn with(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// The sections.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of a key.
    pub fn section(&self, key: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.key == key)
    }

    /// The text for people, of at most so many bytes.
    pub fn text(&self, bytes_max: usize) -> String {
        let mut text = self.fit(bytes_max, |limits| text::render(self, limits));
        let mut end = text.len().min(bytes_max);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }

    /// The JSON object, of at most so many bytes; where nothing fits, `{}`.
    pub fn json(&self, bytes_max: usize) -> String {
        let json = self.fit(bytes_max, |limits| json::render(self, limits));
        if json.len() <= bytes_max { json } else { "{}".to_owned() }
    }

    /// As much of the document as fits so many bytes of JSON.
    #[must_use]
    pub fn limited(self, bytes_max: usize) -> Self {
        let limits = std::cell::Cell::new(Limits { rows: 0, characters: CHARACTERS_MIN });
        self.fit(bytes_max, |tried| {
            limits.set(tried);
            json::render(&self, tried)
        });
        let limits = limits.get();
        let mut limited = self;
        for section in &mut limited.sections {
            section.left_out = section.shown(limits).1;
            section.rows.truncate(limits.rows);
            section.rows.iter_mut().for_each(|row| row.cut(limits));
        }
        limited
    }

    /// The largest rendering that fits, else the smallest there is.
    fn fit(&self, bytes_max: usize, render: impl Fn(Limits) -> String) -> String {
        let rows = self.sections.iter().map(|section| section.rows.len()).max().unwrap_or(0);
        let mut limits = Limits { rows, characters: bytes_max.max(CHARACTERS_MIN) };
        loop {
            let rendered = render(limits);
            let is_least = limits.rows <= 1 && limits.characters == CHARACTERS_MIN;
            if rendered.len() <= bytes_max || is_least {
                return rendered;
            }
            // Long texts are rare and say little at their ends: first down to what a line holds.
            if limits.characters > 512 {
                limits.characters = 512;
            } else if limits.rows > 8 || limits.characters == CHARACTERS_MIN {
                limits.rows = (limits.rows / 2).max(1);
            } else {
                limits.characters = (limits.characters / 2).max(CHARACTERS_MIN);
            }
        }
    }
}

#[cfg(test)]
mod tests;
