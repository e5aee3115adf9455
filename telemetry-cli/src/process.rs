//! A process that is asked something through its inspect socket.
//!
//! # Invariants
//!
//! - What a process answers cannot steer the terminal.

use std::path::PathBuf;
use telemetry_toolkit::{Error, client};

/// A process, by its number or by the path of its socket.
#[derive(Debug, Clone)]
pub(crate) enum Process {
    Number(u32),
    Socket(PathBuf),
}

impl From<&str> for Process {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Socket(text.into()), Self::Number)
    }
}

impl Process {
    /// Sends a request, and returns the answer.
    pub(crate) fn ask(&self, request: &str) -> Result<String, Error> {
        let answer = match self {
            Self::Number(number) => client::ask(&client::find(*number)?, Some(*number), request),
            Self::Socket(path) => client::ask(path, None, request),
        }?;
        Ok(plain(&answer))
    }
}

/// The text without what could steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

/// What is wrong, with its sources.
pub(crate) fn mistake(error: &Error) -> String {
    format!("error: {error:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_no_escapes() {
        assert_eq!(plain("a\u{1b}[2J\u{9b}b\r\nc"), "a[2Jb\nc");
    }
}
