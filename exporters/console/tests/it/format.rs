//! The lines as they are documented.

use crate::support::{NOW, text_of};
use telemetry_console::{Colours, ConsoleExporter, ConsoleExporterBuilder, Time};
use telemetry_core::Level;
use telemetry_core::batch::Batch;
use telemetry_core::export::{Exporter, Outcome, Signals};
use telemetry_core::metric::{Buckets, Registry, Snapshot};
use telemetry_core::testing::{BatchFixture, ErrorFixture, Lines, export_metrics};

fn plain() -> ConsoleExporterBuilder {
    ConsoleExporter::builder().colours(Colours::Never)
}

pub(crate) fn request() -> Batch {
    let mut fixture = BatchFixture::new();
    let request = fixture.span("request", Level::Info, &["method", "path"], None, NOW, |w| {
        w.str(0, "GET");
        w.str(1, "/a b");
    });
    let query = fixture.span("query", Level::Debug, &[], Some(request), NOW, |_| {});
    let names = ["bytes", "message", "ratio", "user"];
    fixture.event("app::db", Level::Info, &names, Some(query), NOW, |w| {
        w.u64(0, 512);
        w.str(1, "stored \"it\"");
        w.f64(2, 0.25);
        w.format_args(3, format_args!("{:?}", Some("Jane Doe")));
    });
    fixture.close(query, NOW + 1_500_000);
    fixture.finish()
}

#[test]
fn event_inside_two_spans() {
    let expected = concat!(
        "2026-11-22T09:00:00.123456Z  INFO request{method=GET path=\"/a b\"}:query: ",
        "app::db: stored \"it\" bytes=512 ratio=0.25 user=Some(\"Jane Doe\")\n",
    );
    assert_eq!(text_of(plain(), request()), expected);
}

#[test]
fn end_of_a_span_is_told_if_asked_for() {
    let text = text_of(plain().spans(true).time(Time::Off), request());
    let line = text.lines().nth(1).unwrap();
    assert_eq!(
        line,
        "DEBUG request{method=GET path=\"/a b\"}:query: fixture: close duration=1.50ms"
    );
}

#[test]
fn colours_are_the_only_difference() {
    let text = text_of(ConsoleExporter::builder().colours(Colours::Always), request());
    let begin = "\u{1b}[2m2026-11-22T09:00:00.123456Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \
                 \u{1b}[1mrequest\u{1b}[0m{\u{1b}[3mmethod\u{1b}[0m=GET";
    assert!(text.starts_with(begin), "{text:?}");
    let mut bare = text;
    for sequence in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[32m"] {
        bare = bare.replace(sequence, "");
    }
    assert_eq!(bare, text_of(plain(), request()));
}

#[test]
fn error_is_told_with_its_sources() {
    let error = ErrorFixture::of(["outer", "inner", "root"]).unwrap();
    let mut fixture = BatchFixture::new();
    fixture.event("app", Level::Error, &["error"], None, NOW, |w| w.error(0, &error));
    let text = text_of(plain().time(Time::Off), fixture.finish());
    assert_eq!(text, "ERROR app: error=\"outer: inner: root\"\n");
}

#[test]
fn event_of_the_log_crate_has_its_own_target_and_keys() {
    let mut fixture = BatchFixture::new();
    let pairs: [(&str, &dyn telemetry_core::record::Encode); 3] =
        [("n", &1_u8), ("two words", &true), ("n", &2_u8)];
    fixture.log_event("dep::module", Level::Warn, "hi", &pairs, NOW);
    let text = text_of(plain().time(Time::Off), fixture.finish());
    assert_eq!(text, " WARN dep::module: hi \"two words\"=true n=2\n");
}

#[test]
fn later_value_of_a_spans_field_replaces_the_earlier() {
    let mut fixture = BatchFixture::new();
    let span = fixture.span("s", Level::Info, &["dup"], None, NOW, |w| {
        w.u64(0, 1);
        w.u64(0, 2);
    });
    fixture.event("app", Level::Trace, &["a", "a"], Some(span), NOW, |w| {
        w.u64(0, 1);
        w.u64(1, 2);
    });
    let text = text_of(plain().time(Time::Off), fixture.finish());
    assert_eq!(text, "TRACE s{dup=2}: app: a=2\n");
}

#[test]
fn cut_value_and_long_line_end_in_an_ellipsis() {
    let long = "é".repeat(20_000);
    let mut fixture = BatchFixture::new();
    fixture.event("app", Level::Info, &["v"], None, NOW, |w| w.str(0, &long));
    let mut inner = None;
    for _ in 0..8 {
        inner = Some(fixture.span("s", Level::Info, &["v"], inner, NOW, |w| w.str(0, &long)));
    }
    fixture.event("app", Level::Info, &[], inner, NOW, |_| {});
    let builder = ConsoleExporter::builder().colours(Colours::Always);
    let text = text_of(builder, fixture.finish());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with('…'));
    assert!(lines[1].ends_with("…\u{1b}[0m"));
    assert!(lines[1].len() < 64 * 1024 && lines[1].len() > 63 * 1024);
}

fn measured(snapshot: Snapshot) -> String {
    let sink = Lines::default();
    let mut exporter = plain().metrics(true).writer(Box::new(sink.clone())).build().unwrap();
    assert_eq!(export_metrics(&mut exporter, snapshot), Outcome::Delivered);
    sink.text()
}

#[test]
fn snapshot_is_one_line() {
    let registry = Registry::new();
    registry.describe("process.memory.usage", "By", "");
    registry.up_down_counter("process.memory.usage", ()).add(12_897_485);
    registry.describe("process.cpu.time", "s", "");
    registry.counter_f64("process.cpu.time", [("cpu.mode", "user")]).add(0.52);
    registry.histogram("queue", ()).record(2.0);
    registry.set_buckets("size", Buckets::exponential()).unwrap();
    registry.histogram("size", ()).record_many(0.5, 3);
    let expected = concat!(
        "2026-11-22T09:00:00.123456Z metrics process.cpu.time{cpu.mode=user}=520.00ms ",
        "process.memory.usage=12.3MiB queue=[n=1 mean=2 min=2 max=2] ",
        "size=[n=3 mean=0.5 min=0.5 max=0.5]\n",
    );
    assert_eq!(measured(registry.snapshot(NOW)), expected);
    assert_eq!(measured(Registry::new().snapshot(NOW)), "");
}

#[test]
fn snapshot_tells_how_many_points_it_left_out() {
    let registry = Registry::new();
    for n in 0..500 {
        registry.counter("requests", [("route", format!("/route/{n}"))]).add(n);
    }
    let line = measured(registry.snapshot(NOW));
    assert_eq!(line.lines().count(), 1);
    assert!(line.len() < 9 * 1024);
    let told = line.matches("requests{").count();
    assert!(line.ends_with(&format!(" …+{} more\n", 500 - told)), "{told} told");
}

#[test]
fn switches_decide_what_the_exporter_asks_for() {
    let signals = |builder: ConsoleExporterBuilder| {
        builder.writer(Box::new(std::io::sink())).build().unwrap().signals()
    };
    assert_eq!(signals(plain()), Signals::LOGS);
    assert_eq!(signals(plain().spans(true).metrics(true)), Signals::ALL);
}
