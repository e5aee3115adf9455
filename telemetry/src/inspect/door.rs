//! The socket that answers `telemetry inspect`.
//!
//! # Protocol
//!
//! A client connects, sends one line and gets one answer; then the connection ends.
//!
//! ```text
//! request   VERB [ARGUMENTS]\n          at most 64 KiB, UTF-8
//! answer    ok LENGTH\n BYTES           or: error TEXT\n
//!
//! verbs     snapshot text|json          what the process is doing
//!           config text|json            the settings with their origin
//!           filter set FILTER           the common filter is this one; what holds then
//!           filter add MS FILTER        directives for a while; what holds then
//! ```
//!
//! # Invariants
//!
//! - It runs on threads of its own, which are marked as the pipeline's: whatever clients do, the
//!   service does not notice. At most [`CLIENTS_MAX`] are served at once, each for a limited time.
//! - Only this user and root are answered (`SO_PEERCRED`), whatever the file's mode is.
//! - A fork's child, which shares the socket and has none of the threads, leaves both alone.

use super::place::Bound;
use super::timed::Timed;
use super::{Inspector, steer};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use telemetry_core::peer::Peer;
use telemetry_core::{Error, Level, clock, diagnostics, mark_own_thread};

/// How many clients are served at once.
const CLIENTS_MAX: usize = 4;
/// How long a client has time to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long a client has time to read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nobody is admitted after that has failed, for want of descriptors for example.
const REST: Duration = Duration::from_millis(200);
const THREAD: &str = "telemetry-inspect";

/// An open door; closed when it is dropped.
pub(crate) struct Door {
    /// The listener once more: `shutdown` ends its `accept`.
    bell: UnixStream,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    bound: Bound,
}

impl Door {
    /// Answers from now on.
    ///
    /// # Errors
    ///
    /// The system gives no thread or descriptor.
    pub(crate) fn open(bound: Bound, inspector: Inspector) -> Result<Self, Error> {
        let failed = |error| Error::resource("the inspect socket cannot be served", error);
        let listener = bound.listener.try_clone().map_err(failed)?;
        let bell = bound.listener.try_clone().map_err(failed)?;
        let ended = Arc::new(AtomicBool::new(false));
        let for_thread = Arc::clone(&ended);
        let serve = move || Serving { listener, inspector, ended: for_thread }.run();
        let thread = Builder::new().name(THREAD.to_owned()).spawn(serve).map_err(failed)?;
        let bell = UnixStream::from(OwnedFd::from(bell));
        Ok(Self { bell, ended, thread: Some(thread), bound })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if !self.bound.is_of_this_process() {
            // A fork's child: the socket is the parent's as well, and the thread was not copied.
            std::mem::forget(self.thread.take());
            return;
        }
        // Release: whoever is woken sees it.
        self.ended.store(true, Ordering::Release);
        let woken = self.bell.shutdown(Shutdown::Both);
        if woken.is_err() {
            // Other systems than Linux: a last visitor.
            drop(UnixStream::connect(self.bound.path()));
        }
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            let _ = thread.join();
        }
    }
}

struct Serving {
    listener: UnixListener,
    inspector: Inspector,
    ended: Arc<AtomicBool>,
}

impl Serving {
    fn run(self) {
        mark_own_thread();
        let clients = Arc::new(AtomicUsize::new(0));
        loop {
            let accepted = self.listener.accept();
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            match accepted {
                Ok((stream, _)) => self.admit(stream, &clients),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let text = format!("the inspect socket admits nobody: {error}");
                    diagnostics::report("inspect.accept", Level::Warn, text);
                    std::thread::sleep(REST);
                }
            }
        }
    }

    fn admit(&self, mut stream: UnixStream, clients: &Arc<AtomicUsize>) {
        if !Peer::of(&stream).is_ok_and(Peer::is_trusted) {
            return refuse(&mut stream, "this user is not answered");
        }
        let Some(place) = Place::take(clients) else {
            return refuse(&mut stream, "too many clients at once, try again");
        };
        let inspector = self.inspector.clone();
        let converse = move || {
            mark_own_thread();
            let _place = place;
            // A client that is gone, or too slow, has nobody to complain to.
            let _ = converse(&stream, &inspector);
        };
        let started = Builder::new().name(THREAD.to_owned()).spawn(converse);
        if let Err(error) = started {
            let text = format!("a client of the inspect socket gets no thread: {error}");
            diagnostics::report("inspect.thread", Level::Warn, text);
        }
    }
}

/// One of the places for clients.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        // Relaxed, here and below: a count without data behind it.
        let before = clients.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(clients));
        (before < CLIENTS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says why there is no answer, without waiting.
fn refuse(stream: &mut UnixStream, why: &str) {
    let _ = stream.set_nonblocking(true);
    let _ = stream.write(format!("error {why}\n").as_bytes());
}

fn converse(stream: &UnixStream, inspector: &Inspector) -> io::Result<()> {
    let request = read_line(&mut Timed::new(stream, clock::now() + REQUEST_TIMEOUT))?;
    let answer = match answer(&request, inspector) {
        Ok(body) => format!("ok {}\n{body}", body.len()),
        Err(error) => format!("error {}\n", error.replace('\n', " ")),
    };
    Timed::new(stream, clock::now() + ANSWER_TIMEOUT).write_all(answer.as_bytes())
}

fn answer(request: &str, inspector: &Inspector) -> Result<String, String> {
    let (verb, arguments) = request.split_once(' ').unwrap_or((request, ""));
    match (verb, arguments.trim()) {
        ("snapshot", "text") => Ok(inspector.snapshot().to_string()),
        ("snapshot", "json") => Ok(inspector.snapshot().to_json() + "\n"),
        ("config", "text") => Ok(inspector.config().to_string()),
        ("config", "json") => Ok(inspector.config().to_json() + "\n"),
        ("snapshot" | "config", _) => Err(format!("`{verb}` is followed by `text` or `json`")),
        ("filter", order) => steer::filter(order, inspector),
        _ => Err("it is none of `snapshot`, `config` and `filter` what was asked for".to_owned()),
    }
}

fn read_line(stream: &mut impl Read) -> io::Result<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => count?,
        };
        request.extend_from_slice(&buffer[..count]);
        if let Some(end) = request.iter().position(|byte| *byte == b'\n') {
            request.truncate(end);
            return String::from_utf8(request).map_err(|_| ErrorKind::InvalidData.into());
        }
        if count == 0 || request.len() > REQUEST_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::timed::is_late;
    use super::*;

    #[test]
    fn client_that_never_ends_its_line_is_given_up() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"snapshot te").unwrap();
        let soon = clock::now() + Duration::from_millis(50);
        let error = read_line(&mut Timed::new(&ours, soon)).unwrap_err();
        assert!(is_late(&error), "{error}");
        let deadline = clock::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            scope.spawn(move || theirs.write_all(&vec![b'x'; 2 * REQUEST_BYTES_MAX]));
            let error = read_line(&mut Timed::new(&ours, deadline)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            drop(ours);
        });
    }
}
