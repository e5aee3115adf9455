//! A lending library over HTTP: books, loans, and prices that a supplier is asked for.
//!
//! `PORT` says where it listens, on the loopback interface; 3000 by default.

mod books;
mod error;
mod loans;
mod prices;
mod shelf;
mod supplier;

use axum::Router;
use axum::routing::{get, post};
use shelf::Shelf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::{Level, info};

/// What every handler has.
#[derive(Clone)]
struct App {
    shelf: Arc<Shelf>,
    client: reqwest::Client,
    supplier: Arc<str>,
}

fn router(app: App) -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    Router::new()
        .route("/books", get(books::list).post(books::add))
        .route("/books/{id}", get(books::show).delete(books::remove))
        .route("/books/{id}/loan", post(loans::lend).delete(loans::take_back))
        .route("/books/{id}/price", get(prices::show))
        .route("/readers/{reader}/books", get(loans::of_reader))
        .layer(trace)
        .with_state(app)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();

    let supplier = supplier::start().await?;
    let app = App {
        shelf: Arc::new(Shelf::with_classics()),
        client: reqwest::Client::new(),
        supplier: format!("http://{supplier}").into(),
    };
    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    info!(port, "listening");
    tokio::select! {
        served = axum::serve(listener, router(app)) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
