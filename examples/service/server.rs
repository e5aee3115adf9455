//! The HTTP service, inside a layer that tells of every request.

use crate::shop::{self, OrderError};
use axum::extract::{MatchedPath, Path};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics::Unit;
use serde_json::{Value, json};
use std::net::SocketAddr;
use telemetry_toolkit::tower::ServerLayer;

/// Starts serving on a port of the loopback interface.
pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    metrics::describe_counter!("shop.orders", Unit::Count, "Orders by what became of them");
    // A span and a duration for every request; a caller's trace goes on.
    let layer = ServerLayer::new()
        .route(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str));
    let router = Router::new()
        .route("/orders", post(place))
        .route("/orders/{order}", get(look_up))
        .layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
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
