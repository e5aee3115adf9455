//! The HTTP service: a span and two metrics around every request.

use crate::shop::{self, OrderError};
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics::Unit;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Instant;
use tracing::{Instrument, field, info_span};

/// Starts serving on a port of the loopback interface.
pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    metrics::describe_counter!("shop.orders", Unit::Count, "Orders by what became of them");
    metrics::describe_histogram!(
        "http.server.request.duration",
        Unit::Seconds,
        "Duration of HTTP server requests"
    );
    let router = Router::new()
        .route("/orders", post(place))
        .route("/orders/{order}", get(look_up))
        .layer(middleware::from_fn(observe));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

#[expect(clippy::disallowed_methods, reason = "a user's program reads its own clock")]
async fn observe(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().to_string();
    let span = info_span!(
        "request",
        http.request.method = method,
        url.path = request.uri().path(),
        http.response.status_code = field::Empty,
        otel.kind = "server",
    );
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    let labels =
        [("http.request.method", method), ("http.response.status_code", status.to_string())];
    let seconds = start.elapsed().as_secs_f64();
    metrics::histogram!("http.server.request.duration", &labels).record(seconds);
    response
}

async fn place(Json(order): Json<Value>) -> (StatusCode, Json<Value>) {
    let items = order["items"].as_u64().and_then(|items| items.try_into().ok()).unwrap_or(0);
    match shop::place_order(items).await {
        Ok(order) => (StatusCode::CREATED, Json(json!({ "order": order }))),
        Err(error) => {
            let status = match error {
                OrderError::Nothing => StatusCode::BAD_REQUEST,
                OrderError::Declined { .. } => StatusCode::PAYMENT_REQUIRED,
            };
            (status, Json(json!({ "error": error.to_string() })))
        }
    }
}

#[tracing::instrument]
async fn look_up(Path(order): Path<u64>) -> Json<Value> {
    tracing::debug!("looked up");
    Json(json!({ "order": order, "state": "placed" }))
}
