//! Loans: who has which book.

use crate::App;
use crate::error::Error;
use crate::shelf::Book;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use tracing::{info, instrument};

#[derive(Debug, Deserialize)]
pub(crate) struct Loan {
    reader: String,
}

#[instrument(skip(app))]
pub(crate) async fn lend(
    State(app): State<App>,
    Path(id): Path<u64>,
    Json(loan): Json<Loan>,
) -> Result<Json<Book>, Error> {
    let book = app.shelf.write_down(id, Some(&loan.reader))?;
    info!("lent");
    Ok(Json(book))
}

#[instrument(skip(app))]
pub(crate) async fn take_back(
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<Json<Book>, Error> {
    let book = app.shelf.write_down(id, None)?;
    info!("back");
    Ok(Json(book))
}

#[instrument(skip(app))]
pub(crate) async fn of_reader(
    State(app): State<App>,
    Path(reader): Path<String>,
) -> Json<Vec<Book>> {
    Json(app.shelf.read_by(&reader))
}
