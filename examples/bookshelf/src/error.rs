//! What goes wrong in a request, and the answer to it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::fmt;

#[derive(Debug)]
pub(crate) enum Error {
    NoBook(u64),
    OnLoan { book: u64, reader: String },
    NotOnLoan(u64),
    Untitled,
    Supplier(reqwest::Error),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoBook(_) => StatusCode::NOT_FOUND,
            Self::OnLoan { .. } | Self::NotOnLoan(_) => StatusCode::CONFLICT,
            Self::Untitled => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Supplier(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBook(book) => write!(f, "there is no book {book}"),
            Self::OnLoan { book, reader } => write!(f, "{reader} has book {book}"),
            Self::NotOnLoan(book) => write!(f, "nobody has book {book}"),
            Self::Untitled => f.write_str("a book needs a title"),
            Self::Supplier(_) => f.write_str("the supplier has no price"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Supplier(error) => Some(error),
            _ => None,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self::Supplier(error)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.status(), Json(json!({ "error": self.to_string() }))).into_response()
    }
}
