//! An append-only file that follows its path.
//!
//! # Invariants
//!
//! - Opened with `O_APPEND`: a file truncated under us (`copytruncate`) gets no hole, and two
//!   processes do not overwrite each other.
//! - Opened with `O_NOFOLLOW`, `O_CLOEXEC` and mode 0640; with `O_NONBLOCK`, so that a named pipe
//!   without a reader is an error at once and not a start that hangs.
//! - Before every write the open file is asked whether it still has a name, and at most once a
//!   second the path is compared with it; a file renamed or deleted is opened anew. What would go
//!   into a file without a name is not written: it would be lost without being counted.

use crate::clock;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CHECK_PERIOD: Duration = Duration::from_secs(1);

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    checked: Instant,
    /// The last write failed in a way that opening anew may heal, or the file has no name.
    suspect: bool,
}

/// What a look at the path found.
pub(super) enum Refresh {
    /// The open file is the right one.
    Same,
    /// Another file is open now.
    Reopened {
        /// Does it end in the middle of a line?
        torn: bool,
    },
    /// The open file has no name any more, and no other can be opened.
    Gone(io::Error),
}

impl LogFile {
    /// Opens the file; `true` when it ends in the middle of a line.
    pub(super) fn open(path: PathBuf) -> io::Result<(Self, bool)> {
        let file = options().append(true).create(true).open(&path)?;
        let identity = file.metadata().ok().map(|metadata| Identity::of(&metadata));
        let torn = ends_torn(&path, &file);
        Ok((Self { path, file, identity, checked: clock::now(), suspect: false }, torn))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the next write look at the path, as if a second had passed.
    #[cfg(test)]
    pub(super) fn make_due(&mut self) {
        self.checked -= CHECK_PERIOD;
    }

    /// Opens what is at the path now, whenever it was looked at last.
    pub(super) fn reopen(&mut self) -> Refresh {
        self.suspect = true;
        self.refresh()
    }

    /// Makes sure that the path still names the open file.
    pub(super) fn refresh(&mut self) -> Refresh {
        let now = clock::now();
        self.suspect |= self.is_deleted();
        if !self.suspect && now.duration_since(self.checked) < CHECK_PERIOD {
            return Refresh::Same;
        }
        self.checked = now;
        let at_path = self.path.symlink_metadata().ok().map(|found| Identity::of(&found));
        if !self.suspect && at_path.is_some() && at_path == self.identity {
            return Refresh::Same;
        }
        match Self::open(self.path.clone()) {
            Ok((file, torn)) => {
                let same = file.identity.is_some() && file.identity == self.identity;
                *self = file;
                if same { Refresh::Same } else { Refresh::Reopened { torn } }
            }
            Err(error) => {
                // Not every second, but with the next write: until then all is lost.
                self.suspect = self.is_deleted();
                if self.suspect { Refresh::Gone(error) } else { Refresh::Same }
            }
        }
    }

    #[cfg(unix)]
    fn is_deleted(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    #[cfg(not(unix))]
    fn is_deleted(&self) -> bool {
        false
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.file.write(bytes);
        if let Err(error) = &outcome {
            self.suspect |= !matches!(
                error.kind(),
                io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
            );
        }
        outcome
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is buffered here, and fsync is not promised
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    options
}

/// Did whoever wrote last (a process that was killed) leave half a line?
fn ends_torn(path: &Path, file: &File) -> bool {
    let filled = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
    filled && last_byte(path).is_ok_and(|last| last != b'\n')
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let mut file = options().read(true).open(path)?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

/// What makes a file the same file under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    #[cfg(unix)]
    fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(metadata.dev(), metadata.ino())
    }

    /// Elsewhere an open file cannot be renamed or deleted by others.
    #[cfg(not(unix))]
    fn of(_: &std::fs::Metadata) -> Self {
        Self(0, 0)
    }
}
