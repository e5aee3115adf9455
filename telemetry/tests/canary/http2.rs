//! Real libraries that log what they do: an HTTP/2 request with secrets in its headers and URL.

use crate::{canary, text_canary};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use telemetry_toolkit::context::InContext;

/// Talks to a server within the process, over h1 and h2.
pub(crate) fn talk() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener).in_scope_values([("side", "server")]));
        for is_h2 in [true, false] {
            request(port, is_h2).await;
        }
    });
}

async fn serve(listener: tokio::net::TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(answer);
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let headers = request.headers();
    assert!(headers.contains_key("authorization"));
    // As a careless service would.
    tracing::debug!(http.request.header.authorization = ?headers["authorization"], "request");
    let response = http::Response::builder().header("set-cookie", text_canary("set_cookie"));
    Ok(response.body(Full::new(Bytes::from_static(b"ok"))).unwrap())
}

async fn request(port: u16, is_h2: bool) {
    let mut client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let client = client.http2_only(is_h2).build_http::<Empty<Bytes>>();
    // User information is not a part of the request that hyper sends; it is of what it logs.
    let user = canary("request_user");
    let query = text_canary("query");
    let uri = format!("http://ann:{user}@127.0.0.1:{port}/x?access={query}");
    let request = http::Request::get(uri)
        .header("authorization", format!("Bearer {}", text_canary("bearer")))
        .header("cookie", text_canary("cookie"))
        .body(Empty::new())
        .unwrap();
    let response = client.request(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}
