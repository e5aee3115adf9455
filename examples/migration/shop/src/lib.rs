//! Orders over HTTP, on `tracing` and `metrics`: the same before and after.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use metrics::Unit;
use serde_json::{Value, json};
use std::error::Error;
use std::time::Instant;
use tokio::net::TcpListener;
use tracing::{info, instrument};

/// The port that a variable of the environment names.
///
/// # Errors
///
/// It is no port.
pub fn port_from(variable: &str, default: u16) -> Result<u16, Box<dyn Error>> {
    Ok(std::env::var(variable).map_or(Ok(default), |port| port.parse())?)
}

/// `POST /orders/{items}`.
pub fn router() -> Router {
    metrics::describe_counter!("shop_orders", "Orders by what became of them");
    metrics::describe_histogram!("shop_order_seconds", Unit::Seconds, "How long orders take");
    Router::new().route("/orders/{items}", post(order))
}

/// Serves on `PORT` until Ctrl-C.
///
/// # Errors
///
/// The port is taken.
pub async fn serve(router: Router) -> Result<(), Box<dyn Error>> {
    let port = port_from("PORT", 3000)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    info!(port, "listening");
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

async fn order(Path(items): Path<u32>) -> (StatusCode, Json<Value>) {
    let began = Instant::now();
    let (status, outcome) = match place(items).await {
        Ok(()) => (StatusCode::CREATED, "placed"),
        Err(_) => (StatusCode::BAD_REQUEST, "refused"),
    };
    metrics::counter!("shop_orders", "outcome" => outcome).increment(1);
    metrics::histogram!("shop_order_seconds").record(began.elapsed());
    (status, Json(json!({ "outcome": outcome })))
}

#[instrument(err(level = "warn"))]
async fn place(items: u32) -> Result<(), &'static str> {
    if items == 0 {
        return Err("an order of nothing");
    }
    info!(items, "order placed");
    Ok(())
}
