//! The other end of the inspect socket, for the command `telemetry`.
//!
//! # Invariants
//!
//! - A process of another user is not believed, unless that user is root or this one is.
//! - An answer is bounded in size and time.

use super::place::{self, name_in_user_directory};
use super::timed::{Timed, is_late};
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use telemetry_core::peer::{self, Peer};
use telemetry_core::{Error, clock};

/// How long a process has time for its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is before one that is busy is tried again.
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// A process that can be inspected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its socket.
    pub socket: PathBuf,
    /// The name of its executable, as the kernel has it; empty where unknown.
    pub name: String,
}

/// Sends a request to the process that listens at a path, and returns its answer; `process` is the
/// one that it has to be, if that is known.
///
/// # Errors
///
/// Nobody listens there, another process or another user's does, or it does not answer within 10 s;
/// or it says that it cannot.
pub fn ask(socket: &Path, process: Option<u32>, request: &str) -> Result<String, Error> {
    ask_within(PATIENCE, socket, process, request)
}

/// As [`ask`], with a time of one's own for the whole answer.
///
/// # Errors
///
/// As [`ask`].
pub fn ask_within(
    patience: Duration,
    socket: &Path,
    process: Option<u32>,
    request: &str,
) -> Result<String, Error> {
    let deadline = clock::now() + patience;
    let failed = |what| move |error| failed(socket, patience, what, error);
    let stream = connect(socket, deadline).map_err(failed("cannot be connected to"))?;
    let peer = Peer::of(&stream).map_err(failed("does not say whose it is"))?;
    check(socket, peer, process)?;
    let mut stream = Timed::new(&stream, deadline);
    let written = stream.write_all(format!("{request}\n").as_bytes());
    let mut reader = BufReader::new(stream);
    let mut header = String::new();
    let mut first = reader.by_ref().take(HEADER_BYTES_MAX);
    let read = first.read_line(&mut header);
    // Whoever turns a client away says why, and does not wait for what it wants.
    if header.is_empty() {
        written.map_err(failed("takes no request"))?;
    }
    read.map_err(failed("does not answer"))?;
    let header = header.trim_end();
    let shown = socket.display();
    if let Some(error) = header.strip_prefix("error ") {
        return Err(Error::not_allowed(format!("`{shown}` answers: {error}")));
    }
    let length = header.strip_prefix("ok ").and_then(|length| length.parse::<u64>().ok());
    let Some(length) = length.filter(|length| *length <= ANSWER_BYTES_MAX) else {
        let text = format!("`{shown}` answers something else than telemetry does");
        return Err(Error::not_allowed(text));
    };
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).map_err(failed("stops in its answer"))?;
    if body.len() as u64 != length {
        return Err(Error::not_allowed(format!("`{shown}` stops in its answer")));
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// What has failed at a socket, in words of its own if it is that time is up.
fn failed(socket: &Path, patience: Duration, what: &str, error: io::Error) -> Error {
    let shown = socket.display();
    if is_late(&error) {
        let seconds = patience.as_secs_f64();
        let text =
            format!("`{shown}` has not answered within {seconds} s: is its process stopped?");
        return Error::not_allowed(text);
    }
    Error::resource(format!("`{shown}` {what}"), error)
}

/// Connects, and tries again where as many wait already as may.
fn connect(socket: &Path, deadline: Instant) -> io::Result<UnixStream> {
    loop {
        match peer::connect(socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && clock::now() < deadline => {
                std::thread::sleep(PAUSE);
            }
            connected => return connected,
        }
    }
}

/// Refuses a process that is not to be believed, or not the one that is meant.
fn check(socket: &Path, peer: Peer, process: Option<u32>) -> Result<(), Error> {
    let is_believed = peer.is_trusted() || peer::user() == 0;
    let is_it = process.is_none_or(|process| peer.process.is_none_or(|other| other == process));
    if is_believed && is_it {
        return Ok(());
    }
    let who = peer.process.map(|id| format!("process {id} of ")).unwrap_or_default();
    let (shown, user) = (socket.display(), peer.user);
    let text = format!("`{shown}` belongs to {who}user {user}, who is not believed");
    Err(Error::not_allowed(text))
}

/// The socket of a process, by its number: of a process in a container, too, by its number outside.
///
/// # Errors
///
/// There is no such process, or it has no socket.
pub fn find(process: u32) -> Result<PathBuf, Error> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let Ok(found) = fs::metadata(&folder) else {
        return Err(Error::not_allowed(format!("process {process} does not run")));
    };
    let user = found.uid();
    let root = folder.join("root");
    let inside = number_inside(&folder).unwrap_or(process);
    let here = Path::new("/");
    let places = [(here, process), (root.as_path(), inside), (here, inside)];
    let found = places.iter().find_map(|(root, number)| {
        let name = name_in_user_directory(*number);
        let mut directories = place::directories(user).into_iter();
        directories.find_map(|directory| socket_at(root, &directory.join(&name)))
    });
    found.ok_or_else(|| {
        Error::not_allowed(format!(
            "process {process} of user {user} has no inspect socket, or one that user {} may not \
             use: start it with `TELEMETRY_INSPECT=auto`",
            peer::user()
        ))
    })
}

/// The number that a process has in its own container (proc_pid_status(5), `NSpid`).
fn number_inside(folder: &Path) -> Option<u32> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// The socket at a path below a root, or the one that a link there leads to.
fn socket_at(root: &Path, path: &Path) -> Option<PathBuf> {
    let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let at = below(path);
    match fs::read_link(&at) {
        Ok(target) => Some(below(&target)),
        Err(_) => fs::symlink_metadata(&at).is_ok().then_some(at),
    }
    .filter(|at| fs::symlink_metadata(at).is_ok())
}

/// The processes that can be inspected: those of this user, and of all users for root.
pub fn list() -> Vec<Process> {
    let mut found: Vec<Process> = directories().iter().flat_map(|one| processes_in(one)).collect();
    found.sort();
    found.dedup();
    found
}

fn directories() -> Vec<PathBuf> {
    let user = peer::user();
    let mut all = place::directories(user);
    if user == 0 {
        let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
        all.extend(entries("/run/user").map(|entry| entry.path().join("telemetry")));
        let is_ours = |entry: &fs::DirEntry| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with("telemetry-"))
        };
        all.extend(entries("/tmp").filter(is_ours).map(|entry| entry.path()));
    }
    all
}

fn processes_in(directory: &Path) -> Vec<Process> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let process = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_suffix(".sock")?.parse().ok()?;
        let socket = socket_at(Path::new("/"), &entry.path())?;
        let id = match peer::connect(&socket) {
            // In a container it has another number, and that is the name.
            Ok(stream) => Peer::of(&stream).ok().and_then(|peer| peer.process).unwrap_or(id),
            Err(error) if error.kind() == ErrorKind::WouldBlock => id,
            // What a dead process left is no process.
            Err(_) => return None,
        };
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        Some(Process { id, socket, name: name.trim_end().to_owned() })
    };
    entries.flatten().filter_map(process).collect()
}
