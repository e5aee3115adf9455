//! The lines as they are documented.

use crate::support::{NOW, lines_of, text_of};
use serde_json::json;
use telemetry_core::Level;
use telemetry_core::context::TraceState;
use telemetry_core::testing::{BatchFixture, ErrorFixture, Lines, export};
use telemetry_json::JsonExporter;

#[test]
fn event_inside_two_spans_and_their_ends() {
    let mut fixture = BatchFixture::new();
    let request = fixture.span("request", Level::Info, &["method", "name"], None, NOW, |w| {
        w.str(0, "GET");
        w.str(1, "a field called name");
    });
    let query = fixture.span("query", Level::Debug, &[], Some(request), NOW + 1_000, |_| {});
    let names = ["message", "bytes", "ratio", "ok"];
    fixture.event("app", Level::Info, &names, Some(query), NOW + 2_000, |w| {
        w.format_args(0, format_args!("stored {}", "it"));
        w.u64(1, 512);
        w.f64(2, 0.25);
        w.bool(3, true);
    });
    fixture.close(query, NOW + 3_000);
    let expected = concat!(
        r#"{"timestamp":"2026-11-22T09:00:00.123458Z","level":"INFO","kind":"log","#,
        r#""target":"app","fields":{"message":"stored it","bytes":512,"ratio":0.25,"ok":true},"#,
        r#""span":{"name":"query","fields":{}},"#,
        r#""spans":[{"name":"request","fields":{"method":"GET","name":"a field called name"}},"#,
        r#"{"name":"query","fields":{}}],"trace_id":"00000000000000000000000000000001","#,
        r#""span_id":"0000000000000002","trace_flags":"01"}"#,
        "\n",
        r#"{"timestamp":"2026-11-22T09:00:00.123459Z","level":"DEBUG","kind":"span","#,
        r#""target":"fixture","name":"query","fields":{},"#,
        r#""start_timestamp":"2026-11-22T09:00:00.123457Z","duration_ns":2000,"#,
        r#""trace_id":"00000000000000000000000000000001","span_id":"0000000000000002","#,
        r#""trace_flags":"01","parent_span_id":"0000000000000001"}"#,
        "\n",
    );
    assert_eq!(text_of(JsonExporter::builder(), fixture.finish()), expected);
}

#[test]
fn finished_span_tells_the_state_of_its_trace() {
    let mut fixture = BatchFixture::new();
    fixture.trace_state(TraceState::parse([r#"a="\"#, "b=2"]).unwrap());
    let span = fixture.span("request", Level::Info, &[], None, NOW, |_| {});
    fixture.event("app", Level::Info, &[], Some(span), NOW, |_| {});
    fixture.close(span, NOW);
    let lines = lines_of(JsonExporter::builder(), fixture.finish());
    assert_eq!(lines[0].get("trace_state"), None);
    assert_eq!(lines[1]["trace_state"], r#"a="\,b=2"#);
}

#[test]
fn event_of_the_log_crate_has_its_own_target_and_place() {
    let mut fixture = BatchFixture::new();
    fixture.log_event("dep::module", Level::Warn, "hi", &[("n", &1_u8), ("n", &2_u8)], NOW);
    let text = text_of(JsonExporter::builder().location(true), fixture.finish());
    let expected = concat!(
        r#"{"timestamp":"2026-11-22T09:00:00.123456Z","level":"WARN","kind":"log","#,
        r#""target":"dep::module","fields":{"message":"hi","n":2},"file":"src/log.rs","line":3}"#,
        "\n",
    );
    assert_eq!(text, expected);
}

#[test]
fn place_is_told_if_asked_for() {
    let event = || {
        let mut fixture = BatchFixture::new();
        fixture.event("app", Level::Info, &[], None, NOW, |_| {});
        fixture.finish()
    };
    let line = &lines_of(JsonExporter::builder().location(true), event())[0];
    assert_eq!((&line["file"], &line["line"]), (&json!("src/fixture.rs"), &json!(7)));
    let line = &lines_of(JsonExporter::builder(), event())[0];
    assert!(line.get("file").is_none());
    assert_eq!(line["fields"], json!({}));
}

#[test]
fn finished_spans_are_left_out_if_not_wanted() {
    let mut fixture = BatchFixture::new();
    let span = fixture.span("request", Level::Info, &[], None, NOW, |_| {});
    fixture.event("app", Level::Info, &[], Some(span), NOW, |_| {});
    fixture.close(span, NOW);
    let lines = lines_of(JsonExporter::builder().spans(false), fixture.finish());
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["kind"], "log");
}

#[test]
fn error_keeps_its_sources() {
    let texts = ["outer", "inner", "root"].map(str::to_owned);
    let error = ErrorFixture::of(&texts).unwrap();
    let mut fixture = BatchFixture::new();
    fixture.event("app", Level::Error, &["error", "plain"], None, NOW, |w| {
        w.error(0, &error);
        w.error(1, &ErrorFixture::of(&texts[2..]).unwrap());
    });
    let line = &lines_of(JsonExporter::builder(), fixture.finish())[0];
    let expected = json!({
        "error": {"message": "outer", "chain": ["inner", "root"]},
        "plain": {"message": "root", "chain": []},
    });
    assert_eq!(line["fields"], expected);
}

#[test]
fn later_value_of_a_spans_field_replaces_the_earlier() {
    let mut fixture = BatchFixture::new();
    let span = fixture.span("request", Level::Info, &["status"], None, NOW, |w| {
        w.u64(0, 100);
        w.u64(0, 200);
    });
    fixture.event("app", Level::Info, &["a", "a"], Some(span), NOW, |w| {
        w.u64(0, 1);
        w.u64(1, 2);
    });
    let line = &lines_of(JsonExporter::builder(), fixture.finish())[0];
    assert_eq!(line["span"]["fields"], json!({"status": 200}));
    assert_eq!(line["fields"], json!({"a": 2}));
}

#[test]
fn same_lines_come_from_a_second_batch_of_the_same_exporter() {
    let batch = |n: u64| {
        let mut fixture = BatchFixture::new();
        let span = fixture.span("outer", Level::Info, &["n"], None, NOW, |w| w.u64(0, n));
        for _ in 0..3 {
            fixture.event("app", Level::Info, &["n"], Some(span), NOW, |w| w.u64(0, n));
        }
        fixture.finish()
    };
    let sink = Lines::default();
    let mut exporter = JsonExporter::builder().writer(Box::new(sink.clone())).build().unwrap();
    export(&mut exporter, batch(1));
    export(&mut exporter, batch(2));
    let apart =
        text_of(JsonExporter::builder(), batch(1)) + &text_of(JsonExporter::builder(), batch(2));
    assert_eq!(sink.text(), apart, "nothing of the first batch's spans is in the second");
}

#[test]
fn value_that_was_cut_marks_the_line() {
    let long = "x".repeat(20_000);
    let mut fixture = BatchFixture::new();
    fixture.event("app", Level::Info, &["long"], None, NOW, |w| w.str(0, &long));
    let lines = lines_of(JsonExporter::builder().line_bytes_max(100_000), fixture.finish());
    assert_eq!(lines[0]["cut"], true);
    assert_eq!(lines[0]["fields"]["long"].as_str().map(str::len), Some(16 * 1024));
}

#[test]
fn too_short_lines_are_refused() {
    let error = JsonExporter::builder().line_bytes_max(1023).build().unwrap_err();
    assert!(error.is_setting());
    assert!(error.to_string().contains("line_bytes_max"), "{error}");
}
