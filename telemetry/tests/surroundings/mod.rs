//! Where the output of a program may go: a test runs itself there, as a child.

#![allow(dead_code, reason = "each test uses some of it")]

use std::process::{Command, Output};

const CHILD: &str = "TELEMETRY_TEST_CHILD";

/// Is this process the child?
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// A test of this program, in a process of its own that no variable of ours reaches.
pub(crate) fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    for (name, _) in std::env::vars_os() {
        let is_ours = |name: &str| {
            let of_formats = ["RUST_LOG", "JOURNAL_STREAM", "CLICOLOR_FORCE"];
            name.starts_with("TELEMETRY_")
                || name.starts_with("OTEL_")
                || of_formats.contains(&name)
        };
        if name.to_str().is_some_and(is_ours) {
            command.env_remove(name);
        }
    }
    command.env(CHILD, "1");
    command
}

/// Runs a command with a pseudo-terminal as its standard error, and returns what it wrote there.
#[cfg(target_os = "linux")]
pub(crate) fn run_on_terminal(command: &mut Command) -> (Output, String) {
    use std::io::Read;
    use std::os::fd::{FromRawFd, OwnedFd};
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: two places for descriptors; name, settings and size may be left out (openpty(3)).
    let made =
        unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(made, 0);
    // SAFETY: both were just opened, and nobody else owns them.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let output = command.stderr(theirs).output().unwrap();
    command.stderr(std::process::Stdio::null()); // and with it our copy of their end is closed
    let mut text = Vec::new();
    // A terminal whose other end is closed reads as an error.
    let _ = std::fs::File::from(ours).read_to_end(&mut text);
    (output, String::from_utf8(text).unwrap())
}

/// What `JOURNAL_STREAM` names: the stream that is standard error, or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Rightly,
    Wrongly,
}

/// Runs a command with a socket as its standard error that `JOURNAL_STREAM` names, and returns what
/// it wrote there.
#[cfg(unix)]
pub(crate) fn run_in_journal(command: &mut Command, named: Named) -> (Output, String) {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    let (mut journal, stderr) = UnixStream::pair().unwrap();
    let stderr = std::fs::File::from(OwnedFd::from(stderr));
    let metadata = stderr.metadata().unwrap();
    let inode = metadata.ino() + u64::from(named == Named::Wrongly);
    command.env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev())).stderr(stderr);
    let output = command.output().unwrap();
    command.stderr(std::process::Stdio::null()); // and with it our end of what the child wrote to
    let mut text = String::new();
    journal.read_to_string(&mut text).unwrap();
    (output, text)
}
