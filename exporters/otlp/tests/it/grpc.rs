//! What gRPC has of its own: statuses, their details, metadata.

use crate::support::{LONG, NEVER, Outcomes, builder, logs, peer, soon, started};
use std::io::Write;
use std::time::Duration;
use telemetry_core::export::{Exporter, Outcome};
use telemetry_core::ledger::Cause;
use telemetry_otlp::receiver::{Answer, Receiver};
use telemetry_otlp::{Compression, OtlpBuilder, Protocol};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn grpc(receiver: &Receiver) -> OtlpBuilder {
    builder(Protocol::Grpc, &receiver.endpoint())
}

fn status(code: u32, retry_delay: Option<Duration>) -> Answer {
    Answer::GrpcStatus { code, message: "100 % of it: größer".to_owned(), retry_delay }
}

/// What becomes of one record, and of how many calls.
fn outcome_of(answer: Answer) -> (Vec<Outcome>, usize) {
    let receiver = Receiver::start().unwrap();
    receiver.script([answer]);
    let mut exporter = started(grpc(&receiver));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 1));
    exporter.flush(soon(LONG));
    exporter.shutdown(soon(LONG));
    (outcomes.all(), receiver.requests().len())
}

#[test]
fn statuses_are_retried_or_final_by_the_table() {
    for code in 0..=17 {
        for retry_delay in [None, Some(Duration::ZERO)] {
            let is_retried = match code {
                1 | 4 | 10 | 11 | 14 | 15 => true,
                8 => retry_delay.is_some(),
                _ => false,
            };
            let expected = match (code, is_retried) {
                (0, _) => (vec![Outcome::Delivered], 1),
                (_, true) => (vec![Outcome::Delivered], 2),
                (_, false) => (vec![Outcome::Rejected(Cause::Rejected)], 1),
            };
            assert_eq!(outcome_of(status(code, retry_delay)), expected, "{code} {retry_delay:?}");
        }
    }
}

#[test]
fn retry_info_is_waited_for() {
    // Of the usual waits one would be shorter, the other longer than the test.
    for (code, backoff) in [(8, MS(1)), (14, NEVER)] {
        let receiver = Receiver::start().unwrap();
        receiver.script([status(code, Some(MS(500)))]);
        let mut exporter = started(grpc(&receiver).backoff(backoff, backoff));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 1));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.all(), [Outcome::Delivered]);
        let requests = receiver.requests();
        let wait = requests[1].at - requests[0].at;
        assert!(wait >= MS(500), "{wait:?}");
        exporter.shutdown(soon(LONG));
    }
}

#[test]
fn status_that_makes_no_sense_is_final_and_harms_nobody() {
    let rejected = (vec![Outcome::Rejected(Cause::Rejected)], 1);
    for (code, details) in [
        ("8", "!no base64!"),
        ("8", "AAAA"),
        ("8", ""),
        ("8", "GkQ"),
        ("eight", ""),
        ("", ""),
        ("-1", ""),
        ("99999999999", ""),
    ] {
        let headers = [("grpc-status", code), ("grpc-status-details-bin", details)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let answer = Answer::Status { code: 200, headers, body: Vec::new() };
        assert_eq!(outcome_of(answer), rejected, "{code} {details}");
    }
}

#[test]
fn answer_that_is_too_large_is_final() {
    let body = vec![0; (4 << 20) + 1];
    let answer = Answer::Status { code: 200, headers: Vec::new(), body };
    assert_eq!(outcome_of(answer), (vec![Outcome::Rejected(Cause::Rejected)], 1));
}

#[test]
fn success_that_is_no_otlp_answer_is_a_success() {
    let body = b"<html>welcome</html>".to_vec();
    let answer = Answer::Status { code: 200, headers: Vec::new(), body };
    assert_eq!(outcome_of(answer), (vec![Outcome::Delivered], 1));
}

#[test]
fn call_has_the_headers_that_grpc_wants() {
    for compression in [Compression::None, Compression::Gzip] {
        let receiver = Receiver::start().unwrap();
        let builder = grpc(&receiver).header("authorization", "Bearer t0ken");
        let mut exporter = started(builder.header("X-Team", "a").compression(compression));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 100));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.logs().0, 100);
        assert_eq!(receiver.logs().len(), 100);
        let requests = receiver.requests();
        assert_eq!(requests[0].path, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
        let header = |name: &str| {
            let found = requests[0].headers.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(header("content-type"), Some("application/grpc"));
        assert_eq!(header("te"), Some("trailers"));
        let gzip = (compression == Compression::Gzip).then_some("gzip");
        assert_eq!((header("grpc-encoding"), header("content-encoding")), (gzip, None));
        assert_eq!(header("authorization"), Some("Bearer t0ken"));
        assert_eq!(header("x-team"), Some("a"));
        let agent = concat!("telemetry-toolkit-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
        assert!(header("user-agent").unwrap().starts_with(agent), "{:?}", header("user-agent"));
        exporter.shutdown(soon(LONG));
    }
}

#[test]
fn peer_that_speaks_another_protocol_costs_the_retry_time() {
    // What answers here speaks HTTP/1.1 only, as a collector does on its other port.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    peer(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let builder = builder(Protocol::Grpc, &endpoint).retry_timeout(MS(500));
    let mut exporter = started(builder);
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 1));
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Rejected(Cause::RetriesExhausted)]);
    exporter.shutdown(soon(LONG));
}
