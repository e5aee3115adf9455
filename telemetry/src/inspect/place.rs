//! Where the socket of a process lies, and whether it may lie there.
//!
//! # Invariants
//!
//! - A socket is made where nobody else can put something in its place: not in a directory that
//!   everybody may write to, unless its sticky bit and its owner forbid that.
//! - What stands at the path is replaced only if it is the socket of a process that is gone.
//! - At the end only what was made is removed, and not by a fork's child.
//! - The number of a process leads to its socket: in the user's directory lies the socket itself,
//!   or a link to it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use telemetry_core::Error;
use telemetry_core::peer::{self, Peer};

/// What the address of a Unix socket holds, its end left out (unix(7)).
const PATH_BYTES_MAX: usize = 107;
/// How many entries of the user's directory are looked at for what dead processes left.
const SWEEP_MAX: usize = 1024;

/// Where the socket is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the user's directory.
    Auto,
    /// There; in it, if it is a directory.
    Path(PathBuf),
}

impl Place {
    /// `auto`, or a path; `None` for `off`.
    pub(crate) fn of(text: &OsStr) -> Option<Self> {
        match text.to_str().map(str::to_ascii_lowercase).as_deref() {
            Some("off" | "none") => None,
            Some("auto") => Some(Self::Auto),
            _ => Some(Self::Path(PathBuf::from(text))),
        }
    }
}

/// Where the sockets of a user may be, the preferred place first: the last one is for users without
/// a runtime directory, in a container for example.
pub(super) fn directories(user: u32) -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| user == peer::user());
    let usual = format!("/run/user/{user}");
    // Somebody else's is not ours to use: a shell that became another user keeps the variable.
    let is_his = |run: &PathBuf| {
        run.is_absolute() && fs::metadata(run).is_ok_and(|found| found.uid() == user)
    };
    let run = own.map(PathBuf::from).into_iter().chain([usual.into()]).filter(is_his);
    run.map(|run| run.join("telemetry")).chain([format!("/tmp/telemetry-{user}").into()]).collect()
}

/// The directory of this user's sockets.
fn user_directory() -> PathBuf {
    directories(peer::user()).swap_remove(0)
}

/// The name of a process's socket in the user's directory.
pub(super) fn name_in_user_directory(process: u32) -> String {
    format!("{process}.sock")
}

/// A socket that listens; its file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another process may have taken the path.
    identity: (u64, u64),
    link: Option<PathBuf>,
    process: u32,
}

/// What is wrong with a path: setting and path are told by the error.
struct Wrong<'a> {
    setting: &'a str,
    path: &'a Path,
}

impl Wrong<'_> {
    fn error(&self, right: &str) -> Error {
        Error::setting(self.setting, self.path.display(), right)
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        let text = format!("`{}` is `{}`, which {what}", self.setting, self.path.display());
        Error::resource(text, error)
    }
}

/// Makes the socket.
///
/// # Errors
///
/// It must not lie there; the error names `setting`, the path and what would be right.
pub(crate) fn bind(place: &Place, setting: &str) -> Result<Bound, Error> {
    let process = std::process::id();
    let directory = user_directory();
    let own = directory.join(name_in_user_directory(process));
    let path = match place {
        Place::Auto => {
            make_private(&directory, setting)?;
            sweep(&directory);
            own.clone()
        }
        Place::Path(path) if is_switch(path) => {
            return Err(Wrong { setting, path }.error("`auto`, `off`, or a path with a `/` in it"));
        }
        Place::Path(path) if path.is_dir() => path.join(format!("telemetry-{process}.sock")),
        Place::Path(path) => path.clone(),
    };
    let wrong = Wrong { setting, path: &path };
    if path.as_os_str().as_bytes().len() > PATH_BYTES_MAX {
        let right = format!("at most {PATH_BYTES_MAX} bytes long, as the address of a socket is");
        return Err(wrong.error(&right));
    }
    check_directory(&wrong)?;
    make_room(&wrong)?;
    let listener = UnixListener::bind(&path).map_err(|e| wrong.failed("cannot be bound", e))?;
    let made = fs::set_permissions(&path, Permissions::from_mode(0o600))
        .and_then(|()| fs::symlink_metadata(&path))
        .map_err(|error| wrong.failed("cannot be given its mode", error))?;
    let link = if path == own { None } else { link(&own, &directory, &path, setting) };
    let identity = (made.dev(), made.ino());
    Ok(Bound { listener, path, identity, link, process })
}

/// Was a switch meant, as other variables have it, and no file of this name where the program is?
fn is_switch(path: &Path) -> bool {
    const SWITCHES: [&str; 8] = ["0", "1", "false", "true", "no", "yes", "on", "enabled"];
    SWITCHES.iter().any(|switch| path.as_os_str().eq_ignore_ascii_case(switch))
}

/// Makes the user's directory if need be, and sees that it is the user's alone.
fn make_private(directory: &Path, setting: &str) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o700).create(directory);
    let found = match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => fs::symlink_metadata(directory),
    };
    let wrong = Wrong { setting, path: directory };
    let found = found.map_err(|error| wrong.failed("cannot be made", error))?;
    let is_private = found.is_dir() && found.uid() == peer::user() && found.mode() & 0o077 == 0;
    if !is_private {
        return Err(wrong.error("a directory of this user alone, of mode 700"));
    }
    Ok(())
}

/// Refuses a directory in which others could replace the socket.
fn check_directory(wrong: &Wrong<'_>) -> Result<(), Error> {
    let directory = match wrong.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let found = match fs::metadata(directory) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Err(wrong.error("in a directory")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(wrong.error("in a directory that exists"));
        }
        Err(error) => return Err(wrong.failed("cannot be looked at", error)),
    };
    if found.mode() & 0o002 == 0 {
        return Ok(());
    }
    let (shown, mode) = (directory.display(), found.mode() & 0o7777);
    if found.mode() & 0o1000 == 0 {
        let right =
            format!("in a directory that not everybody may write to: `{shown}` has mode {mode:o}");
        return Err(wrong.error(&right));
    }
    if found.uid() != 0 && found.uid() != peer::user() {
        let owner = found.uid();
        let right = format!(
            "in a directory that not everybody may write to: `{shown}` has mode {mode:o}, and its \
             owner is user {owner}"
        );
        return Err(wrong.error(&right));
    }
    Ok(())
}

/// Removes the socket of a process that is gone; anything else stays.
fn make_room(wrong: &Wrong<'_>) -> Result<(), Error> {
    let found = match fs::symlink_metadata(wrong.path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(wrong.failed("cannot be looked at", error)),
    };
    if found.file_type().is_symlink() && is_in_private_directory(wrong.path) {
        // A link that an earlier process of this number left.
        return fs::remove_file(wrong.path).map_err(|e| wrong.failed("cannot be replaced", e));
    }
    if !found.file_type().is_socket() {
        return Err(wrong.error("a path where nothing stands: there is a file that is no socket"));
    }
    match peer::connect(wrong.path) {
        Ok(stream) => {
            let who = Peer::of(&stream).ok().and_then(|peer| peer.process);
            let who =
                who.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
            Err(wrong.error(&format!("a path of its own: {who} listens there")))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(wrong.error("a path of its own: another process listens there, and is busy"))
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(wrong.path).map_err(|error| wrong.failed("cannot be replaced", error))
        }
        Err(error) => Err(wrong.failed("is somebody's socket", error)),
    }
}

fn is_in_private_directory(path: &Path) -> bool {
    let is_private = |found: Metadata| found.uid() == peer::user() && found.mode() & 0o077 == 0;
    path.parent().is_some_and(|parent| fs::symlink_metadata(parent).is_ok_and(is_private))
}

/// Lets the number of this process lead to its socket; without it, the path still does.
fn link(own: &Path, directory: &Path, path: &Path, setting: &str) -> Option<PathBuf> {
    let target = std::path::absolute(path).ok()?;
    make_private(directory, setting).ok()?;
    sweep(directory);
    let _ = fs::remove_file(own);
    symlink(target, own).ok().map(|()| own.to_owned())
}

/// Removes what dead processes left in the user's directory.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.take(SWEEP_MAX).flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_suffix(".sock"));
        let process = process.and_then(|process| process.parse::<u32>().ok());
        // Another container may share the directory and not the numbers: a socket that somebody
        // listens on stays.
        let is_dead = process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists());
        if is_dead && Path::new("/proc/self").exists() && !is_alive(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_alive(path: &Path) -> bool {
    // One that has no room for more is alive.
    peer::connect(path).map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |_| true)
}

impl Bound {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Is this the process that made it, and not a fork's child?
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if !self.is_of_this_process() {
            return;
        }
        let is_ours = |found: Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
        if let Some(link) = &self.link {
            let _ = fs::remove_file(link);
        }
    }
}

#[cfg(test)]
mod tests;
