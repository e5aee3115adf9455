//! What a new copy of a book costs: the supplier knows.

use crate::App;
use crate::error::Error;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tracing::{info, instrument};

#[instrument(skip(app))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<Json<Value>, Error> {
    app.shelf.find(id)?;
    let price = ask_supplier(&app, id).await?;
    info!(price, "found");
    Ok(Json(json!({ "id": id, "price": price })))
}

/// Without a limit of time, as it happens.
#[instrument(skip_all, err)]
async fn ask_supplier(app: &App, id: u64) -> Result<String, reqwest::Error> {
    let url = format!("{}/prices/{id}", app.supplier);
    app.client.get(url).send().await?.error_for_status()?.text().await
}
