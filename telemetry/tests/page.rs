//! The page to look through, in services of axum and of hyper that listen on a port.
//!
//! One test, because the process has one pipeline.

#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use telemetry_toolkit::{Inspector, task};
use tracing::Instrument;

const PATH: &str = "/debug/telemetry";

/// Serves the page with hyper alone.
async fn serve_with_hyper(listener: tokio::net::TcpListener, inspector: Inspector) {
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let inspector = inspector.clone();
        let page = service_fn(move |request: hyper::Request<Incoming>| {
            let answer = inspector.respond(peer, &request);
            async { Ok::<_, Infallible>(answer) }
        });
        let stream = TokioIo::new(stream);
        drop(tokio::spawn(async {
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(stream, page).await);
        }));
    }
}

fn router(inspector: Inspector) -> Router {
    let page = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| async move {
        inspector.respond(peer, &request)
    };
    Router::new().route(PATH, get(page))
}

/// Sends a request with these lines, and returns status, header and body of the answer.
fn ask(service: SocketAddr, lines: &[&str]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(service).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status.unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn page_of_a_service_tells_this_host_and_nobody_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let builder = telemetry_toolkit::builder().no_console().exit_hook(false);
    let telemetry = builder.json_file(file.path()).init().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let listen = || {
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.unwrap();
        (listener.local_addr().unwrap(), listener)
    };
    let serve = |router: Router| {
        let (address, listener) = listen();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        drop(runtime.spawn(async { axum::serve(listener, service).await }));
        address
    };
    let charge = std::future::pending::<()>().instrument(tracing::info_span!("charge", order = 42));
    drop(task::spawn_named("checkout", charge));
    telemetry.flush(Duration::from_secs(30)).unwrap();

    let here = serve(router(telemetry.inspector()));
    let request = format!("GET {PATH} HTTP/1.1");
    let (status, head, text) = ask(here, &[&request, "Host: localhost"]);
    assert_eq!(status, 200, "{head}");
    assert!(text.contains("\nOldest open spans\n") && text.contains("order=42"), "{text}");
    assert!(head.contains("content-type: text/plain") && head.contains("cache-control: no-store"));

    let as_json = format!("GET {PATH}?format=json HTTP/1.1");
    let (_, head, body) = ask(here, &[&as_json, "Host: 127.0.0.1:80"]);
    let found: serde_json::Value = serde_json::from_str(&body).expect(&head);
    assert_eq!(found["oldest_spans"][0]["fields"]["order"], "42");
    let tasks = found["tasks"].as_array().unwrap();
    assert!(tasks.iter().any(|task| task["task"] == "checkout"), "{tasks:?}");

    let foreign = "only `localhost` and loopback addresses are answered\n";
    let proxied = "what comes through a proxy is not answered\n";
    let table: [(&[&str], u16, &str); 5] = [
        (&[&request, "Host: rebound.example"], 403, foreign),
        (&[&request, "Host: localhost", "X-Forwarded-For: 192.0.2.7"], 403, proxied),
        (&[&format!("HEAD {PATH} HTTP/1.1"), "Host: localhost"], 200, ""),
        (&[&format!("POST {PATH} HTTP/1.1"), "Host: localhost"], 405, ""),
        (
            &[&format!("GET {PATH}?format=xml HTTP/1.1"), "Host: localhost"],
            400,
            "`format` is `text` or `json`\n",
        ),
    ];
    for (lines, status, body) in table {
        let answer = ask(here, lines);
        assert_eq!((answer.0, answer.2.as_str()), (status, body), "{lines:?}");
    }

    // A peer elsewhere, which a test on one host can but claim to be.
    let elsewhere = SocketAddr::from(([192, 0, 2, 7], 4711));
    let (address, listener) = listen();
    let claimed = router(telemetry.inspector()).layer(MockConnectInfo(elsewhere));
    drop(runtime.spawn(async { axum::serve(listener, claimed).await }));
    let (status, _, body) = ask(address, &[&request, "Host: localhost"]);
    assert_eq!((status, body.as_str()), (403, "only this host is answered\n"));

    let (address, listener) = listen();
    drop(runtime.spawn(serve_with_hyper(listener, telemetry.inspector())));
    let (status, _, body) = ask(address, &[&request, "Host: localhost"]);
    assert!(status == 200 && body.contains("order=42"), "{body}");
    assert_eq!(ask(address, &[&request, "Host: rebound.example"]).0, 403);

    let inspector = telemetry.inspector();
    telemetry.shutdown();
    let gone = serve(router(inspector));
    let (status, _, body) = ask(gone, &[&request, "Host: localhost"]);
    assert_eq!(status, 200);
    assert!(body.contains("telemetry is off, or has been shut down"), "{body}");
}
