//! What a server sends on of what it is sent, over real connections: the requirements of W3C Trace
//! Context, levels 1 and 2, as its conformance suite asks for them.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use axum::{Router, body::Body, extract::Request, routing::any};
use http::{HeaderMap, Response};
use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry_core::context::{self, Propagators, TraceParent};
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;
use telemetry_http::tower::{ClientLayer, ServerLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, ServiceExt, service_fn};

const TRACE: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";
const CALLS: usize = 3;

/// The headers of the calls that the server makes.
type Calls = Arc<Mutex<Vec<HeaderMap>>>;

async fn call(calls: Calls) {
    let callee = service_fn(move |request: Request| {
        calls.lock().unwrap().push(request.headers().clone());
        async { Ok::<_, Infallible>(Response::new(Body::empty())) }
    });
    let request = http::Request::get("http://callee/").body(Body::empty()).unwrap();
    ClientLayer::new().layer(callee).oneshot(request).await.unwrap();
}

async fn serve(calls: Calls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = move || async move {
        for _ in 0..CALLS {
            call(Arc::clone(&calls)).await;
        }
    };
    let app = Router::new().route("/", any(handler)).layer(ServerLayer::new());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends a request with these lines of headers, as they are.
async fn send(address: SocketAddr, lines: &[String]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// What the server's calls had: the trace id, the joined states, and the flags; checks what holds
/// for all.
fn sent(calls: &Calls) -> (String, String, u8) {
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    assert_eq!(calls.len(), CALLS);
    let (mut spans, mut told) = (HashSet::new(), HashSet::new());
    for headers in &calls {
        let parents: Vec<_> = headers.get_all("traceparent").iter().collect();
        let [parent] = parents[..] else { panic!("{parents:?}") };
        let parent = TraceParent::parse(parent.to_str().unwrap()).unwrap();
        assert!(parent.to_string().starts_with("00-"), "only version 00 is written");
        spans.insert(parent.span_id);
        let states = headers.get_all("tracestate").iter().map(|state| state.to_str().unwrap());
        let states = states.collect::<Vec<_>>().join(",");
        told.insert((parent.trace_id.to_string(), states, parent.flags.bits()));
    }
    assert_eq!((spans.len(), told.len()), (CALLS, 1), "one trace, a span for each call");
    assert!(spans.iter().all(|span| span.to_string() != SPAN), "the parent is our span");
    told.into_iter().next().unwrap()
}

/// What the calls of one server had for each request, which has these lines of headers.
fn sent_on(requests: &[&[String]]) -> Vec<(String, String, u8)> {
    context::set_propagators(Propagators::default());
    let memory = MemoryExporter::new("memory");
    let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory)).scoped().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = pipeline.run(|| {
        let told = runtime.block_on(async {
            let calls = Calls::default();
            let address = serve(Arc::clone(&calls)).await;
            let mut told = Vec::new();
            for lines in requests {
                send(address, lines).await;
                told.push(sent(&calls));
            }
            told
        });
        drop(runtime);
        told
    });
    assert!(!pipeline.shutdown(Duration::from_secs(10)).timed_out);
    told
}

/// Checks `cases`: lines of headers; is the trace continued?; the state that goes on.
fn check(cases: Vec<(Vec<String>, bool, String)>) {
    let requests: Vec<_> = cases.iter().map(|(lines, ..)| lines.as_slice()).collect();
    for ((trace, sent_state, _), (lines, is_continued, state)) in
        sent_on(&requests).into_iter().zip(&cases)
    {
        assert_eq!(trace == TRACE, *is_continued, "{lines:?}");
        assert_eq!(sent_state, *state, "{lines:?}");
    }
}

fn parent(value: &str) -> String {
    format!("traceparent: {}", value.replace('T', TRACE).replace('S', SPAN))
}

#[test]
fn good_parents_are_continued_and_bad_ones_are_not() {
    let good = [
        "00-T-S-01",
        "00-T-S-00",
        "00-T-S-03",
        "00-T-S-ff",
        "cc-T-S-01",
        "cc-T-S-01-what-the-future-will-be-like",
        " 00-T-S-01",
        "\t00-T-S-01",
        "00-T-S-01 ",
        "00-T-S-01\t",
        "\t 00-T-S-01 \t",
    ];
    let bad = [
        "",
        "00-T-S-01.",
        "00-T-S-01-what-the-future-will-be-like",
        "cc-T-S-01.what-the-future-will-be-like",
        "ff-T-S-01",
        ".0-T-S-01",
        "0.-T-S-01",
        "000-T-S-01",
        "0000-T-S-01",
        "0-T-S-01",
        "00-00000000000000000000000000000000-S-01",
        "00-.2345678901234567890123456789012-S-01",
        "00-1234567890123456789012345678901.-S-01",
        "00-T3-S-01",
        "00-1234567890123456789012345678901-S-01",
        "00-T-0000000000000000-01",
        "00-T-.234567890123456-01",
        "00-T-123456789012345.-01",
        "00-T-S7-01",
        "00-T-123456789012345-01",
        "00-T-S-.0",
        "00-T-S-0.",
        "00-T-S-001",
        "00-T-S-1",
        "00-T-S-01,00-T-S-01",
    ];
    let case = |value: &&str, is_continued| (vec![parent(value)], is_continued, String::new());
    let mut cases: Vec<_> = good.iter().map(|value| case(value, true)).collect();
    cases.extend(bad.iter().map(|value| case(value, false)));
    for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        let line = parent("00-T-S-01").replace("traceparent", name);
        cases.push((vec![line], true, String::new()));
    }
    for name in ["trace-parent", "trace.parent"] {
        let line = parent("00-T-S-01").replace("traceparent", name);
        cases.push((vec![line], false, String::new()));
    }
    cases.push((vec![parent("00-T-S-01"), parent("00-T-S-01")], false, String::new()));
    cases.push((vec![], false, String::new()));
    check(cases);
}

/// `members` members of a list, from number `first` on.
fn members(first: usize, members: usize) -> String {
    let member = |n| format!("bar{n:02}={n:02}");
    (first..first + members).map(member).collect::<Vec<_>>().join(",")
}

#[test]
fn states_go_on_whole_or_not_at_all() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (' '..='~').filter(|c| !",=".contains(*c)).collect();
    let (z256, z257) = ("z".repeat(256), "z".repeat(257));
    let same = |states: &[&str]| (states.join("\n"), states.join(","));
    let to = |states: &str, expected: &str| (states.to_owned(), expected.to_owned());
    let table = [
        same(&["foo=1,bar=2"]),
        same(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]),
        same(&[&format!("{key}={value}")]),
        same(&[&format!("{key}@a-z0-9_-*/={value}")]),
        same(&["1a=1", "foo@=1,bar=2", "foo@@bar=1"]),
        same(&["foo=1", &format!("{z256}=1")]),
        same(&[&members(1, 10), &members(11, 10), &members(21, 10), "bar31=31,bar32=32"]),
        to("", ""),
        to("foo=1\n", "foo=1"),
        to("\nfoo=1", "foo=1"),
        to("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        to("foo=1\t \t,\t \tbar=2,\t \tbaz=3", "foo=1,bar=2,baz=3"),
        to(" foo=1", "foo=1"),
        to("\t foo=1 \t", "foo=1"),
        to("foo=1,foo=1", "foo=1"),
        to("foo=1\nfoo=2", "foo=1"),
        to("foo =1", ""),
        to("FOO=1", ""),
        to("foo.bar=1", ""),
        to("@foo=1,bar=2", ""),
        to("foo=bar=baz", ""),
        to("foo=,bar=3", ""),
        to(&format!("foo=1\n{z257}=1"), ""),
        to(&format!("{}\n{}", members(1, 20), members(21, 13)), ""),
    ];
    let mut cases = Vec::new();
    for (states, expected) in table {
        let mut lines = vec![parent("00-T-S-00")];
        lines.extend(states.split('\n').map(|state| format!("tracestate: {state}")));
        cases.push((lines, true, expected));
    }
    for (name, expected) in
        [("TraceState", "foo=1"), ("TRACESTATE", "foo=1"), ("trace-state", ""), ("trace.state", "")]
    {
        let lines = vec![parent("00-T-S-00"), format!("{name}: foo=1")];
        cases.push((lines, true, expected.to_owned()));
    }
    cases.push((vec!["tracestate: foo=1".to_owned()], false, String::new()));
    cases.push((vec![parent("00-T-S-1"), "tracestate: foo=1".to_owned()], false, String::new()));
    check(cases);
}

#[test]
fn flags_go_on_and_the_random_one_is_set_where_a_trace_begins() {
    let sent = |value: &str| vec![parent(value)];
    let cases = [
        (sent("00-T-S-00"), 0),
        (sent("00-T-S-01"), 1),
        (sent("00-T-S-02"), 2),
        (sent("00-T-S-03"), 3),
        (sent("00-T-S-ff"), 3),
        (sent("cc-T-S-06-x"), 2),
        (sent("00-T-0000000000000000-00"), 3),
        (vec![], 3),
    ];
    let requests: Vec<_> = cases.iter().map(|(lines, _)| lines.as_slice()).collect();
    for ((_, _, flags), (lines, expected)) in sent_on(&requests).into_iter().zip(&cases) {
        assert_eq!(flags, *expected, "{lines:?}");
    }
}
