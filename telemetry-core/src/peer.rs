//! Who is at the other end of a Unix socket, and is there anybody?
//!
//! # Invariants
//!
//! - The kernel says so, not the peer: as of `connect` or `listen` (unix(7), `SO_PEERCRED`).
//! - Whoever connects does not wait for one that admits nobody.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

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

/// Connects to the socket at a path, without waiting for whoever listens there.
///
/// # Errors
///
/// The kernel's. [`WouldBlock`](io::ErrorKind::WouldBlock): somebody listens there, and as many
/// wait already as may.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    use std::os::fd::FromRawFd;
    let (address, length) = address(path)?;
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes three numbers.
    let descriptor = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above, and nobody else has it.
    let stream = unsafe { UnixStream::from_raw_fd(descriptor) };
    stream.set_nonblocking(true)?;
    // SAFETY: the descriptor is open while `stream` lives; `address` has `length` bytes.
    let failed = unsafe { libc::connect(descriptor, (&raw const address).cast(), length) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Connects to the socket at a path; these systems refuse where as many wait already as may.
///
/// # Errors
///
/// The kernel's.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

/// The address of a path, and how many bytes of it count.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let mut sun_path = [0; 108];
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= sun_path.len() {
        let text = "the path of a socket has 1 to 107 bytes, none of them 0";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (to, from) in sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    let sun_family = libc::AF_UNIX as libc::sa_family_t;
    Ok((libc::sockaddr_un { sun_family, sun_path }, length as libc::socklen_t))
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

    #[test]
    #[cfg(target_os = "linux")]
    fn connect_finds_who_listens_and_waits_for_nobody() {
        use std::io::{ErrorKind, Read, Write};
        use std::os::unix::net::UnixListener;
        let folder = std::env::temp_dir().join(format!("peer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.sock");
        let refused = |path: &Path| connect(path).unwrap_err().kind();
        assert_eq!(refused(&path), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = connect(&path).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let writer = std::thread::Builder::new().spawn(move || {
            server.write_all(b"hello").unwrap();
        });
        let mut heard = String::new();
        // It waits, as any stream does.
        client.read_to_string(&mut heard).unwrap();
        writer.unwrap().join().unwrap();
        assert_eq!(heard, "hello");
        // SAFETY: two numbers. From now on, one may wait.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let waiting: Vec<_> = std::iter::from_fn(|| connect(&path).ok()).take(100).collect();
        assert!(waiting.len() < 100);
        assert_eq!(refused(&path), ErrorKind::WouldBlock);
        drop((waiting, listener));
        assert_eq!(refused(&path), ErrorKind::ConnectionRefused);
        for path in ["", "a\0b", &"x".repeat(108)] {
            assert_eq!(refused(Path::new(path)), ErrorKind::InvalidInput);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
