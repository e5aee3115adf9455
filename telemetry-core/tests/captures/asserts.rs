//! What assertions accept, and what they say when they fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use telemetry_core::testing::{self, Capture};
use telemetry_core::{assert_event, assert_no_event, assert_span_tree};
use tracing::{error, info, info_span, warn};

/// What a failing assertion says.
fn failure(captured: &Capture, assertion: impl FnOnce(&Capture)) -> String {
    let failure = catch_unwind(AssertUnwindSafe(|| assertion(captured)));
    failure.unwrap_err().downcast_ref::<String>().unwrap().clone()
}

fn emit() {
    let request = info_span!("request", method = "GET");
    let _request = request.enter();
    warn!(target: "app::db", peer = %std::net::Ipv4Addr::LOCALHOST, ratio = 0.5, up = true, "slow");
    info_span!("query").in_scope(|| info!(rows = 3_u8, big = u128::MAX, "found"));
    let cause = std::io::Error::other(std::fmt::Error);
    error!(error = &cause as &dyn std::error::Error, "failed");
}

#[test]
fn every_property_and_type_can_be_asked_for() {
    let captured = testing::capture();
    emit();
    let slow = assert_event!(
        captured,
        level: Warn,
        target: "app::db",
        message: testing::contains("slo"),
        span: "request",
        peer = "127.0.0.1",
        ratio = 0.5,
        up = true,
    );
    assert_eq!(slow.file.as_deref(), Some(file!()));
    assert!(slow.line.is_some());
    assert_event!(captured, span: "request", span: "query", rows = 3, big = u128::MAX);
    assert_event!(captured, "rows" = 3_i64);
    assert_event!(captured, error = std::fmt::Error.to_string());
    assert_event!(captured, count: 3);
    assert_no_event!(captured, level: Debug);
    assert_no_event!(captured, rows = "3");
}

#[test]
fn failing_assertion_tells_expected_nearest_and_all() {
    let captured = testing::capture();
    emit();
    let text = failure(&captured, |captured| {
        assert_event!(captured, level: Warn, message: "slow", peer = "10.0.0.1");
    });
    for part in [
        "no captured event is as expected",
        r#"expected: level: WARN, message: "slow", peer = "10.0.0.1""#,
        "nearest:\n     WARN request{method=GET}: app::db: slow peer=127.0.0.1 ratio=0.5 up=true\n",
        r#"peer is "127.0.0.1", not "10.0.0.1""#,
        "captured (3 events):",
        "INFO request{method=GET}:query: captures::asserts: found rows=3",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = failure(&captured, |captured| {
        assert_event!(captured, count: 2, message: "slow");
    });
    assert!(text.contains("1 captured events are as expected, not 2"), "{text}");
    let text = failure(&captured, |captured| assert_no_event!(captured, level: Error));
    assert!(text.contains("1 captured events are as none is to be"), "{text}");
    let text = failure(&testing::capture(), |captured| drop(assert_event!(captured)));
    assert!(text.contains("captured: nothing") && text.contains("spawn_thread"), "{text}");
}

#[test]
fn failing_span_tree_is_drawn() {
    let captured = testing::capture();
    emit();
    assert_span_tree!(captured, "request > query");
    let text = failure(&captured, |captured| assert_span_tree!(captured, "request, query"));
    assert!(text.contains("captured (2 spans):\n    request\n      query"), "{text}");
    let text = failure(&captured, |captured| assert_span_tree!(captured, "request >"));
    assert!(text.contains("a span's name is missing"), "{text}");
}

#[test]
fn json_is_the_same_in_every_run() {
    let json = || {
        let captured = testing::capture();
        emit();
        captured.to_json()
    };
    let first = json();
    assert_eq!(first, json());
    assert_eq!(
        first,
        r#"[
  {
    "kind": "event",
    "level": "WARN",
    "target": "app::db",
    "trace": 1,
    "inside": ["request 1"],
    "message": "slow",
    "fields": {
      "peer": "127.0.0.1",
      "ratio": 0.5,
      "up": true
    }
  },
  {
    "kind": "event",
    "level": "INFO",
    "target": "captures::asserts",
    "trace": 1,
    "inside": ["request 1", "query 2"],
    "message": "found",
    "fields": {
      "rows": 3,
      "big": 340282366920938463463374607431768211455
    }
  },
  {
    "kind": "span",
    "level": "INFO",
    "target": "captures::asserts",
    "name": "query",
    "trace": 1,
    "span": 2,
    "inside": ["request 1"]
  },
  {
    "kind": "event",
    "level": "ERROR",
    "target": "captures::asserts",
    "trace": 1,
    "inside": ["request 1"],
    "message": "failed",
    "fields": {
      "error": ["an error occurred when formatting an argument"]
    }
  },
  {
    "kind": "span",
    "level": "INFO",
    "target": "captures::asserts",
    "name": "request",
    "trace": 1,
    "span": 1,
    "fields": {
      "method": "GET"
    }
  }
]
"#
    );
}

#[test]
fn json_is_what_a_parser_of_json_reads() {
    let captured = testing::capture();
    info!(text = "a \"quote\"\\ \n\t\u{1}\u{2028}é", bytes = &b"\x00\xff"[..], nan = f64::NAN, "");
    context(|| info!("located"));
    let json: serde_json::Value = serde_json::from_str(&captured.to_json()).unwrap();
    assert_eq!(json[0]["fields"]["text"], "a \"quote\"\\ \n\t\u{1}\u{2028}é");
    assert_eq!(json[0]["fields"]["bytes"], "00ff");
    assert_eq!(json[0]["fields"]["nan"], "NaN");
    assert_eq!(json[1]["fields"]["task.location"], file!());
}

fn context(f: impl FnOnce() + Send + 'static) {
    telemetry_core::context::spawn_thread("named", f).unwrap().join().unwrap();
}
