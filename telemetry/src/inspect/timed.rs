//! Streams that are read and written until a deadline.
//!
//! # Invariants
//!
//! - The deadline is that of the whole conversation: an end that goes on slowly does not move it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use telemetry_core::clock;

/// A stream whose operations fail after the deadline, with an error that [`is_late`] knows.
pub(super) struct Timed<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl<'a> Timed<'a> {
    pub(super) fn new(stream: &'a UnixStream, deadline: Instant) -> Self {
        Self { stream, deadline }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(clock::now());
        // A timeout of nothing would mean none.
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Is it for the deadline that an operation failed? The kernel says that it would have to wait.
pub(super) fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_end_that_neither_reads_nor_writes_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut timed = Timed::new(&ours, clock::now() + Duration::from_millis(50));
        let error = timed.write_all(&vec![b'x'; 4 * 1024 * 1024]).unwrap_err();
        assert!(is_late(&error), "{error}");
        assert!(is_late(&timed.read(&mut [0]).unwrap_err()));
        let mut timed = Timed::new(&ours, clock::now() + Duration::from_millis(50));
        assert!(is_late(&timed.read(&mut [0]).unwrap_err()));
    }
}
