//! Who is at the other end of a Unix socket.
//!
//! # Invariants
//!
//! - The kernel says so, not the peer: as of `connect` or `listen` (unix(7), `SO_PEERCRED`).

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// The process at the other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its user.
    pub user: u32,
    /// Its number, where the system tells.
    pub process: Option<u32>,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is open while `stream` is borrowed; `found` has `length` bytes.
        let failed = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut found).cast(),
                &raw mut length,
            )
        };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { user: found.uid, process: u32::try_from(found.pid).ok().filter(|pid| *pid != 0) })
    }

    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let (mut user, mut group) = (0, 0);
        // SAFETY: the descriptor is open as long as `stream` is borrowed; two places for numbers.
        let failed = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut user, &raw mut group) };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { user, process: None })
    }

    /// Is it this process's user, or root?
    pub fn is_trusted(self) -> bool {
        self.user == user() || self.user == 0
    }
}

/// The user that this process acts for.
pub fn user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail (geteuid(2)).
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!((peer.user, peer.is_trusted()), (user(), true));
        #[cfg(target_os = "linux")]
        assert_eq!(peer.process, Some(std::process::id()));
    }
}
