//! The filter file: what it says is the filter of the exporters that have none of their own.
//!
//! # Invariants
//!
//! - The path is looked at once a second, not the file that was there before: a file that is
//!   renamed into its place, or reached through symbolic links that change, is found.
//! - A file that is missing, cannot be read or is no filter leaves the filter as it was, and says so
//!   once.
//! - What the program sets stays until the file changes, or is read because of a signal.
//! - It has a thread of its own: a file system may stand still.

use crate::clock;
use crate::control::{By, Control};
use crate::diagnostics;
use crate::error::Error;
use crate::filter::Filter;
use crate::level::Level;
use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the path is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long after a change a file may change again without another time stamp.
const UNSETTLED: Duration = Duration::from_secs(2);

/// A file that is watched.
#[derive(Debug)]
pub(crate) struct FilterFile {
    path: PathBuf,
    looked: Mutex<Looked>,
    ended: Mutex<bool>,
    end: Condvar,
}

/// What was found last.
#[derive(Debug, Default)]
struct Looked {
    /// `None` = look again, whatever the file is.
    stamp: Option<Stamp>,
    /// What was set because of the file.
    filter: Option<Filter>,
    /// What was said of it.
    said: Option<String>,
}

/// What tells a file from the one before at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: [u64; 2],
    length: u64,
    changed_ns: [i64; 2],
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            identity: [metadata.dev(), metadata.ino()],
            length: metadata.len(),
            changed_ns: [
                ns(metadata.mtime(), metadata.mtime_nsec()),
                ns(metadata.ctime(), metadata.ctime_nsec()),
            ],
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
        let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let ns = i64::try_from(modified.as_nanos()).unwrap_or(i64::MAX);
        Self { identity: [0, 0], length: metadata.len(), changed_ns: [ns, ns] }
    }

    /// Has it been so long since the last change that another one would show?
    fn is_settled(&self) -> bool {
        let now = i64::try_from(clock::unix_ns()).unwrap_or(i64::MAX);
        self.changed_ns.iter().all(|changed| now.abs_diff(*changed) > UNSETTLED.as_nanos() as u64)
    }
}

impl FilterFile {
    /// Looks at the file for the first time; `None` if there is no filter in it.
    pub(crate) fn open(path: PathBuf) -> (Arc<Self>, Option<Filter>) {
        let (ended, end) = (Mutex::new(false), Condvar::new());
        let file = Self { path, looked: Mutex::default(), ended, end };
        let mut looked = Looked::default();
        let filter = file.find(&mut looked, By::File);
        looked.filter.clone_from(&filter);
        *file.looked() = looked;
        (Arc::new(file), filter)
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the path again and again, on a thread of its own, until the end.
    pub(crate) fn watch(self: &Arc<Self>, control: Arc<Control>) -> io::Result<JoinHandle<()>> {
        let file = Arc::clone(self);
        std::thread::Builder::new().name("telemetry-filter".to_owned()).spawn(move || {
            crate::local::mark_own_thread();
            let mut ended = file.ended.lock().unwrap_or_else(PoisonError::into_inner);
            while !*ended {
                drop(ended);
                file.look(&control, By::File);
                ended = file.ended.lock().unwrap_or_else(PoisonError::into_inner);
                if !*ended {
                    ended = file
                        .end
                        .wait_timeout(ended, PERIOD)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
            }
        })
    }

    /// Ends the watch.
    pub(crate) fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.notify_all();
    }

    /// Looks at the path, and sets the filter if it says another one than before; after a signal,
    /// whatever it says.
    pub(crate) fn look(&self, control: &Control, by: By) {
        let mut looked = self.looked();
        let Some(filter) = self.find(&mut looked, by) else { return };
        if by == By::File && looked.filter.as_ref() == Some(&filter) {
            return;
        }
        match control.set_common(&filter, by) {
            Ok(()) => (looked.filter, looked.said) = (Some(filter), None),
            Err(error) if error.is_setting() => {
                // It may fit later, when a temporary filter has ended.
                looked.stamp = None;
                self.complain(&mut looked, &error, by);
            }
            Err(_) => {} // the pipeline has ended
        }
    }

    /// The filter in the file; `None` if there is none, or nothing has changed.
    fn find(&self, looked: &mut Looked, by: By) -> Option<Filter> {
        let stamp = self.path.metadata().ok().map(|metadata| Stamp::of(&metadata));
        let is_same = stamp.is_some() && stamp == looked.stamp;
        if by == By::File && is_same && stamp.as_ref().is_some_and(Stamp::is_settled) {
            return None;
        }
        looked.stamp = stamp;
        match Filter::read(&self.path) {
            Ok(filter) => {
                looked.said = None;
                Some(filter)
            }
            Err(error) => {
                self.complain(looked, &error, by);
                None
            }
        }
    }

    fn complain(&self, looked: &mut Looked, error: &Error, by: By) {
        let said = format!("{error:?}");
        if by == By::File && looked.said.as_ref() == Some(&said) {
            return;
        }
        let path = self.path.display();
        let text = format!("the filter file `{path}` is left out, the filter stays: {said}");
        let fields = vec![("by", by.as_str().to_owned()), ("path", path.to_string())];
        diagnostics::audit("filter.file", Level::Warn, text, fields, Some(error));
        looked.said = Some(said);
    }
}
