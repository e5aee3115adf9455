//! The books, and who has them: in memory, in place of a database.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::{debug, instrument};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Book {
    id: u64,
    title: String,
    author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reader: Option<String>,
}

/// A book that is not on the shelf yet.
#[derive(Debug, Deserialize)]
pub(crate) struct NewBook {
    title: String,
    author: String,
}

#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<u64, Book>>);

impl Shelf {
    pub(crate) fn with_classics() -> Self {
        let shelf = Self::default();
        for (title, author) in [
            ("Middlemarch", "George Eliot"),
            ("Effi Briest", "Theodor Fontane"),
            ("The Trial", "Franz Kafka"),
        ] {
            let book = NewBook { title: title.to_owned(), author: author.to_owned() };
            shelf.add(book).expect("they have titles");
        }
        shelf
    }

    fn books(&self) -> MutexGuard<'_, BTreeMap<u64, Book>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<Book> {
        self.books().values().cloned().collect()
    }

    pub(crate) fn find(&self, id: u64) -> Result<Book, Error> {
        self.books().get(&id).cloned().ok_or(Error::NoBook(id))
    }

    pub(crate) fn read_by(&self, reader: &str) -> Vec<Book> {
        let has = |book: &&Book| book.reader.as_deref() == Some(reader);
        self.books().values().filter(has).cloned().collect()
    }

    pub(crate) fn add(&self, new: NewBook) -> Result<Book, Error> {
        if new.title.is_empty() {
            return Err(Error::Untitled);
        }
        let mut books = self.books();
        let id = books.last_key_value().map_or(1, |(id, _)| id + 1);
        let book = Book { id, title: new.title, author: new.author, reader: None };
        books.insert(id, book.clone());
        Ok(book)
    }

    pub(crate) fn remove(&self, id: u64) -> Result<Book, Error> {
        let mut books = self.books();
        let book = books.get(&id).ok_or(Error::NoBook(id))?;
        match &book.reader {
            Some(reader) => Err(Error::OnLoan { book: id, reader: reader.clone() }),
            None => books.remove(&id).ok_or(Error::NoBook(id)),
        }
    }

    /// Puts down who has the book now, or that nobody does.
    #[instrument(skip(self), err(level = "warn"))]
    pub(crate) fn write_down(&self, id: u64, reader: Option<&str>) -> Result<Book, Error> {
        let mut books = self.books();
        let book = books.get_mut(&id).ok_or(Error::NoBook(id))?;
        match (&book.reader, reader) {
            (Some(has), Some(_)) => return Err(Error::OnLoan { book: id, reader: has.clone() }),
            (None, None) => return Err(Error::NotOnLoan(id)),
            (_, reader) => book.reader = reader.map(str::to_owned),
        }
        debug!(reader, "written down");
        Ok(book.clone())
    }
}
