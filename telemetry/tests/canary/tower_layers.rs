//! The layers of `tower`, of a client and of a server: a request with secrets in its address and its
//! headers.

use crate::{canary, text_canary};
use http_body_util::Empty;
use hyper::body::Bytes;
use std::convert::Infallible;
use telemetry_toolkit::tower::{ClientLayer, ServerLayer};
use tower::{Layer, ServiceExt};

/// Sends a request through both.
pub(crate) fn talk() {
    let service = tower::service_fn(|_: http::Request<Empty<Bytes>>| async {
        tracing::info!("handled");
        Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
    });
    let service = ClientLayer::new().layer(ServerLayer::new().layer(service));
    let (user, token) = (canary("tower_user"), canary("tower_token"));
    let path = text_canary("tower_path");
    let uri = format!("http://ann:{user}@host/{path}?page=1&access_token={token}&iban={token}");
    let request = http::Request::get(uri)
        .header("host", format!("ann:{user}@host"))
        .header("authorization", canary("tower_bearer"))
        .header("user-agent", text_canary("tower_agent"))
        .header("baggage", format!("client.secret={}", canary("tower_baggage")))
        .body(Empty::new())
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tracing::info!(?service, "layers");
    let response = runtime.block_on(service.oneshot(request)).unwrap();
    assert!(response.status().is_success());
}
