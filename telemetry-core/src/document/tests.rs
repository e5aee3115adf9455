//! Renderings against an oracle (`serde_json`) and against their limits.

use super::*;
use proptest::prelude::*;

fn sample(rows: usize, text: &str) -> Document {
    let mut table = Section::table("threads", "Threads");
    for n in 0..rows {
        let row = Row::new()
            .with("name", format!("{n}{text}"))
            .with("age_s", Duration::from_millis(31_234))
            .with("fields", Cell::Fields(vec![("a".into(), text.into()), ("a".into(), "2".into())]))
            .with_known("missing", None::<Cell>);
        table.push(row);
    }
    let row = Row::new().with("size_bytes", Cell::Bytes(1536)).with("on", true);
    Document::default()
        .with(Section::lines("look", "Look here first", vec![format!("one {text}"), "two".into()]))
        .with(Section::record("process", "Process", row))
        .with(table.left_out(3))
}

#[test]
fn text_is_aligned_and_has_units() {
    let expected = "\
Look here first
  one x
  two

Process
  size  1.5 KiB
  on    yes

Threads
  name     age  fields
  0x    31.2 s  a=x a=2
  1x    31.2 s  a=x a=2
  … and 3 more
";
    assert_eq!(sample(2, "x").text(4096), expected);
}

#[test]
fn json_has_numbers_in_the_unit_of_their_key() {
    let json: serde_json::Value = serde_json::from_str(&sample(1, "x").json(4096)).unwrap();
    assert_eq!(json["look"], serde_json::json!(["one x", "two"]));
    assert_eq!(json["process"], serde_json::json!({"size_bytes": 1536, "on": true}));
    let thread = serde_json::json!({"name": "0x", "age_s": 31.234, "fields": {"a": "2"}});
    assert_eq!(json["threads"], serde_json::json!([thread]));
    assert_eq!(json["left_out"], serde_json::json!({"threads": 3}));
}

#[test]
fn rows_that_do_not_fit_are_counted() {
    let document = sample(1000, "a thread with a name");
    let json: serde_json::Value = serde_json::from_str(&document.json(8 * 1024)).unwrap();
    let shown = json["threads"].as_array().unwrap().len();
    assert!(shown > 20, "the room is used: {shown}");
    assert_eq!(json["left_out"]["threads"], 1000 - shown + 3);
    let text = document.text(8 * 1024);
    let shown = text.matches("31.2 s").count();
    assert!(text.contains(&format!("… and {} more", 1000 - shown + 3)), "{text}");
}

#[test]
fn text_cannot_steer_a_terminal() {
    let text = sample(1, "\u{1b}[2J\r\u{202e}").text(4096);
    assert!(text.contains("\\u{1b}[2J\\u{d}\\u{202e}"), "{text}");
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
}

#[test]
fn what_is_empty_is_left_out_but_for_sentences() {
    let document = Document::default()
        .with(Section::lines("look", "Look here first", Vec::new()))
        .with(Section::table("threads", "Threads"));
    assert_eq!(document.text(1024), "Look here first\n  nothing\n");
    assert_eq!(document.json(1024), r#"{"look":[],"threads":[],"left_out":{}}"#);
}

#[test]
fn numbers_have_few_digits_and_rates_their_unit() {
    let row = Row::new().with("growth_per_s", Cell::Number(5.022_352_530_999));
    let document = Document::default().with(Section::record("queue", "Queue", row));
    assert_eq!(document.text(1024), "Queue\n  growth/s  5.022353\n");
}

#[test]
fn ages_have_the_unit_that_suits() {
    let table = [
        (Duration::ZERO, "0 s"),
        (Duration::from_micros(40), "40 µs"),
        (Duration::from_millis(12), "12 ms"),
        (Duration::from_millis(59_990), "59.9 s"),
        (Duration::from_secs(125), "2 min 5 s"),
        (Duration::from_secs(11_040), "3 h 4 min"),
        (Duration::from_secs(439_300), "5 d 2 h"),
    ];
    for (age, expected) in table {
        assert_eq!(text::duration(age), expected);
    }
}

proptest! {
    #[test]
    fn nothing_is_larger_than_it_may_be(
        rows in 0_usize..60,
        text in "\\PC{0,40}|[\\x00-\\x1f\"\\\\]{0,40}",
        bytes_max in 0_usize..4096,
    ) {
        let document = sample(rows, &text);
        prop_assert!(document.text(bytes_max).len() <= bytes_max);
        let json = document.json(bytes_max);
        prop_assert!(json.len() <= bytes_max.max(2));
        let json: Result<serde_json::Value, _> = serde_json::from_str(&json);
        prop_assert!(json.is_ok_and(|json| json.is_object()));
        let limited = sample(rows, &text).limited(bytes_max);
        prop_assert_eq!(limited.json(bytes_max), sample(rows, &text).json(bytes_max));
    }
}
