//! Fields that are not written, and texts that are replaced.

use super::*;
use std::cell::Cell;

/// Says whether anybody looked at it.
struct Watched<'a>(&'a Cell<bool>);

impl fmt::Debug for Watched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(true);
        f.write_str("seen")
    }
}

fn fields(bytes: &[u8]) -> Vec<(Option<u16>, String)> {
    let name = |key: RawKey<'_>| match key {
        RawKey::Index(index) => Some(index),
        RawKey::Inline(_) => None,
    };
    let fields = RawRecord::first(bytes).expect("it is whole").fields();
    fields.map(|field| (name(field.key), field.value.to_string())).collect()
}

proptest! {
    #[test]
    fn redacted_fields_are_replaced_and_the_others_as_without(
        values in prop::collection::vec(model(), 0..40),
        mask in any::<u64>(),
    ) {
        let written = |mask: u64| {
            Writer::to_vec(&header(Kind::SpanStart), |writer| {
                writer.leading_u64(77);
                writer.redact(mask);
                for (key, value) in values.iter().enumerate() {
                    write(writer, key as u16, value);
                }
            })
        };
        let (plain, redacted) = (written(0), written(mask));
        let redacted = RawRecord::first(&redacted).unwrap();
        prop_assert_eq!(redacted.parent_id(), 77);
        prop_assert_eq!(redacted.fields().count(), values.len());
        let plain = RawRecord::first(&plain).unwrap().fields();
        for (index, (field, other)) in redacted.fields().zip(plain).enumerate() {
            prop_assert!(matches!(field.key, RawKey::Index(key) if usize::from(key) == index));
            match mask & 1 << index != 0 {
                true => prop_assert_eq!(field.value, Value::Str("[redacted]")),
                false => {
                    prop_assert!(is_same(field.value, &values[index]), "{:?}", field);
                    prop_assert_eq!(field.cut, other.cut);
                }
            }
        }
    }

    #[test]
    fn replaced_texts_leave_the_rest_as_it_is(values in prop::collection::vec(model(), 0..40)) {
        let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
            writer.origin("target", "module", "file.rs", 12);
            for (key, value) in values.iter().enumerate() {
                write(writer, key as u16, value);
            }
            writer.inline("inline", &"secret");
        });
        let record = RawRecord::first(&bytes).unwrap();
        prop_assert!(record.with_texts(&mut |_| None).is_none());
        let mut replace = |text: &str| {
            text.contains(['a', 's']).then(|| text.replace(['a', 's'], "--"))
        };
        let new_bytes = record.with_texts(&mut replace).expect("one is replaced");
        let new = RawRecord::first(&new_bytes).unwrap();
        prop_assert_eq!(new_bytes.len() % 8, 0);
        prop_assert_eq!(new.header(), record.header());
        prop_assert_eq!(new.origin(), record.origin());
        prop_assert_eq!(new.fields().count(), record.fields().count());
        for (new, old) in new.fields().zip(record.fields()) {
            match old.value {
                Value::Str(text) => {
                    let expected = replace(text).unwrap_or_else(|| text.to_owned());
                    prop_assert_eq!(new.value, Value::Str(&expected));
                }
                Value::Formatted(text) => {
                    let expected = replace(text).unwrap_or_else(|| text.to_owned());
                    prop_assert_eq!(new.value, Value::Formatted(&expected));
                }
                // Not a number is not equal to itself.
                Value::F64(value) => {
                    let Value::F64(new) = new.value else { panic!("{new:?}") };
                    prop_assert_eq!(new.to_bits(), value.to_bits());
                }
                value => prop_assert_eq!(new.value, value),
            }
        }
    }
}

#[test]
fn nobody_looks_at_a_redacted_value() {
    let is_seen = Cell::new(false);
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        writer.redact(0b11011);
        writer.formatted(0, &Watched(&is_seen));
        writer.format_args(1, format_args!("{:?}", Watched(&is_seen)));
        writer.u64(2, 5);
        writer.error(3, &Nested(3));
        writer.bytes(4, b"seen");
        writer.inline("token", &format_args!("{:?}", Watched(&is_seen)));
        writer.inline("token_count", &3);
    });
    assert!(!is_seen.get());
    assert!(!bytes.windows(4).any(|part| part == b"seen"));
    let values: Vec<_> = fields(&bytes).into_iter().map(|(_, value)| value).collect();
    let hidden = "[redacted]";
    assert_eq!(values, [hidden, hidden, "5", hidden, hidden, hidden, "3"]);
}

#[test]
fn panic_beside_a_redacted_field_leaves_it_redacted() {
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        writer.redact(0b1010);
        writer.formatted(0, &Panics);
        writer.bool(1, true);
        writer.str(2, &"é".repeat(VALUE_BYTES_MAX));
        writer.bool(3, true);
    });
    let fields = fields(&bytes);
    assert_eq!(fields[0], (Some(0), "<panic in Debug>".to_owned()));
    assert_eq!(fields[1], (Some(1), "[redacted]".to_owned()));
    assert_eq!(fields[2].1.len(), VALUE_BYTES_MAX);
    assert_eq!(fields[3], (Some(3), "[redacted]".to_owned()));
}

/// Writes more than its value.
struct Generous;

impl Encode for Generous {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.inline("a", &true);
        writer.u64(key, 1);
    }
}

#[test]
fn inline_keys_between_redacted_fields_open_no_gap() {
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        writer.redact(0b110);
        Generous.encode(0, writer);
        writer.bool(1, true);
        Generous.encode(2, writer);
    });
    let hidden = |index| (Some(index), "[redacted]".to_owned());
    let inline = || (None, "true".to_owned());
    assert_eq!(
        fields(&bytes),
        [inline(), (Some(0), "1".to_owned()), hidden(1), inline(), hidden(2)]
    );
}

#[test]
fn full_record_with_redacted_fields_stays_within_its_limit() {
    let text = "x".repeat(VALUE_BYTES_MAX - 100);
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        writer.redact(!0 << 1);
        for key in 0..10_000 {
            writer.str(if key % 2 == 0 { 0 } else { key }, &text);
        }
    });
    assert!(bytes.len() <= RECORD_BYTES_MAX);
    assert_ne!(RawRecord::first(&bytes).unwrap().flags() & flag::CUT, 0);
    let odd = fields(&bytes).into_iter().filter(|(key, _)| *key != Some(0));
    assert!(odd.map(|(_, value)| value).all(|value| value == "[redacted]"));
}

#[test]
fn texts_that_grow_stay_within_the_limits() {
    let text = "a ".repeat(VALUE_BYTES_MAX / 2);
    let bytes = Writer::to_vec(&header(Kind::Event), |writer| {
        for key in 0..3 {
            writer.str(key, &text);
        }
        writer.error(3, &Nested(3));
    });
    let mut grow =
        |text: &str| Some(text.replace('a', "[redacted]").replace("level", &text.repeat(9000)));
    let new = RawRecord::first(&bytes).unwrap().with_texts(&mut grow).unwrap();
    assert!(new.len() <= RECORD_BYTES_MAX);
    let record = RawRecord::first(&new).unwrap();
    assert_ne!(record.flags() & flag::CUT, 0);
    for field in record.fields() {
        assert!(field.cut, "{field:?}");
        let Value::Str(text) = field.value else { continue };
        assert_eq!(text.len(), VALUE_BYTES_MAX);
    }
}
