//! The client of the inspect socket, and sockets that nobody serves.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed test may say so")]

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};
use telemetry_toolkit::client;

const SOON: Duration = Duration::from_millis(300);
/// Longer than anything here takes, on a machine with much to do.
const LONG: Duration = Duration::from_secs(60);

fn ask(socket: &Path) -> String {
    client::ask_within(SOON, socket, None, "snapshot text").unwrap_err().to_string()
}

fn not_answered(socket: &Path) -> String {
    format!("`{}` has not answered within 0.3 s: is its process stopped?", socket.display())
}

#[test]
fn process_that_does_not_answer_is_said_to_be_perhaps_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(ask(&socket), not_answered(&socket));
}

#[test]
fn answer_that_trickles_does_not_move_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"ok 1000000\n").unwrap();
            // Until the client has gone.
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(SOON / 10);
            }
        });
        let began = Instant::now();
        assert_eq!(ask(&socket), not_answered(&socket));
        assert!(began.elapsed() < LONG);
    });
}
