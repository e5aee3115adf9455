//! The rules of the source tree. Each test names all offenders at once.

#![forbid(unsafe_code)]

mod crates;
mod documents;
mod licences;
mod modules;
mod sizes;
mod text;
