//! Any text in any place: one line, valid, the same when read back.

use crate::support::{NOW, lines_of, strict, text_of};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use telemetry_core::Level;
use telemetry_core::batch::Batch;
use telemetry_core::output::is_unprintable;
use telemetry_core::record::{Encode, Writer};
use telemetry_core::testing::{BatchFixture, ErrorFixture};
use telemetry_json::JsonExporter;

#[derive(Debug, Clone)]
enum Field {
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Bool(bool),
    Str(String),
    Formatted(String),
    Bytes(Vec<u8>),
    Error(Vec<String>),
}

impl Encode for Field {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        match self {
            Self::I64(value) => writer.i64(key, *value),
            Self::U64(value) => writer.u64(key, *value),
            Self::I128(value) => writer.i128(key, *value),
            Self::U128(value) => writer.u128(key, *value),
            Self::F64(value) => writer.f64(key, *value),
            Self::Bool(value) => writer.bool(key, *value),
            Self::Str(value) => writer.str(key, value),
            Self::Formatted(value) => writer.format_args(key, format_args!("{value}")),
            Self::Bytes(value) => writer.bytes(key, value),
            Self::Error(texts) => writer.error(key, &ErrorFixture::of(texts).unwrap()),
        }
    }
}

impl Field {
    fn matches(&self, read: &Value) -> bool {
        match self {
            Self::I64(value) => *read == json!(value),
            Self::U64(value) => *read == json!(value),
            Self::I128(value) => match i64::try_from(*value) {
                Ok(value) => *read == json!(value),
                Err(_) => *read == json!(value.to_string()),
            },
            Self::U128(value) => match u64::try_from(*value) {
                Ok(value) => *read == json!(value),
                Err(_) => *read == json!(value.to_string()),
            },
            Self::F64(value) if value.is_nan() => *read == json!("NaN"),
            Self::F64(value) if value.is_infinite() => {
                *read == json!(if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            // serde_json reads floats to the last bit but one only; the bits have their own test.
            Self::F64(value) => read.as_f64().is_some_and(|read| {
                (read - value).abs() <= value.abs() * 1e-15 || (read - value).abs() < 1e-300
            }),
            Self::Bool(value) => *read == json!(value),
            Self::Str(value) | Self::Formatted(value) => *read == json!(value),
            Self::Bytes(value) => {
                read.as_str().and_then(decode_base64).is_some_and(|read| read == *value)
            }
            Self::Error(texts) => *read == json!({"message": texts[0], "chain": texts[1..]}),
        }
    }
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut group, mut bits) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        group = group << 6 | alphabet.iter().position(|known| *known == digit)? as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    text.len().is_multiple_of(4).then_some(bytes)
}

fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\u{1b}[2J",
        "\u{9b}31m",
        "\u{7}",
        "\u{7f}",
        "\0",
        "\"",
        "\\",
        "\\u0000",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{2028}",
        "\u{feff}",
        "\u{e0041}",
        "{}",
        "é",
        "漢",
        "🦀",
        "2026-11-22T09:00:00.123456Z ERROR forged",
        "${jndi:x}",
        "\u{85}",
        "\u{ad}",
    ]);
    prop_oneof![
        3 => "[ -~]{0,40}",
        2 => prop::collection::vec(hostile, 0..6).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let known = ["message", "level", "name", "timestamp", "trace_id", "fields", "a", "b", ""];
    let keys =
        prop_oneof![2 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => text()];
    keys.prop_filter("its value is redacted", |key| !telemetry_core::redaction::is_secret(key))
}

fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        any::<i64>().prop_map(Field::I64),
        any::<u64>().prop_map(Field::U64),
        any::<i128>().prop_map(Field::I128),
        any::<u128>().prop_map(Field::U128),
        any::<i32>().prop_map(|value| Field::I128(value.into())),
        any::<f64>().prop_map(Field::F64),
        prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0])
            .prop_map(Field::F64),
        any::<bool>().prop_map(Field::Bool),
        text().prop_map(Field::Str),
        text().prop_map(Field::Formatted),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Field::Bytes),
        prop::collection::vec(text(), 1..4).prop_map(Field::Error),
    ]
}

#[derive(Debug, Clone)]
struct Part {
    name: String,
    named: Vec<(String, Field)>,
    inline: Vec<(String, Field)>,
}

impl Part {
    fn names(&self) -> Vec<&str> {
        self.named.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        for (index, (_, field)) in self.named.iter().enumerate() {
            field.encode(index as u16, writer);
        }
        for (name, field) in &self.inline {
            writer.inline(name, field);
        }
    }

    fn check(&self, read: &Value) -> Result<(), TestCaseError> {
        let read = read.as_object().expect("an object");
        let mut expected = Map::new();
        for (name, field) in self.named.iter().chain(&self.inline) {
            let value = read.get(name).unwrap_or(&Value::Null);
            expected.insert(name.clone(), json!(field.matches(value)));
        }
        prop_assert_eq!(read.len(), expected.len());
        prop_assert!(expected.values().all(|same| *same == json!(true)), "{:?}", read);
        Ok(())
    }
}

fn part() -> impl Strategy<Value = Part> {
    let fields = |most| prop::collection::vec((key(), field()), 0..most);
    let inline = prop_oneof![2 => Just(Vec::new()), 1 => fields(4), 1 => fields(40)];
    (text(), fields(6), inline).prop_map(|(name, named, inline)| Part { name, named, inline })
}

fn batch_of(spans: &[Part], event: &Part) -> Batch {
    let mut fixture = BatchFixture::new();
    let mut inner = None;
    for part in spans {
        let span = fixture
            .span(&part.name, Level::Info, &part.names(), inner, NOW, |writer| part.write(writer));
        inner = Some(span);
    }
    fixture.event(&event.name, Level::Info, &event.names(), inner, NOW, |w| event.write(w));
    if let Some(inner) = inner {
        fixture.close(inner, NOW + 5);
    }
    fixture.finish()
}

proptest! {
    #[test]
    fn any_record_is_one_line_that_reads_back_the_same(
        spans in prop::collection::vec(part(), 0..4),
        event in part(),
    ) {
        let builder = || JsonExporter::builder().line_bytes_max(1024 * 1024).location(true);
        let text = text_of(builder(), batch_of(&spans, &event));
        prop_assert!(!text.trim_end_matches('\n').chars().any(|c| is_unprintable(c) && c != '\n'));
        let lines: Vec<Value> = text.lines().map(strict).collect();
        prop_assert_eq!(lines.len(), 1 + usize::from(!spans.is_empty()));
        prop_assert_eq!(&lines[0]["target"], &json!(event.name));
        event.check(&lines[0]["fields"])?;
        for (n, span) in spans.iter().enumerate() {
            prop_assert_eq!(&lines[0]["spans"][n]["name"], &json!(span.name));
            span.check(&lines[0]["spans"][n]["fields"])?;
        }
        if let Some(inner) = spans.last() {
            prop_assert_eq!(&lines[0]["span"], &lines[0]["spans"][spans.len() - 1]);
            prop_assert_eq!(&lines[1]["name"], &json!(inner.name));
            inner.check(&lines[1]["fields"])?;
        }
    }

    #[test]
    fn any_record_fits_into_its_line_and_stays_valid(
        spans in prop::collection::vec(part(), 0..4),
        event in part(),
        line_bytes_max in 1024_usize..4096,
        repeat in 1_usize..200,
    ) {
        let grow = |part: &Part| Part {
            name: part.name.repeat(repeat.min(20)),
            named: part.named.iter().map(|(key, field)| {
                let field = match field {
                    Field::Str(text) => Field::Str(text.repeat(repeat)),
                    other => other.clone(),
                };
                (key.repeat(repeat.min(10)), field)
            }).collect(),
            inline: part.inline.clone(),
        };
        let spans: Vec<Part> = spans.iter().map(grow).collect();
        let batch = batch_of(&spans, &grow(&event));
        let builder = JsonExporter::builder().line_bytes_max(line_bytes_max).location(true);
        let text = text_of(builder, batch);
        prop_assert_eq!(text.lines().count(), 1 + usize::from(!spans.is_empty()));
        for line in text.lines() {
            prop_assert!(line.len() < line_bytes_max, "{} bytes", line.len() + 1);
            let _ = strict(line);
        }
    }

    #[test]
    fn floats_keep_every_bit(value in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
        let mut fixture = BatchFixture::new();
        fixture.event("app", Level::Info, &["f"], None, NOW, |w| w.f64(0, value));
        let text = text_of(JsonExporter::builder(), fixture.finish());
        let (_, number) = text.split_once("\"f\":").unwrap();
        let number: f64 = number.split('}').next().unwrap().parse().unwrap();
        prop_assert_eq!(number.to_bits(), value.to_bits());
    }
}

#[test]
fn ten_thousand_forged_lines_stay_in_theirs() {
    let forged =
        "\n{\"timestamp\":\"2026-11-22T09:00:00.123456Z\",\"level\":\"ERROR\"}\r\n\u{2028}";
    let mut fixture = BatchFixture::new();
    for n in 0..2_000 {
        let text = format!("{n}{forged}");
        fixture.log_event(&text, Level::Info, &text, &[(&text, &text)], NOW);
    }
    let text = text_of(JsonExporter::builder(), fixture.finish());
    assert_eq!(text.lines().count(), 2_000);
    for (n, line) in text.lines().map(strict).enumerate() {
        let text = format!("{n}{forged}");
        assert_eq!(line["target"], json!(text));
        assert_eq!(line["fields"]["message"], json!(text));
        assert_eq!(line["fields"][&text], json!(text));
    }
    // And so that all kinds of text are among them: 8,000 more.
    let mut fixture = BatchFixture::new();
    for n in 0..8_000_u32 {
        let c = char::from_u32(n % 0x3000).unwrap_or('\n');
        let text = format!("{c}\n{c}\r");
        fixture.log_event("t", Level::Info, &text, &[], NOW);
    }
    let lines = lines_of(JsonExporter::builder(), fixture.finish());
    assert_eq!(lines.len(), 8_000);
}

#[test]
fn line_that_is_too_long_loses_values_and_says_so() {
    let long = "\u{1b}".repeat(10_000);
    let mut fixture = BatchFixture::new();
    let names = ["message", "n", "bytes"];
    fixture.event("app", Level::Info, &names, None, NOW, |w| {
        w.str(0, &long);
        w.u64(1, 7);
        w.bytes(2, &[7; 9_000]);
    });
    let text = text_of(JsonExporter::builder(), fixture.finish());
    assert!(text.len() <= 16 * 1024 && text.len() > 4 * 1024, "{} bytes", text.len());
    let line = strict(text.trim_end());
    assert_eq!(line["cut"], true);
    assert_eq!(line["fields"]["n"], 7);
    assert!(line["fields"]["message"].as_str().is_some_and(|kept| long.starts_with(kept)));
}

#[test]
fn many_large_spans_around_an_event_cost_no_more_than_a_line() {
    let large = "\u{1b}".repeat(16_000);
    let mut fixture = BatchFixture::new();
    let mut inner = None;
    for _ in 0..32 {
        inner = Some(fixture.span("s", Level::Info, &["a", "b", "c"], inner, NOW, |w| {
            (0..3).for_each(|key| w.str(key, &large));
        }));
    }
    for _ in 0..50 {
        fixture.event("app", Level::Info, &["n"], inner, NOW, |w| w.u64(0, 7));
    }
    let text = text_of(JsonExporter::builder().line_bytes_max(64 * 1024), fixture.finish());
    assert_eq!(text.lines().count(), 50);
    for line in text.lines() {
        assert!(line.len() < 64 * 1024);
        let line = strict(line);
        assert_eq!((&line["fields"]["n"], &line["cut"]), (&json!(7), &json!(true)));
        assert_eq!(line["spans"].as_array().map(Vec::len), Some(32), "names are kept");
    }
}
