//! Any text in any place, in any style: no line but the records' own, and nothing that a terminal
//! would act on.

use crate::support::{NOW, text_of};
use proptest::prelude::*;
use std::collections::HashSet;
use telemetry_console::{Colours, ConsoleExporter, Style};
use telemetry_core::Level;
use telemetry_core::metric::{Labels, Registry};
use telemetry_core::output::is_unprintable;
use telemetry_core::testing::{BatchFixture, ErrorFixture, Lines, export_metrics};

fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\r",
        "\t",
        "\u{1b}[2J",
        "\u{1b}]52;c;x\u{7}",
        "\u{9b}31m",
        "\u{8}",
        "\u{7f}",
        "\0",
        "\"",
        "\\",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{200f}",
        "\u{2028}",
        "\u{feff}",
        "\u{e0041}",
        "{}",
        "é",
        "漢",
        "🦀",
        "\u{85}",
        "\u{ad}",
        "a=b",
        " ",
        "2026-11-22T09:00:00.123456Z ERROR forged",
        "\n09:00:00.123Z ERROR forged",
        "\nts=2026-11-22T09:00:00.123456Z level=error msg=forged",
        "\n<3>ERROR forged",
        "level",
        "field.level",
        "msg",
        "%20",
    ]);
    prop_oneof![
        1 => "[ -~]{0,40}",
        3 => prop::collection::vec(hostile, 0..6).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
}

const STYLES: [Style; 4] = [Style::Compact, Style::Pretty, Style::Logfmt, Style::Journald];

/// Is it so many records, of which nothing acts on a terminal, and each begins as its style has it?
fn check(text: &str, records: usize, style: Style) -> Result<(), TestCaseError> {
    prop_assert!(records == 0 || text.ends_with('\n'));
    for c in text.chars() {
        prop_assert!(c == '\n' || !is_unprintable(c), "{c:?} in {text:?}");
    }
    let is_indented = |line: &&str| style == Style::Pretty && line.starts_with("  ");
    let begins: Vec<&str> = text.split_terminator('\n').filter(|line| !is_indented(line)).collect();
    prop_assert_eq!(begins.len(), records, "{}", text);
    for line in begins {
        let begin = match style {
            Style::Pretty => "09:00:00.123Z ",
            Style::Logfmt => "ts=2026-11-22T09:00:00.123456Z ",
            Style::Journald => "<",
            _ => "2026-11-22T09:00:00.123456Z ",
        };
        prop_assert!(line.starts_with(begin), "{line:?}");
        if style == Style::Logfmt {
            let pairs = pairs(line).map_err(TestCaseError::fail)?;
            let keys: HashSet<&String> = pairs.iter().map(|(key, _)| key).collect();
            prop_assert_eq!(keys.len(), pairs.len(), "{}", line);
        }
    }
    Ok(())
}

/// Reads a line of logfmt, strictly.
pub(crate) fn pairs(line: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').ok_or_else(|| format!("no `=` in {rest:?}"))?;
        if key.is_empty() || key.contains([' ', '"']) {
            return Err(format!("key {key:?} in {line:?}"));
        }
        let bytes = if behind.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
            let value = values.next().and_then(Result::ok).ok_or_else(|| behind.to_owned())?;
            pairs.push((key.to_owned(), value));
            values.byte_offset()
        } else {
            let bytes = behind.find(' ').unwrap_or(behind.len());
            let value = &behind[..bytes];
            if value.is_empty() || value.contains(['"', '=']) {
                return Err(format!("value {value:?} in {line:?}"));
            }
            pairs.push((key.to_owned(), value.to_owned()));
            bytes
        };
        rest = &behind[bytes..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(' ').ok_or_else(|| format!("no blank before {rest:?}"))?;
        }
    }
    Ok(pairs)
}

/// The text without our own sequences.
fn without_colours(text: &str) -> String {
    let codes = ["0", "1", "2", "3", "31", "32", "33", "34", "35"];
    codes.iter().fold(text.to_owned(), |text, code| text.replace(&format!("\u{1b}[{code}m"), ""))
}

proptest! {
    #[test]
    fn no_text_of_a_record_reaches_the_terminal_unescaped(
        texts in prop::collection::vec(text(), 12),
        sources in prop::collection::vec(text(), 1..4),
    ) {
        let batch = || {
            let mut fixture = BatchFixture::new();
            let names = [texts[0].as_str(), "s"];
            let span = fixture.span(&texts[1], Level::Warn, &names, None, NOW, |w| {
                w.str(0, &texts[2]);
                w.format_args(1, format_args!("{}", texts[3]));
            });
            let names = ["message", texts[4].as_str(), "display", "debug", "error", "bytes"];
            fixture.event(&texts[5], Level::Error, &names, Some(span), NOW, |w| {
                w.str(0, &texts[6]);
                w.str(1, &texts[7]);
                w.format_args(2, format_args!("{}", texts[8]));
                w.formatted(3, &texts[9]);
                w.error(4, &ErrorFixture::of(&sources).unwrap());
                w.bytes(5, texts[10].as_bytes());
            });
            fixture.log_event(&texts[11], Level::Info, &texts[0], &[(&texts[1], &texts[2])], NOW);
            fixture.close(span, NOW);
            fixture.finish()
        };
        for style in STYLES {
            let builder = || ConsoleExporter::builder().spans(true).style(style);
            let plain = text_of(builder().colours(Colours::Never), batch());
            check(&plain, 3, style)?;
            let coloured = text_of(builder().colours(Colours::Always), batch());
            prop_assert_eq!(without_colours(&coloured), plain);
        }
    }

    #[test]
    fn no_text_of_a_metric_reaches_the_terminal_unescaped(
        name in text(), unit in text(), key in text(), value in text(),
    ) {
        let registry = Registry::new();
        registry.describe(&name, &unit, "");
        registry.counter(&name, Labels::new().with(key, value)).add(1);
        let snapshot = registry.snapshot(NOW);
        let lines = usize::from(snapshot.points() > 0);
        for style in STYLES {
            let sink = Lines::default();
            let builder = ConsoleExporter::builder().metrics(true).colours(Colours::Never);
            let builder = builder.style(style).writer(Box::new(sink.clone()));
            export_metrics(&mut builder.build().unwrap(), snapshot.clone());
            check(&sink.text(), lines, style)?;
        }
    }

    #[test]
    fn no_text_of_a_poll_reaches_the_terminal_unescaped(
        names in prop::collection::vec(text(), 1..4),
        unit in text(),
        value in text(),
    ) {
        let registry = Registry::new();
        for name in &names {
            let name = format!("process.{name}");
            registry.describe(&name, &unit, "");
            registry.gauge(&name, Labels::new().with("a", value.clone())).set(0.5);
        }
        let snapshot = registry.snapshot(NOW);
        let lines = usize::from(snapshot.points() > 0);
        for style in STYLES {
            let sink = Lines::default();
            let builder = ConsoleExporter::builder().polls(true).colours(Colours::Never);
            let builder = builder.style(style).writer(Box::new(sink.clone()));
            export_metrics(&mut builder.build().unwrap(), snapshot.clone());
            check(&sink.text(), lines, style)?;
        }
    }
}

#[test]
fn ten_thousand_forged_lines_stay_in_theirs() {
    for (round, forged) in ["\n", "\r\n", "\r", "\u{85}", "\u{2028}"].into_iter().enumerate() {
        let mut fixture = BatchFixture::new();
        for n in 0..2_000 {
            let text = format!("{round} {n}{forged}2026-11-22T09:00:00.123456Z ERROR forged");
            fixture.log_event(&text, Level::Info, &text, &[(&text, &text)], NOW);
        }
        let batch = fixture.finish();
        for style in STYLES {
            let builder = ConsoleExporter::builder().colours(Colours::Never).style(style);
            let text = text_of(builder, batch.clone());
            assert_eq!(text.lines().count(), 2_000);
            check(&text, 2_000, style).unwrap();
        }
    }
}
