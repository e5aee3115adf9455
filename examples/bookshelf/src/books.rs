//! Books: to be listed, looked at, added and given away.

use crate::App;
use crate::error::Error;
use crate::shelf::{Book, NewBook};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tracing::{info, instrument};

#[instrument(skip_all)]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Book>> {
    Json(app.shelf.all())
}

#[instrument(skip(app))]
pub(crate) async fn show(State(app): State<App>, Path(id): Path<u64>) -> Result<Json<Book>, Error> {
    app.shelf.find(id).map(Json)
}

#[instrument(skip(app))]
pub(crate) async fn add(
    State(app): State<App>,
    Json(book): Json<NewBook>,
) -> Result<(StatusCode, Json<Book>), Error> {
    let book = app.shelf.add(book)?;
    info!(?book, "added");
    Ok((StatusCode::CREATED, Json(book)))
}

#[instrument(skip(app))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<Json<Book>, Error> {
    let book = app.shelf.remove(id)?;
    info!("given away");
    Ok(Json(book))
}
