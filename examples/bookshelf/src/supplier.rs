//! Somebody else's service, which this one asks. It runs within this process so that there is less
//! to start. It answers, except for one book: then it accepts the request and says nothing.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use std::net::SocketAddr;
use tokio::net::TcpListener;

const NEVER_ANSWERED: u64 = 3;

/// Starts it on a port of the loopback interface.
pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    let router = Router::new().route("/prices/{id}", get(price));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn price(Path(id): Path<u64>) -> String {
    if id == NEVER_ANSWERED {
        std::future::pending().await
    } else {
        format!("{}.90 EUR", 7 + 3 * id)
    }
}
