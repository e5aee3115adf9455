//! Rounds, medians, the table on the screen and the lines in the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Result;

/// Named numbers: what a child answers, and what a row holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values(BTreeMap<String, f64>);

impl Values {
    /// Adds one number under `name`.
    pub(crate) fn with(mut self, name: &str, value: f64) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Adds one number where there is one.
    pub(crate) fn with_some(self, name: &str, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The number under `name`, where it was measured.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Writes them as `name=value` words.
    pub(crate) fn to_words(&self) -> String {
        let words: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        words.join(" ")
    }

    /// Reads them back; a word that is none is skipped.
    pub(crate) fn from_words(words: &str) -> Self {
        let pairs = words.split_whitespace().filter_map(|word| word.split_once('='));
        Self(
            pairs
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }
}

/// The median of what was measured, none of nothing.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The smallest of what was measured, none of nothing.
pub(crate) fn smallest(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().min_by(f64::total_cmp)
}

/// The largest of what was measured, none of nothing.
pub(crate) fn largest(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().max_by(f64::total_cmp)
}

/// The numbers called `name` of all runs that have one.
pub(crate) fn samples(runs: &[Values], name: &str) -> Vec<f64> {
    runs.iter().filter_map(|run| run.get(name)).collect()
}

/// One line of the result: a case, who ran it, and what was measured.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The group the case belongs to.
    pub(crate) group: &'static str,
    /// The case.
    pub(crate) case: String,
    /// Who ran it.
    pub(crate) subject: &'static str,
    /// Which version of it.
    pub(crate) version: String,
    /// Threads that produced.
    pub(crate) threads: usize,
    /// What was measured; what does not apply is absent.
    pub(crate) values: Values,
}

/// The rows so far, and where they go.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
    file: Option<File>,
}

impl Report {
    /// Starts a report that appends to `jsonl`, where one is given.
    pub(crate) fn create(jsonl: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let file = jsonl.map(|path| open(path).map_err(|e| format!("`{}`: {e}", path.display())));
        Ok(Self { rows: Vec::new(), file: file.transpose()? })
    }

    /// Adds a row and writes its line at once: a run that is cut short keeps what it measured.
    pub(crate) fn add(&mut self, row: Row) -> Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", json(&row))?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints the rows of `group` as a table, its cases apart.
    pub(crate) fn print(&self, group: &str) {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.group == group).collect();
        if rows.is_empty() {
            println!("\n{group}: nothing measured");
            return;
        }
        let columns = columns(&rows);
        print!("\n{group:<30} {:<38} {:>10} {:>2}", "subject", "version", "th");
        columns.iter().for_each(|column| print!(" {column:>width$}", width = width(column)));
        println!();
        let mut case = "";
        for row in rows {
            let shown = if row.case == case { "" } else { &row.case };
            case = &row.case;
            print!("{shown:<30} {:<38} {:>10} {:>2}", row.subject, row.version, row.threads);
            for column in &columns {
                let text = row.values.get(column).map_or(String::new(), number);
                print!(" {text:>width$}", width = width(column));
            }
            println!();
        }
    }
}

fn columns(rows: &[&Row]) -> Vec<String> {
    let mut names: Vec<String> = rows.iter().flat_map(|row| row.values.0.keys().cloned()).collect();
    names.sort();
    names.dedup();
    names
}

fn width(column: &str) -> usize {
    column.len().max(9)
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 10_000.0 {
        format!("{value:.0}")
    } else if value < 1.0 {
        format!("{value:.4}")
    } else {
        format!("{value:.1}")
    }
}

fn json(row: &Row) -> Value {
    let mut object = Map::new();
    object.insert("group".to_owned(), row.group.into());
    object.insert("case".to_owned(), row.case.clone().into());
    object.insert("subject".to_owned(), row.subject.into());
    object.insert("version".to_owned(), row.version.clone().into());
    object.insert("threads".to_owned(), row.threads.into());
    for (name, value) in &row.values.0 {
        let whole = value.fract() == 0.0 && value.abs() < 9e15;
        let json = if whole { Value::from(*value as i64) } else { Value::from(rounded(*value)) };
        object.insert(name.clone(), json);
    }
    Value::Object(object)
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_from_child_to_parent() {
        let values = Values::default().with("ns", 12.5).with("lost", 0.0).with_some("ir", None);
        assert_eq!(Values::from_words(&values.to_words()), values);
    }

    #[test]
    fn median_of_three_is_the_middle_one() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
