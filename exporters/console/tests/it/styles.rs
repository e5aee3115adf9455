//! The styles beside the compact one, as they are documented.

use crate::format::request;
use crate::hostile::pairs;
use crate::support::{NOW, text_of};
use telemetry_console::{Colours, ConsoleExporter, ConsoleExporterBuilder, Style, Time};
use telemetry_core::Level;
use telemetry_core::batch::Batch;
use telemetry_core::metric::{Buckets, Registry};
use telemetry_core::testing::{BatchFixture, ErrorFixture, Lines, export_metrics};

fn plain(style: Style) -> ConsoleExporterBuilder {
    ConsoleExporter::builder().colours(Colours::Never).style(style)
}

fn one(level: Level, names: &[&str], values: &[&str]) -> Batch {
    let mut fixture = BatchFixture::new();
    fixture.event("app", level, names, None, NOW, |w| {
        for (n, value) in values.iter().enumerate() {
            w.str(n as u16, value);
        }
    });
    fixture.finish()
}

#[test]
fn pretty_has_the_message_first_and_fields_below_each_other() {
    let expected = concat!(
        "  request{method=GET path=\"/a b\"} › query\n",
        "09:00:00.123Z INFO  stored \"it\"                              ",
        "bytes=512 ratio=0.25 user=Some(\"Jane Doe\")  app::db\n",
    );
    assert_eq!(text_of(plain(Style::Pretty), request()), expected);
}

#[test]
fn pretty_dims_spans_and_target_and_has_the_message_bold() {
    let builder = ConsoleExporter::builder().colours(Colours::Always).style(Style::Pretty);
    let text = text_of(builder, request());
    for part in [
        "  \u{1b}[2mrequest{method=GET path=\"/a b\"} › query\u{1b}[0m\n",
        "\u{1b}[2m09:00:00.123Z\u{1b}[0m \u{1b}[32mINFO \u{1b}[0m \u{1b}[1mstored \"it\"\u{1b}[0m",
        "  \u{1b}[2mapp::db\u{1b}[0m\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn pretty_tells_spans_only_where_they_change() {
    let mut fixture = BatchFixture::new();
    let event = |fixture: &mut BatchFixture, span, text: &str| {
        fixture.event("app", Level::Info, &["message"], span, NOW, |w| w.str(0, text));
    };
    let [one, two] = [(); 2].map(|()| fixture.span("job", Level::Info, &[], None, NOW, |_| {}));
    event(&mut fixture, None, "a");
    for (span, text) in [(one, "b"), (one, "c"), (two, "d")] {
        event(&mut fixture, Some(span), text);
    }
    event(&mut fixture, None, "e");
    event(&mut fixture, None, "f");
    let text = text_of(plain(Style::Pretty).time(Time::Off), fixture.finish());
    let expected = concat!(
        "INFO  a  app\n  job\nINFO  b  app\nINFO  c  app\n",
        "  job\nINFO  d  app\n  (no span)\nINFO  e  app\nINFO  f  app\n"
    );
    assert_eq!(text, expected, "two spans of one name are two");
}

#[test]
fn pretty_tells_sources_of_an_error_below_it() {
    let error = ErrorFixture::of(["outer one", "inner\nERROR forged", "root"]);
    let mut fixture = BatchFixture::new();
    fixture.event("app", Level::Error, &["error"], None, NOW, |w| w.error(0, &error.unwrap()));
    let text = text_of(plain(Style::Pretty).time(Time::Off), fixture.finish());
    let expected = concat!(
        "ERROR error=\"outer one\"  app\n",
        "  caused by: inner\\nERROR forged\n",
        "  caused by: root\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn pretty_record_that_is_cut_has_no_line_without_indent() {
    for length in 0..64 {
        let long = "\n".repeat(8_000);
        let sources: Vec<String> =
            (0..20).map(|n| if n == 3 { "x".repeat(length) } else { long.clone() }).collect();
        let mut fixture = BatchFixture::new();
        let error = ErrorFixture::of(&sources).unwrap();
        fixture.event("app", Level::Error, &["error"], None, NOW, |w| w.error(0, &error));
        let text = text_of(plain(Style::Pretty).time(Time::Off), fixture.finish());
        assert!(text.len() <= 64 * 1024);
        assert_eq!(text.lines().filter(|line| !line.starts_with("  ")).count(), 1);
    }
}

#[test]
fn logfmt_is_pairs_of_unique_keys() {
    let expected = concat!(
        "ts=2026-11-22T09:00:00.123456Z level=info target=app::db span=request:query ",
        "trace_id=00000000000000000000000000000001 span_id=0000000000000002 ",
        "msg=\"stored \\\"it\\\"\" bytes=512 ratio=0.25 user=\"Some(\\\"Jane Doe\\\")\" ",
        "span.method=GET span.path=\"/a b\"\n",
    );
    assert_eq!(text_of(plain(Style::Logfmt), request()), expected);
    let close = text_of(plain(Style::Logfmt).spans(true), request());
    let close = close.lines().nth(1).unwrap();
    assert!(close.contains(" msg=close duration_ns=1500000 span.method=GET"), "{close}");
}

#[test]
fn logfmt_field_that_meets_a_key_of_the_envelope_is_prefixed() {
    let names = ["level", "field.level", "msg", "message", "a b", "empty"];
    let batch = one(Level::Warn, &names, &["1", "2", "3", "4", "5=5", ""]);
    let text = text_of(plain(Style::Logfmt).time(Time::Off), batch);
    let expected = "level=warn target=app msg=4 field.level=1 field.field.level=2 field.msg=3 \
                    a%20b=\"5=5\" empty=\"\"\n";
    assert_eq!(text, expected);
}

#[test]
fn logfmt_line_that_is_cut_can_be_read() {
    let long = "\u{1b}".repeat(15_000);
    let batch = one(Level::Info, &["message", "a", "b"], &["hi", &long, "b"]);
    let text = text_of(plain(Style::Logfmt), batch);
    assert!(text.len() <= 64 * 1024 && text.len() > 63 * 1024);
    let pairs = pairs(text.trim_end_matches('\n')).unwrap();
    assert_eq!(pairs.last().unwrap(), &("cut".to_owned(), "true".to_owned()));
    let (key, value) = &pairs[pairs.len() - 2];
    assert_eq!(key, "a");
    assert!(value.ends_with("\u{1b}…"));
}

#[test]
fn logfmt_has_a_line_for_each_point() {
    let registry = Registry::new();
    registry.describe("requests", "{request}", "");
    registry.counter("requests", [("route", "/a b"), ("unit", "x")]).add(3);
    registry.set_buckets("queue", Buckets::exponential()).unwrap();
    registry.histogram("queue", ()).record(2.0);
    let sink = Lines::default();
    let builder = plain(Style::Logfmt).metrics(true).writer(Box::new(sink.clone()));
    export_metrics(&mut builder.build().unwrap(), registry.snapshot(NOW));
    let expected = concat!(
        "ts=2026-11-22T09:00:00.123456Z metric=queue count=1 sum=2.0 min=2.0 max=2.0\n",
        "ts=2026-11-22T09:00:00.123456Z metric=requests unit={request} value=3 ",
        "route=\"/a b\" field.unit=x\n",
    );
    assert_eq!(sink.text(), expected);
}

#[test]
fn journal_gets_a_priority_and_no_time() {
    let table = [
        (Level::Error, "<3>ERROR app: hi\n"),
        (Level::Warn, "<4> WARN app: hi\n"),
        (Level::Info, "<6> INFO app: hi\n"),
        (Level::Debug, "<7>DEBUG app: hi\n"),
        (Level::Trace, "<7>TRACE app: hi\n"),
    ];
    for (level, expected) in table {
        let builder = ConsoleExporter::builder().colours(Colours::Always).style(Style::Journald);
        assert_eq!(text_of(builder, one(level, &["message"], &["hi"])), expected);
    }
    let registry = Registry::new();
    registry.counter("a", ()).add(1);
    let sink = Lines::default();
    let builder = plain(Style::Journald).metrics(true).writer(Box::new(sink.clone()));
    export_metrics(&mut builder.build().unwrap(), registry.snapshot(NOW));
    assert_eq!(sink.text(), "<6>metrics a=1\n");
}

#[test]
fn line_for_the_journal_is_not_cut_by_it() {
    let long = "\n".repeat(16_000);
    let batch = one(Level::Info, &["a", "b"], &[&long, &long]);
    let text = text_of(plain(Style::Journald), batch);
    assert!(text.len() < 48 * 1024, "LineMax= of journald.conf(5)");
    assert!(text.ends_with("…\n"));
}
