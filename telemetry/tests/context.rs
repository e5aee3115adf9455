//! Context over headers of the `http` crate and tasks of tokio.

#![allow(clippy::unwrap_used, reason = "tests")]

use http::{HeaderMap, HeaderValue};
use telemetry_toolkit::context::{self, InContext, Propagators};
use telemetry_toolkit::headers::{Headers, HeadersMut};
use telemetry_toolkit::task;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn all_values_of_a_repeated_header_are_read() {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static(PARENT));
    headers.append("tracestate", HeaderValue::from_static("a=1"));
    headers.append("tracestate", HeaderValue::from_static("b=2"));
    headers.append("baggage", HeaderValue::from_static("k=v"));
    headers.append("baggage", HeaderValue::from_static("l=w"));
    let remote = Propagators::default().extract(&Headers(&headers));
    assert_eq!(remote.span().unwrap().state.as_str(), "a=1,b=2");
    assert_eq!(remote.baggage().len(), 2);
    let mut sent = HeaderMap::new();
    sent.append("baggage", HeaderValue::from_static("old=1"));
    remote.run(|| Propagators::default().inject(&mut HeadersMut(&mut sent)));
    assert_eq!(sent["traceparent"], PARENT);
    assert_eq!(sent["tracestate"], "a=1,b=2");
    assert_eq!(sent.get_all("baggage").iter().collect::<Vec<_>>(), ["k=v,l=w"]);
    headers.append("traceparent", HeaderValue::from_bytes(&[0xff]).unwrap());
    assert!(Propagators::default().extract(&Headers(&headers)).span().is_none());
}

/// Asserts what every task is to find, and returns its name.
fn look(task: &str) -> Option<String> {
    let values = context::values();
    assert!(PARENT.contains(&context::current().unwrap().trace_id.to_string()), "{task}");
    assert_eq!(context::baggage().get("k"), Some("v"), "{task}");
    assert_eq!(values.get("tenant").unwrap().to_string(), "acme", "{task}");
    assert!(values.get("task.location").unwrap().to_string().contains("context.rs:"), "{task}");
    values.get("task.name").map(ToString::to_string)
}

#[test]
fn tasks_run_in_the_context_of_their_starter() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let headers = [("traceparent", PARENT), ("baggage", "k=v")];
    let remote = Propagators::default().extract(&headers);
    let work = async {
        let plain = task::spawn(async {
            tokio::task::yield_now().await;
            look("spawn")
        });
        let named = task::spawn_named("refresh", async { look("spawn_named") });
        let blocking = task::spawn_blocking(|| look("spawn_blocking"));
        assert_eq!(plain.await.unwrap(), None);
        assert_eq!(named.await.unwrap().as_deref(), Some("refresh"));
        assert_eq!(blocking.await.unwrap(), None);
    };
    runtime.block_on(work.in_remote(&remote).in_scope_values([("tenant", "acme")]));
}
