//! The poller's reading as one line, and the ends of spans.

use crate::hostile::pairs;
use crate::support::{NOW, text_of};
use telemetry_console::{Colours, ConsoleExporter, ConsoleExporterBuilder, Style, Time};
use telemetry_core::export::{Exporter, Outcome, Signals};
use telemetry_core::metric::Registry;
use telemetry_core::testing::{BatchFixture, ErrorFixture, Lines, export_metrics};
use telemetry_core::{Level, clock};

const SECOND: u64 = 1_000_000_000;

fn plain(style: Style) -> ConsoleExporterBuilder {
    ConsoleExporter::builder().style(style).colours(Colours::Never)
}

/// What the poller reads on Linux, the first or the second time.
fn read(registry: &Registry, second: bool) {
    for (name, unit) in [
        ("process.cpu.time", "s"),
        ("process.memory.usage", "By"),
        ("process.context_switches", "{context_switch}"),
        ("process.disk.io", "By"),
        ("process.thread.count", "{thread}"),
        ("process.uptime", "s"),
    ] {
        registry.describe(name, unit, "");
    }
    let more = u64::from(second);
    registry.counter_f64("process.cpu.time", [("cpu.mode", "user")]).add(0.25);
    registry.counter_f64("process.cpu.time", [("cpu.mode", "system")]).add(0.07 * more as f64);
    registry.up_down_counter("process.memory.usage", ()).set(12_897_485);
    let switches = |kind| {
        registry.counter("process.context_switches", [("process.context_switch.type", kind)])
    };
    switches("voluntary").add(100 * more);
    switches("involuntary").add(20);
    registry.counter("process.disk.io", [("disk.io.direction", "read")]).add(0);
    registry.counter("process.disk.io", [("disk.io.direction", "write")]).add(20_480 * more);
    registry.up_down_counter("process.thread.count", ()).set(5);
    registry.gauge("process.uptime", ()).set(60.0 + 10.0 * more as f64);
    registry.gauge("tokio.workers.busy", [("worker", "0")]).set(0.5);
    registry.counter("http.requests", ()).add(7);
}

/// The text of two readings, ten seconds apart, asked for thrice.
fn told(builder: ConsoleExporterBuilder) -> String {
    let lines = Lines::default();
    let mut exporter = builder.writer(Box::new(lines.clone())).build().unwrap();
    assert!(exporter.signals().contains(Signals::METRICS));
    let registry = Registry::new();
    read(&registry, false);
    assert_eq!(export_metrics(&mut exporter, registry.snapshot(NOW)), Outcome::Delivered);
    // A flush between two polls.
    export_metrics(&mut exporter, registry.snapshot(NOW + SECOND));
    read(&registry, true);
    export_metrics(&mut exporter, registry.snapshot(NOW + 10 * SECOND));
    lines.text()
}

#[test]
fn poll_is_one_line_with_rates_since_the_one_before() {
    let expected = concat!(
        "2026-11-22T09:00:00.123456Z poll memory=12.3MiB threads=5 uptime=60s ",
        "tokio.workers.busy.0=0.5\n",
        "2026-11-22T09:00:10.123456Z poll cpu=3.2% memory=12.3MiB threads=5 switches=12/s ",
        "read=0B/s written=2.0KiB/s uptime=70s tokio.workers.busy.0=0.5\n",
    );
    assert_eq!(told(plain(Style::Compact).polls(true)), expected);
    let pretty = told(plain(Style::Pretty).polls(true));
    assert!(pretty.starts_with("09:00:00.123Z poll memory=12.3MiB threads=5 "), "{pretty}");
    let journald = told(plain(Style::Journald).polls(true));
    assert!(journald.starts_with("<6>poll memory=12.3MiB threads=5 "), "{journald}");
}

#[test]
fn rate_is_over_the_time_between_readings_not_between_lines() {
    let lines = Lines::default();
    let builder = plain(Style::Compact).polls(true).time(Time::Off);
    let mut exporter = builder.writer(Box::new(lines.clone())).build().unwrap();
    let registry = Registry::new();
    registry.describe("process.cpu.time", "s", "");
    for (second, uptime, unix_ns) in [(1, 60.0, NOW), (5, 70.0, NOW + SECOND / 4)] {
        registry.counter_f64("process.cpu.time", ()).add(f64::from(second));
        registry.gauge("process.uptime", ()).set(uptime);
        export_metrics(&mut exporter, registry.snapshot(unix_ns));
    }
    // What changes between two readings waits for the next one.
    registry.gauge("tokio.workers.busy", ()).set(0.5);
    export_metrics(&mut exporter, registry.snapshot(NOW + SECOND));
    assert_eq!(lines.text(), "poll uptime=60\npoll cpu=50.0% uptime=70\n");
}

#[test]
fn poll_without_uptime_is_timed_by_the_snapshots() {
    let lines = Lines::default();
    let builder = plain(Style::Compact).polls(true).time(Time::Off);
    let mut exporter = builder.writer(Box::new(lines.clone())).build().unwrap();
    let registry = Registry::new();
    for unix_ns in [NOW, NOW + 2 * SECOND, NOW + 2 * SECOND + SECOND / 4] {
        registry.counter("tokio.polls", ()).add(8);
        export_metrics(&mut exporter, registry.snapshot(unix_ns));
    }
    assert_eq!(lines.text(), "poll\npoll tokio.polls=4/s\npoll\n");
}

#[test]
fn poll_in_logfmt_is_one_line_of_numbers() {
    let text = told(plain(Style::Logfmt).polls(true));
    let lines: Vec<_> = text.lines().map(|line| pairs(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let value = |key: &str| {
        let found = lines[1].iter().find(|(other, _)| other == key);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(value("msg"), Some("poll"));
    assert_eq!(value("memory"), Some("12897485"));
    assert_eq!(value("switches"), Some("12"));
    assert_eq!(value("written"), Some("2048"));
    let cpu: f64 = value("cpu").unwrap().parse().unwrap();
    assert!((cpu - 0.032).abs() < 1e-9, "{cpu}");
}

#[test]
fn metrics_beside_a_poll_tell_the_rest() {
    let text = told(plain(Style::Compact).polls(true).metrics(true).time(Time::Off));
    let rest: Vec<_> = text.lines().filter(|line| line.starts_with("metrics")).collect();
    assert_eq!(
        rest,
        ["metrics http.requests=7", "metrics http.requests=7", "metrics http.requests=14"]
    );
    assert!(!told(plain(Style::Compact).polls(true)).contains("http.requests"));
}

#[test]
fn snapshot_without_a_reading_makes_no_line() {
    let registry = Registry::new();
    registry.counter("http.requests", ()).add(7);
    let lines = Lines::default();
    let builder = plain(Style::Compact).polls(true).writer(Box::new(lines.clone()));
    assert_eq!(
        export_metrics(&mut builder.build().unwrap(), registry.snapshot(NOW)),
        Outcome::Delivered
    );
    assert_eq!(lines.text(), "");
}

#[test]
fn end_of_a_span_is_one_line_with_name_duration_and_fields() {
    let error = ErrorFixture::of(["cannot store", "disk is full"]).unwrap();
    let batch = || {
        let mut fixture = BatchFixture::new();
        let request =
            fixture.span("request", Level::Info, &["method"], None, NOW, |w| w.str(0, "GET"));
        let fields = ["rows", "otel.status_code", "error"];
        let query = fixture.span("query", Level::Debug, &fields, Some(request), NOW, |w| {
            w.u64(0, 3);
            w.str(1, "error");
            w.error(2, &error);
        });
        fixture.close(query, NOW + 1_500_000);
        fixture.close(request, NOW + 2 * SECOND);
        fixture.finish()
    };
    let text = |style| text_of(plain(style).spans(true).time(Time::Off), batch());
    assert_eq!(
        text(Style::Pretty),
        concat!(
            "DEBUG close query                              duration=1.50ms rows=3 ",
            "otel.status_code=error error=\"cannot store\"  fixture\n",
            "  caused by: disk is full\n",
            "INFO  close request                            duration=2.00s method=GET  fixture\n",
        )
    );
    assert_eq!(
        text(Style::Compact),
        concat!(
            "DEBUG request{method=GET}:query{rows=3 otel.status_code=error ",
            "error=\"cannot store: disk is full\"}: fixture: close duration=1.50ms\n",
            " INFO request{method=GET}: fixture: close duration=2.00s\n",
        )
    );
    let logfmt = text(Style::Logfmt);
    let line = pairs(logfmt.lines().next().unwrap()).unwrap();
    for (key, value) in [
        ("span", "request:query"),
        ("msg", "close"),
        ("duration_ns", "1500000"),
        ("span.rows", "3"),
        ("span.error", "cannot store: disk is full"),
    ] {
        assert!(line.contains(&(key.to_owned(), value.to_owned())), "{key}: {logfmt}");
    }
    let pretty = text_of(plain(Style::Pretty).time(Time::Off), batch());
    assert_eq!(pretty, "", "they are off unless set");
}

#[test]
fn time_may_be_told_since_the_start() {
    let batch = || {
        let mut fixture = BatchFixture::new();
        fixture.event("app", Level::Info, &[], None, clock::unix_ns() + 95 * SECOND, |_| {});
        fixture.finish()
    };
    for (style, end) in [(Style::Pretty, "s  INFO    app\n"), (Style::Compact, "s   INFO app: \n")]
    {
        let text = text_of(plain(style).time(Time::SinceStart), batch());
        assert!(text.starts_with("+9") && text.ends_with(end), "{text:?}");
    }
    let logfmt = text_of(plain(Style::Logfmt).time(Time::SinceStart), batch());
    assert!(logfmt.starts_with("ts=20"), "{logfmt}");
}
