//! What a standard stream is connected to: a terminal, the systemd journal, or something else.
//!
//! # Invariants
//!
//! - It is the journal only if the stream is the very socket that `JOURNAL_STREAM` names
//!   (systemd.exec(5)): a child whose output was redirected inherits the variable, too.

use crate::environment::Stream;
use std::io::IsTerminal;

/// What a standard stream is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    Terminal,
    Journal,
    Other,
}

/// Looks at a stream of this process.
pub(crate) fn of(stream: Stream) -> Connection {
    let is_terminal = match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    };
    let named = || std::env::var("JOURNAL_STREAM").ok();
    if is_terminal {
        Connection::Terminal
    } else if named().is_some_and(|named| is_named(&named, || identity(stream))) {
        Connection::Journal
    } else {
        Connection::Other
    }
}

/// Does `device:inode` name the file?
fn is_named(named: &str, identity: impl FnOnce() -> Option<(u64, u64)>) -> bool {
    let parts = named.split_once(':');
    let numbers = parts.and_then(|(dev, ino)| Some((dev.parse().ok()?, ino.parse().ok()?)));
    numbers.is_some_and(|numbers: (u64, u64)| identity() == Some(numbers))
}

/// Device and inode of what the stream is open on: fstat(2) of a copy, which needs no `/proc`.
#[cfg(unix)]
fn identity(stream: Stream) -> Option<(u64, u64)> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let copy = match stream {
        Stream::Stdout => std::io::stdout().as_fd().try_clone_to_owned(),
        Stream::Stderr => std::io::stderr().as_fd().try_clone_to_owned(),
    };
    let metadata = std::fs::File::from(copy.ok()?).metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// There is no journal.
#[cfg(not(unix))]
fn identity(_: Stream) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_is_the_very_socket_that_is_named() {
        let table = [
            ("9:41", Some((9, 41)), true),
            ("9:41", Some((9, 42)), false),
            ("8:41", Some((9, 41)), false),
            ("9:41", None, false),
            ("", Some((9, 41)), false),
            ("9", Some((9, 41)), false),
            ("9:41:1", Some((9, 41)), false),
            ("9:x", Some((9, 41)), false),
            ("-9:41", Some((9, 41)), false),
        ];
        for (named, identity, expected) in table {
            assert_eq!(is_named(named, || identity), expected, "{named} {identity:?}");
        }
    }
}
