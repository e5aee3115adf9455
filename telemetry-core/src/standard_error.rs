//! Standard error, for diagnostics: a line is written at once or not at all.
//!
//! # Invariants
//!
//! - Nothing waits: whoever reads the other end may have stopped, and the worker must not.
//! - No lock of the standard library is taken: the program may hold it while it is blocked itself.

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
    write(text.as_bytes());
}

#[cfg(unix)]
fn write(line: &[u8]) {
    let mut ready = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, which is ours; 0 = no waiting.
    let count = unsafe { libc::poll(&raw mut ready, 1, 0) };
    if count == 1 && ready.revents & libc::POLLOUT != 0 {
        // SAFETY: the line is borrowed for the call. An error leaves nobody to tell.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

#[cfg(not(unix))]
fn write(line: &[u8]) {
    use std::io::Write;
    // An error leaves nobody to tell.
    let _ = std::io::stderr().lock().write_all(line);
}
