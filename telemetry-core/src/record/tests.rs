//! Round trips of records through writer and reader.

mod redaction;

use super::*;
use crate::record::read::{RawKey, RawRecord};
use proptest::prelude::*;
use std::fmt;

fn header(kind: Kind) -> Header {
    Header {
        kind,
        flags: flag::SAMPLED,
        epoch: 3,
        callsite: 7,
        sinks: 0b101,
        ticks: 99,
        trace_high: 1 << 36,
        trace_low: 5,
        span_id: 11,
    }
}

#[derive(Debug, Clone)]
enum Model {
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Bool(bool),
    Str(String),
    Formatted(String),
    Bytes(Vec<u8>),
}

fn model() -> impl Strategy<Value = Model> {
    prop_oneof![
        any::<i64>().prop_map(Model::I64),
        any::<u64>().prop_map(Model::U64),
        any::<i128>().prop_map(Model::I128),
        any::<u128>().prop_map(Model::U128),
        any::<f64>().prop_map(Model::F64),
        any::<bool>().prop_map(Model::Bool),
        any::<String>().prop_map(Model::Str),
        any::<String>().prop_map(Model::Formatted),
        any::<Vec<u8>>().prop_map(Model::Bytes),
    ]
}

fn key() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("its value is redacted", |key| !crate::redaction::is_secret(key))
}

fn write(writer: &mut Writer<'_>, key: u16, value: &Model) {
    match value {
        Model::I64(value) => writer.i64(key, *value),
        Model::U64(value) => writer.u64(key, *value),
        Model::I128(value) => writer.i128(key, *value),
        Model::U128(value) => writer.u128(key, *value),
        Model::F64(value) => writer.f64(key, *value),
        Model::Bool(value) => writer.bool(key, *value),
        Model::Str(value) => writer.str(key, value),
        Model::Formatted(value) => writer.format_args(key, format_args!("{value}")),
        Model::Bytes(value) => writer.bytes(key, value),
    }
}

fn is_same(value: Value<'_>, model: &Model) -> bool {
    match (value, model) {
        (Value::I64(a), Model::I64(b)) => a == *b,
        (Value::U64(a), Model::U64(b)) => a == *b,
        (Value::I128(a), Model::I128(b)) => a == *b,
        (Value::U128(a), Model::U128(b)) => a == *b,
        (Value::F64(a), Model::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Bool(a), Model::Bool(b)) => a == *b,
        (Value::Str(a), Model::Str(b)) | (Value::Formatted(a), Model::Formatted(b)) => a == b,
        (Value::Bytes(a), Model::Bytes(b)) => a == b,
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(model(), 0..40)) {
        let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
            for (key, value) in values.iter().enumerate() {
                write(writer, key as u16, value);
            }
        });
        prop_assert_eq!(bytes.len() % 8, 0);
        let record = RawRecord::first(&bytes).unwrap();
        prop_assert_eq!(record.header().unwrap(), header(Kind::Event));
        let read: Vec<_> = record.fields().collect();
        prop_assert_eq!(read.len(), values.len());
        for (index, (field, value)) in read.iter().zip(&values).enumerate() {
            prop_assert!(matches!(field.key, RawKey::Index(key) if usize::from(key) == index));
            prop_assert!(is_same(field.value, value), "{:?} {:?}", field, value);
            prop_assert!(!field.cut);
        }
    }

    #[test]
    fn inline_keys_keep_their_values(
        pairs in prop::collection::vec((key(), any::<i64>()), 0..20),
    ) {
        let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
            writer.origin("target", "module", "file.rs", 12);
            for (key, value) in &pairs {
                writer.inline(key, value);
            }
        });
        let record = RawRecord::first(&bytes).unwrap();
        let origin = record.origin().unwrap();
        prop_assert_eq!(
            (origin.target, origin.module, origin.file, origin.line),
            ("target", "module", "file.rs", 12)
        );
        let read: Vec<_> = record.fields().collect();
        prop_assert_eq!(read.len(), pairs.len());
        for (field, (key, value)) in read.iter().zip(&pairs) {
            prop_assert!(matches!(field.key, RawKey::Inline(read) if read == key));
            prop_assert_eq!(field.value, Value::I64(*value));
        }
    }

    #[test]
    fn damaged_records_end_early_and_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in 1_u8..6,
    ) {
        // Texts are trusted (only our writer makes them), so no text types are among these.
        let length = bytes.len() as u32;
        if bytes.len() >= HEADER_BYTES {
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes[4] = kind;
            bytes[5] = 0;
        }
        for byte in bytes.iter_mut().skip(HEADER_BYTES) {
            if matches!(*byte, value_type::STR | value_type::FORMATTED | 255) {
                *byte = 0;
            }
        }
        if let Some(record) = RawRecord::first(&bytes) {
            let _ = (record.parent_id(), record.follows_from(), record.origin());
            prop_assert!(record.fields().count() <= bytes.len());
        }
    }
}

#[test]
fn long_values_are_cut_on_a_character_boundary_and_marked() {
    let text = "é".repeat(VALUE_BYTES_MAX);
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        writer.str(0, &text);
        writer.format_args(1, format_args!("{text}"));
        writer.bytes(2, text.as_bytes());
        writer.u64(3, 1);
    });
    let record = RawRecord::first(&bytes).unwrap();
    assert_ne!(record.flags() & flag::CUT, 0);
    let fields: Vec<_> = record.fields().collect();
    assert_eq!(fields.len(), 4);
    for field in &fields[..3] {
        assert!(field.cut);
        let length = match field.value {
            Value::Str(text) | Value::Formatted(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        assert_eq!(length, VALUE_BYTES_MAX);
    }
    assert!(!fields[3].cut);
}

#[test]
fn a_record_stops_at_its_limit_and_says_so() {
    let text = "x".repeat(VALUE_BYTES_MAX - 100);
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        for key in 0..10_000 {
            writer.str(key, &text);
        }
    });
    assert!(bytes.len() <= RECORD_BYTES_MAX);
    let record = RawRecord::first(&bytes).unwrap();
    assert_ne!(record.flags() & flag::CUT, 0);
    assert!(record.fields().count() >= 4);
}

struct Megabyte<'a>(&'a std::cell::Cell<usize>);

impl fmt::Debug for Megabyte<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for n in 0..1_000_000 {
            self.0.set(n);
            f.write_str("m")?;
        }
        Ok(())
    }
}

#[test]
fn a_debug_of_a_megabyte_is_stopped_at_the_limit() {
    let written = std::cell::Cell::new(0);
    let bytes =
        Writer::to_vec(&header(Kind::Event), |writer| writer.formatted(0, &Megabyte(&written)));
    let field = RawRecord::first(&bytes).unwrap().fields().next().unwrap();
    assert!(field.cut);
    assert_eq!(written.get(), VALUE_BYTES_MAX, "the formatter was told to stop");
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half")?;
        panic!("in Debug")
    }
}

#[test]
fn a_debug_that_panics_leaves_a_mark_and_the_other_fields() {
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        writer.formatted(0, &Panics);
        writer.u64(1, 5);
    });
    let fields: Vec<_> = RawRecord::first(&bytes).unwrap().fields().collect();
    assert_eq!(fields[0].value, Value::Formatted("<panic in Debug>"));
    assert_eq!(fields[1].value, Value::U64(5));
}

#[derive(Debug)]
struct Nested(u32);

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}", self.0)
    }
}

impl std::error::Error for Nested {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        static SOURCES: [Nested; 3] = [Nested(0), Nested(1), Nested(2)];
        self.0.checked_sub(1).map(|next| &SOURCES[next as usize] as _)
    }
}

#[test]
fn an_error_keeps_its_chain() {
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| writer.error(0, &Nested(3)));
    let Value::Error(chain) = RawRecord::first(&bytes).unwrap().fields().next().unwrap().value
    else {
        panic!("not an error")
    };
    assert_eq!(chain.collect::<Vec<_>>(), ["level 3", "level 2", "level 1", "level 0"]);
}

#[test]
fn thousands_of_fields_are_kept_up_to_the_records_limit() {
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        for key in 0..300 {
            writer.u64(key, u64::from(key));
        }
    });
    let record = RawRecord::first(&bytes).expect("it is whole");
    assert_eq!(record.flags() & flag::CUT, 0);
    let keys: Vec<u16> = (record.fields())
        .map(|field| match field.key {
            RawKey::Index(index) => index,
            RawKey::Inline(key) => panic!("{key} is not inline"),
        })
        .collect();
    assert_eq!(keys, (0..300).collect::<Vec<_>>());

    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        for key in 0..20_000 {
            writer.u64(key, u64::from(key));
        }
    });
    let record = RawRecord::first(&bytes).expect("it is whole");
    assert!(bytes.len() <= RECORD_BYTES_MAX);
    assert_ne!(record.flags() & flag::CUT, 0, "what is left out is marked");
    assert_eq!(record.fields().count(), (RECORD_BYTES_MAX - HEADER_BYTES) / 12);
}
