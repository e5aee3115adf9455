//! Standard error, for diagnostics: a line is written at once or not at all, a longer text as long
//! as somebody reads.
//!
//! # Invariants
//!
//! - A line does not wait: whoever reads the other end may have stopped, and the worker must not.
//! - No lock of the standard library is taken: the program may hold it while it is blocked itself.

use std::time::Duration;

/// The longest line, with its end: a pipe that takes anything takes so much at once (`PIPE_BUF`,
/// pipe(7)).
const LINE_BYTES_MAX: usize = 4096;

/// Writes a text without line ends as a line, cut to [`LINE_BYTES_MAX`]; where there is no room
/// for it, or nobody reads any more, it is left out.
pub(crate) fn write_line(mut text: String) {
    let mut end = text.len().min(LINE_BYTES_MAX - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push('\n');
    write(text.as_bytes(), Duration::ZERO);
}

/// Writes a text of many lines, and waits for room as long as the reader takes something at least
/// every `patience`; what it does not take is left out.
pub(crate) fn write_text(text: &str, patience: Duration) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match write(&rest[..rest.len().min(LINE_BYTES_MAX)], patience) {
            0 => return,
            written => rest = &rest[written..],
        }
    }
}

/// Writes at most [`LINE_BYTES_MAX`] at once, and returns how much; 0 = there was no room, or
/// nobody reads any more.
#[cfg(unix)]
fn write(bytes: &[u8], patience: Duration) -> usize {
    let mut ready = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    let wait_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one entry, which is ours.
    let count = unsafe { libc::poll(&raw mut ready, 1, wait_ms) };
    if count != 1 || ready.revents & libc::POLLOUT == 0 {
        return 0;
    }
    // SAFETY: the bytes are borrowed for the call. An error leaves nobody to tell.
    let written = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written).unwrap_or(0)
}

#[cfg(not(unix))]
fn write(bytes: &[u8], _: Duration) -> usize {
    use std::io::Write;
    // An error leaves nobody to tell.
    std::io::stderr().lock().write_all(bytes).map_or(0, |()| bytes.len())
}
