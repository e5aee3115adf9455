//! Faults of the collector and the network (TN of the fault catalogue), with short times.

use crate::support::{
    LONG, NEVER, Outcomes, builder, logs, numbers, over_both, peer, soon, started,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use telemetry_core::batch::Batch;
use telemetry_core::export::{Exporter, Outcome};
use telemetry_core::ledger::{Cause, Signal, Units};
use telemetry_core::testing::BatchFixture;
use telemetry_core::{Level, clock};
use telemetry_otlp::Protocol;
use telemetry_otlp::receiver::{Answer, Receiver};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// An endpoint where nothing listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn answers_that_may_pass_are_retried_until_they_do(protocol: Protocol) {
    for answer in [
        Answer::status(429),
        Answer::status(502),
        Answer::status(503),
        Answer::status(504),
        Answer::Disconnect,
        Answer::DisconnectInBody,
    ] {
        let receiver = Receiver::start().unwrap();
        receiver.script([answer.clone(), answer.clone(), answer.clone()]);
        let mut exporter = started(builder(protocol, &receiver.endpoint()));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 10));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.all(), [Outcome::Delivered], "{answer:?}");
        assert_eq!(receiver.requests().len(), 4, "{answer:?}");
        assert_eq!(numbers(&receiver), (0..10).map(|n| (n, 1)).collect::<BTreeMap<_, _>>());
        exporter.shutdown(soon(LONG));
    }
}

fn answers_that_are_final_are_tried_once(protocol: Protocol) {
    let codes = [400, 401, 403, 404, 405, 408, 413, 415, 500, 501, 505];
    let receiver = Receiver::start().unwrap();
    receiver.script(codes.map(|code| Answer::retry_after(code, "1")));
    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    for number in 0..codes.len() as u64 {
        outcomes.export(&mut exporter, logs(number, 1));
        exporter.flush(soon(LONG));
    }
    assert_eq!(receiver.requests().len(), codes.len());
    assert_eq!(outcomes.all(), vec![Outcome::Rejected(Cause::Rejected); codes.len()]);
    exporter.shutdown(soon(LONG));
}

fn retry_after_is_waited_for(protocol: Protocol) {
    // Of the usual waits one would be shorter, the other longer than the test.
    for (code, backoff) in [(429, MS(1)), (503, NEVER)] {
        let receiver = Receiver::start().unwrap();
        receiver.script([Answer::retry_after(code, "1")]);
        let mut exporter =
            started(builder(protocol, &receiver.endpoint()).backoff(backoff, backoff));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 1));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.all(), [Outcome::Delivered]);
        let requests = receiver.requests();
        let wait = requests[1].at - requests[0].at;
        assert!(wait >= MS(1000), "{wait:?}");
        exporter.shutdown(soon(LONG));
    }
}

fn retry_after_beyond_the_retry_time_gives_up_at_once_and_throttles_the_next(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    receiver.script([Answer::retry_after(503, "1000000000")]);
    let mut exporter = started(builder(protocol, &receiver.endpoint()).retry_timeout(LONG));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 1));
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Rejected(Cause::RetriesExhausted)]);
    outcomes.export(&mut exporter, logs(1, 1));
    let begin = clock::now();
    exporter.shutdown(soon(LONG));
    assert!(clock::now() - begin < LONG / 2, "what cannot be tried in time is not waited for");
    assert_eq!(outcomes.all()[1..], [Outcome::Rejected(Cause::ShutdownTimeout)]);
    assert_eq!(receiver.requests().len(), 1);
}

fn unreadable_retry_after_is_as_good_as_none(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let garbage = "x".repeat(10_240);
    let values = ["0", "-5", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", &garbage];
    receiver.script(values.map(|value| Answer::retry_after(503, value)));
    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    let begin = clock::now();
    outcomes.export(&mut exporter, logs(0, 1));
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Delivered]);
    assert_eq!(receiver.requests().len(), 6);
    assert!(clock::now() - begin < LONG / 2, "the usual waits are 20 to 100 ms");
    exporter.shutdown(soon(LONG));
}

fn peer_that_never_answers_costs_a_timeout_and_is_retried(protocol: Protocol) {
    for answer in [Answer::Hang, Answer::HangInBody, Answer::Slow(NEVER)] {
        let receiver = Receiver::start().unwrap();
        receiver.script([answer.clone()]);
        let mut exporter = started(builder(protocol, &receiver.endpoint()).timeout(MS(300)));
        let outcomes = Outcomes::default();
        let begin = clock::now();
        outcomes.export(&mut exporter, logs(0, 5));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.all(), [Outcome::Delivered], "{answer:?}");
        assert!(receiver.requests().len() >= 2, "{answer:?}");
        assert!(clock::now() - begin >= MS(300), "{answer:?}");
        exporter.shutdown(soon(LONG));
    }
}

fn export_ends_with_its_retry_time(protocol: Protocol) {
    for endpoint in [Some(Answer::Hang), Some(Answer::status(503)), None] {
        let receiver = Receiver::start().unwrap();
        let url = endpoint.clone().map_or_else(nowhere, |answer| {
            receiver.otherwise(answer);
            receiver.endpoint()
        });
        let builder = builder(protocol, &url).timeout(MS(400)).retry_timeout(MS(1000));
        let mut exporter = started(builder);
        let outcomes = Outcomes::default();
        let begin = clock::now();
        outcomes.export(&mut exporter, logs(0, 5));
        exporter.flush(soon(LONG));
        let time = clock::now() - begin;
        assert_eq!(outcomes.all(), [Outcome::Rejected(Cause::RetriesExhausted)], "{endpoint:?}");
        assert!(time >= MS(900), "{endpoint:?}: {time:?}");
        exporter.shutdown(soon(LONG));
    }
}

fn wait_beyond_the_retry_time_does_not_cost_the_last_attempt(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    receiver.script([Answer::status(503)]);
    let mut exporter = started(
        builder(protocol, &receiver.endpoint()).backoff(NEVER, NEVER).retry_timeout(MS(5000)),
    );
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 1));
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), [Outcome::Delivered]);
    assert_eq!(receiver.requests().len(), 2);
    exporter.shutdown(soon(LONG));
}

fn outage_shares_one_wait_whatever_is_waiting(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    receiver.otherwise(Answer::status(503));
    let builder = builder(protocol, &receiver.endpoint()).backoff(MS(200), MS(200));
    let mut exporter = started(builder);
    let outcomes = Outcomes::default();
    let begin = clock::now();
    for number in 0..50 {
        outcomes.export(&mut exporter, logs(number, 1));
        exporter.flush(clock::now());
    }
    assert!(receiver.wait_for_requests(LONG, 10));
    let (attempts, time) = (receiver.requests().len(), clock::now() - begin);
    // Four before the first failure; then one every 100 to 300 ms, and one for a flush every 200.
    let most = 8 + time.as_millis() / 100 + time.as_millis() / 200;
    assert!(attempts as u128 <= most, "{attempts} attempts in {time:?}");
    receiver.otherwise(Answer::Accept);
    exporter.flush(soon(LONG));
    assert_eq!(numbers(&receiver), (0..50).map(|n| (n, 1)).collect::<BTreeMap<_, _>>());
    assert_eq!(outcomes.all(), vec![Outcome::Delivered; 50]);
    exporter.shutdown(soon(LONG));
}

fn partial_success_is_counted_and_never_sent_again(protocol: Protocol) {
    for (rejected, delivered) in [(0, 10), (3, 7), (10, 0), (99, 0), (-4, 10)] {
        let receiver = Receiver::start().unwrap();
        let message = "m".repeat(1 << 20);
        receiver.script([Answer::PartialSuccess { rejected, message }]);
        let mut exporter = started(builder(protocol, &receiver.endpoint()));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 4));
        outcomes.export(&mut exporter, logs(4, 6));
        exporter.flush(soon(LONG));
        let (got, lost) = outcomes.logs();
        assert_eq!(got, delivered, "{rejected}");
        assert_eq!(lost.values().sum::<u64>(), 10 - delivered, "{rejected}");
        assert!(lost.keys().all(|cause| *cause == Cause::Rejected));
        assert_eq!(outcomes.all().len(), 2);
        assert_eq!(receiver.requests().len(), 1);
        exporter.shutdown(soon(LONG));
    }
}

#[test]
fn answer_that_is_too_large_is_final() {
    let bomb = gzip(&vec![0; 5 << 20]);
    assert!(bomb.len() < 64 << 10);
    let gzipped = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    for (headers, body) in [(Vec::new(), vec![0; (4 << 20) + 1]), (gzipped, bomb)] {
        let receiver = Receiver::start().unwrap();
        receiver.script([Answer::Status { code: 200, headers, body }]);
        let mut exporter = started(builder(Protocol::HttpProtobuf, &receiver.endpoint()));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 1));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.all(), [Outcome::Rejected(Cause::Rejected)]);
        assert_eq!(receiver.requests().len(), 1);
        exporter.shutdown(soon(LONG));
    }
}

#[test]
fn success_that_is_no_otlp_answer_is_a_success() {
    let html = vec![("content-type".to_owned(), "text/html".to_owned())];
    let gzip = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    for (headers, body) in [
        (html, b"<html>welcome</html>".to_vec()),
        (Vec::new(), b"<html>welcome</html>".to_vec()),
        (gzip, b"no gzip".to_vec()),
    ] {
        let receiver = Receiver::start().unwrap();
        receiver.script([Answer::Status { code: 200, headers, body }]);
        let mut exporter = started(builder(Protocol::HttpProtobuf, &receiver.endpoint()));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 1));
        exporter.flush(soon(LONG));
        assert_eq!(outcomes.all(), [Outcome::Delivered]);
        assert_eq!(receiver.requests().len(), 1);
        exporter.shutdown(soon(LONG));
    }
}

fn flush_and_shutdown_keep_their_deadlines_and_lose_no_ack(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    receiver.otherwise(Answer::Hang);
    let mut exporter = started(builder(protocol, &receiver.endpoint()).timeout(Duration::ZERO));
    let outcomes = Outcomes::default();
    for number in 0..10 {
        outcomes.export(&mut exporter, logs(number, 1));
        exporter.flush(clock::now());
    }
    let begin = clock::now();
    exporter.flush(soon(MS(200)));
    let flushed = clock::now() - begin;
    assert!(flushed >= MS(200) && flushed < LONG / 2, "{flushed:?}");
    assert!(outcomes.all().is_empty());
    let begin = clock::now();
    exporter.shutdown(soon(MS(200)));
    let ended = clock::now() - begin;
    assert!(ended >= MS(200) && ended < LONG / 2, "{ended:?}");
    assert_eq!(outcomes.wait_for(10), vec![Outcome::Rejected(Cause::ShutdownTimeout); 10]);
}

fn shutdown_sends_what_is_gathered_although_a_wait_is_on(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    receiver.script([Answer::status(503)]);
    let builder = builder(protocol, &receiver.endpoint()).backoff(NEVER, NEVER);
    let mut exporter = started(builder);
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 1));
    exporter.flush(clock::now());
    assert!(receiver.wait_for_requests(LONG, 1));
    outcomes.export(&mut exporter, logs(1, 1));
    exporter.shutdown(soon(LONG));
    assert_eq!(outcomes.all(), vec![Outcome::Delivered; 2]);
}

fn exporter_dropped_without_a_shutdown_loses_no_ack(protocol: Protocol) {
    let outcomes = Outcomes::default();
    let mut exporter = started(builder(protocol, &nowhere()));
    outcomes.export(&mut exporter, logs(0, 1));
    drop(exporter);
    assert_eq!(outcomes.wait_for(1), [Outcome::Rejected(Cause::ShutdownTimeout)]);
}

fn signals_fail_on_their_own(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let builder =
        builder(protocol, &receiver.endpoint()).spans_endpoint(nowhere()).backoff(NEVER, NEVER);
    let mut exporter = started(builder);
    let outcomes = Outcomes::default();
    let mut fixture = BatchFixture::new();
    let span = fixture.span("lost", Level::Info, &[], None, 1, |_| {});
    fixture.close(span, 2);
    for number in 0..3 {
        fixture.event("it", Level::Info, &["number"], None, 5, |writer| {
            writer.u64(0, number);
        });
    }
    outcomes.export(&mut exporter, fixture.finish());
    exporter.flush(soon(LONG));
    assert!(receiver.wait_for(LONG, |counts| counts.get(Signal::Log) == 3));
    exporter.shutdown(soon(LONG));
    let (delivered, lost) = outcomes.totals();
    assert_eq!(delivered, Units::of(Signal::Log, 3));
    assert_eq!(lost.values().copied().collect::<Vec<_>>(), [Units::of(Signal::Span, 1)]);
}

/// Logs numbered from `first`, and spans of half a megabyte together.
fn logs_and_large_spans(first: u64, count: u64) -> Batch {
    let mut fixture = BatchFixture::new();
    let text = "x".repeat(10_000);
    for number in first..first + count {
        fixture.event("it", Level::Info, &["number"], None, 5, |writer| writer.u64(0, number));
    }
    for _ in 0..50 {
        let span =
            fixture.span("large", Level::Info, &["text"], None, 1, |writer| writer.str(0, &text));
        fixture.close(span, 2);
    }
    fixture.finish()
}

fn signal_that_fails_alone_does_not_hold_up_the_others(protocol: Protocol) {
    let (receiver, failing) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    failing.otherwise(Answer::status(503));
    let builder = builder(protocol, &receiver.endpoint()).spans_endpoint(failing.endpoint());
    let mut exporter = started(builder.delay(MS(20)));
    let outcomes = Outcomes::default();
    for batch in 0..60 {
        outcomes.export(&mut exporter, logs_and_large_spans(batch * 10, 10));
        // The logs go out meanwhile, as they do in a service.
        assert!(batch % 10 != 0 || receiver.wait_for(LONG, |got| got.total() >= batch * 10));
    }
    assert!(receiver.wait_for(LONG, |counts| counts.get(Signal::Log) == 600));
    failing.otherwise(Answer::status(400));
    exporter.shutdown(soon(LONG));
    let (delivered, lost) = outcomes.totals();
    assert_eq!(delivered, Units::of(Signal::Log, 600));
    assert_eq!(lost.values().map(|units| units.get(Signal::Span)).sum::<u64>(), 3000);
    assert_eq!(outcomes.all().len(), 60);
}

fn outage_of_all_signals_loses_nothing_that_was_not_tried_too_long(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    receiver.otherwise(Answer::status(503));
    let mut exporter = started(builder(protocol, &receiver.endpoint()));
    let outcomes = Outcomes::default();
    for batch in 0..40 {
        outcomes.export(&mut exporter, logs_and_large_spans(batch * 10, 10));
    }
    exporter.flush(soon(MS(500)));
    assert!(outcomes.all().is_empty());
    receiver.otherwise(Answer::Accept);
    exporter.flush(soon(LONG));
    assert_eq!(outcomes.all(), vec![Outcome::Delivered; 40]);
    assert_eq!(receiver.counts(), {
        let mut units = Units::of(Signal::Log, 400);
        units.add(Signal::Span, 2000);
        units
    });
    exporter.shutdown(soon(LONG));
}

fn flush_does_not_wait_for_what_cannot_be_tried_in_time(protocol: Protocol) {
    let mut exporter = started(builder(protocol, &nowhere()).backoff(NEVER, NEVER));
    let outcomes = Outcomes::default();
    outcomes.export(&mut exporter, logs(0, 1));
    let begin = clock::now();
    exporter.flush(soon(LONG));
    exporter.shutdown(soon(LONG));
    let time = clock::now() - begin;
    assert!(time < LONG / 2, "{time:?}");
    assert_eq!(outcomes.all(), [Outcome::Rejected(Cause::ShutdownTimeout)]);
}

/// How a port treats its first connection.
#[derive(Debug, Clone, Copy)]
enum First {
    /// It takes it and says nothing, as what is behind a router that lost its state.
    IsSilent,
    /// It resets it: what it has not read is lost.
    IsReset,
}

/// A port that leads to `receiver`, but for the first connection.
fn port_to(receiver: &Receiver, first: First) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let to = receiver.endpoint().replace("http://", "");
    peer(move || {
        let (mut lost, _) = listener.accept().unwrap();
        lost.read_exact(&mut [0; 8]).unwrap();
        let _held = match first {
            First::IsSilent => Some(lost),
            First::IsReset => {
                drop(lost);
                None
            }
        };
        for stream in listener.incoming().map_while(Result::ok) {
            let there = TcpStream::connect(&to).unwrap();
            let (back, from) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
            for (mut from, mut to) in [(stream, there), (from, back)] {
                peer(move || drop(std::io::copy(&mut from, &mut to)));
            }
        }
    });
    endpoint
}

fn connection_that_leads_nowhere_is_replaced(protocol: Protocol) {
    for first in [First::IsSilent, First::IsReset] {
        let receiver = Receiver::start().unwrap();
        let builder = builder(protocol, &port_to(&receiver, first));
        let timeout = if matches!(first, First::IsSilent) { MS(300) } else { LONG };
        let mut exporter = started(builder.timeout(timeout));
        let outcomes = Outcomes::default();
        outcomes.export(&mut exporter, logs(0, 10_000));
        exporter.flush(soon(LONG));
        assert!(outcomes.all().iter().all(|outcome| *outcome == Outcome::Delivered), "{first:?}");
        assert_eq!(numbers(&receiver).len(), 10_000, "{first:?}");
        exporter.shutdown(soon(LONG));
    }
}

fn mixed_faults_lose_nothing_and_double_only_what_was_ambiguous(protocol: Protocol) {
    let receiver = Receiver::start().unwrap();
    let faults = [
        Answer::status(503),
        Answer::Accept,
        Answer::Disconnect,
        Answer::Slow(MS(30)),
        Answer::status(502),
        Answer::Accept,
        Answer::Hang,
        Answer::DisconnectInBody,
    ];
    for _ in 0..6 {
        receiver.script(faults.clone());
    }
    let builder = builder(protocol, &receiver.endpoint()).timeout(MS(150));
    let mut exporter = started(builder.request_bytes(64 * 1024));
    let outcomes = Outcomes::default();
    for batch in 0..40 {
        outcomes.export(&mut exporter, logs(batch * 500, 500));
    }
    exporter.flush(soon(LONG));
    exporter.shutdown(soon(LONG));
    assert_eq!(outcomes.all(), vec![Outcome::Delivered; 40]);
    // The receiver counts only what it has accepted, so nothing is ambiguous but a late answer.
    let numbers = numbers(&receiver);
    assert_eq!(numbers.len(), 20_000);
}

over_both! {
    answers_that_may_pass_are_retried_until_they_do
    answers_that_are_final_are_tried_once
    connection_that_leads_nowhere_is_replaced
    retry_after_is_waited_for
    retry_after_beyond_the_retry_time_gives_up_at_once_and_throttles_the_next
    unreadable_retry_after_is_as_good_as_none
    peer_that_never_answers_costs_a_timeout_and_is_retried
    export_ends_with_its_retry_time
    wait_beyond_the_retry_time_does_not_cost_the_last_attempt
    outage_shares_one_wait_whatever_is_waiting
    partial_success_is_counted_and_never_sent_again
    flush_and_shutdown_keep_their_deadlines_and_lose_no_ack
    shutdown_sends_what_is_gathered_although_a_wait_is_on
    exporter_dropped_without_a_shutdown_loses_no_ack
    signals_fail_on_their_own
    signal_that_fails_alone_does_not_hold_up_the_others
    outage_of_all_signals_loses_nothing_that_was_not_tried_too_long
    flush_does_not_wait_for_what_cannot_be_tried_in_time
    mixed_faults_lose_nothing_and_double_only_what_was_ambiguous
}
