//! Snapshots for `serde`.

use super::Snapshot;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use telemetry_core::document::{Cell, Row, Section, Shape};

impl Serialize for Snapshot {
    /// The same members as in [`Snapshot::to_json`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for section in self.document.sections() {
            map.serialize_entry(section.key(), &Rows(section))?;
        }
        let left_out = self.document.sections().iter().filter(|one| one.rows_left_out() > 0);
        let left_out = left_out.map(|section| (section.key(), section.rows_left_out()));
        map.serialize_entry("left_out", &Map(left_out.collect()))?;
        map.end()
    }
}

struct Map<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

struct Rows<'a>(&'a Section);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.0.rows();
        match (self.0.shape(), rows.first()) {
            (Shape::Record, Some(row)) => members(row).serialize(serializer),
            (Shape::Record, None) => Map::<&str, ()>(Vec::new()).serialize(serializer),
            (Shape::Lines, _) => {
                let lines = rows.iter().flat_map(Row::cells).map(|(_, cell)| Value(cell));
                serializer.collect_seq(lines)
            }
            _ => {
                let mut list = serializer.serialize_seq(Some(rows.len()))?;
                rows.iter().try_for_each(|row| list.serialize_element(&members(row)))?;
                list.end()
            }
        }
    }
}

fn members(row: &Row) -> Map<&'static str, Value<'_>> {
    Map(row.cells().map(|(key, cell)| (key, Value(cell))).collect())
}

struct Value<'a>(&'a Cell);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Texts(texts) => texts.serialize(serializer),
            Cell::Count(number) | Cell::Bytes(number) => serializer.serialize_u64(*number),
            Cell::Number(number) => serializer.serialize_f64(*number),
            Cell::Age(age) => serializer.serialize_f64(age.as_micros() as f64 / 1e6),
            Cell::Flag(flag) => serializer.serialize_bool(*flag),
            Cell::Fields(fields) => {
                // A map has a name once: the last value counts.
                let last = fields.iter().enumerate().filter(|(n, (name, _))| {
                    !fields[n + 1..].iter().any(|(later, _)| later == name)
                });
                serializer.collect_map(last.map(|(_, (name, value))| (name, value)))
            }
            _ => serializer.serialize_none(),
        }
    }
}
