//! Any text in any place: one line, and nothing that a terminal would act on.

use crate::support::{Chain, NOW, Sink, measure, text_of};
use proptest::prelude::*;
use telemetry_console::{Colours, ConsoleExporter};
use telemetry_core::Level;
use telemetry_core::metric::{Labels, Registry};
use telemetry_core::output::is_unprintable;
use telemetry_core::testing::BatchFixture;

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
    ]);
    prop_oneof![
        1 => "[ -~]{0,40}",
        3 => prop::collection::vec(hostile, 0..6).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
}

/// Is it so many lines, of which nothing acts on a terminal?
fn check(text: &str, lines: usize) -> Result<(), TestCaseError> {
    prop_assert_eq!(text.matches('\n').count(), lines);
    prop_assert!(lines == 0 || text.ends_with('\n'));
    for c in text.chars() {
        prop_assert!(c == '\n' || !is_unprintable(c), "{c:?} in {text:?}");
    }
    let shown: Vec<&str> = text.lines().collect();
    prop_assert_eq!(shown.len(), lines);
    Ok(())
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
                w.error(4, &Chain::of(&sources).unwrap());
                w.bytes(5, texts[10].as_bytes());
            });
            fixture.log_event(&texts[11], Level::Info, &texts[0], &[(&texts[1], &texts[2])], NOW);
            fixture.close(span, NOW);
            fixture.finish()
        };
        let builder = || ConsoleExporter::builder().spans(true);
        let plain = text_of(builder().colours(Colours::Never), batch());
        check(&plain, 3)?;
        let coloured = text_of(builder().colours(Colours::Always), batch());
        prop_assert_eq!(without_colours(&coloured), plain);
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
        let sink = Sink::default();
        let builder = ConsoleExporter::builder().metrics(true).colours(Colours::Never);
        let mut exporter = builder.writer(Box::new(sink.clone())).build().unwrap();
        measure(&mut exporter, snapshot);
        check(&sink.text(), lines)?;
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
        let text = text_of(ConsoleExporter::builder().colours(Colours::Never), fixture.finish());
        assert_eq!(text.lines().count(), 2_000);
        assert!(!text.chars().any(|c| c != '\n' && is_unprintable(c)));
    }
}
