//! Signals of the operating system, for those who ask for one: the only place that handles any.
//!
//! # Invariants
//!
//! - Nothing is handled until [`watch`] is called.
//! - A handler that was there before is called, too; several watches of one signal live together,
//!   those of other libraries on `signal-hook-registry` (`tokio::signal`) included.
//! - The handler itself writes one byte and does nothing else; callbacks run on a thread of ours.
//! - In a fork's child nothing is called: neither there nor, by mistake, in the parent.

use crate::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A signal that is being watched; ends when it is dropped.
///
/// No callback begins after that; one that runs is not waited for. The signal's default action
/// (for SIGHUP: end the process) does not come back: from then on the signal does nothing, except
/// where another handler is set.
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    signal: i32,
    active: Arc<AtomicBool>,
    #[cfg(unix)]
    bell: unix::Bell,
}

/// Calls `callback` each time the process gets `signal`, on a thread of the pipeline's own.
///
/// `signal` is a number of `signal(7)`, like `libc::SIGHUP`. The thread (`telemetry-signal`) lives
/// as long as the returned [`Watch`]; what the callback emits through `tracing` or `log` goes
/// nowhere, as on every thread of the pipeline. Signals that arrive while the callback runs lead to
/// one more call between them. A callback that panics is reported and called again next time.
///
/// A program that blocks `signal` in all its threads gets no call.
///
/// # Errors
///
/// The signal does not exist or cannot be handled (SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV);
/// the system gives no thread or socket; the system is not a Unix.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)] {
/// let hang_up = 1;
/// let watch = telemetry_core::signal::watch(hang_up, || { /* read the settings again */ })?;
/// drop(watch);
/// # }
/// # Ok::<(), telemetry_core::Error>(())
/// ```
pub fn watch(signal: i32, callback: impl FnMut() + Send + 'static) -> Result<Watch, Error> {
    let active = Arc::new(AtomicBool::new(true));
    #[cfg(unix)]
    return unix::ring(signal, Arc::clone(&active), callback).map(|bell| Watch {
        signal,
        active,
        bell,
    });
    #[cfg(not(unix))]
    {
        drop((callback, active));
        Err(Error::not_allowed(format!("signal {signal} cannot be watched: this is not a Unix")))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Release: what the dropping thread did before is seen by a callback that began earlier
        // or not at all.
        self.active.store(false, std::sync::atomic::Ordering::Release);
        #[cfg(unix)]
        self.bell.end();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("signal", &self.signal).finish_non_exhaustive()
    }
}

#[cfg(unix)]
mod unix {
    use crate::diagnostics;
    use crate::error::{Error, discard_panic};
    use crate::level::Level;
    use signal_hook_registry::{FORBIDDEN, SigId, register, unregister};
    use std::io::{ErrorKind, Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// What wakes the thread: a socket that the handler writes into.
    pub(super) struct Bell {
        id: SigId,
        socket: Arc<UnixStream>,
        process: u32,
    }

    pub(super) fn ring(
        signal: i32,
        active: Arc<AtomicBool>,
        callback: impl FnMut() + Send + 'static,
    ) -> Result<Bell, Error> {
        if FORBIDDEN.contains(&signal) {
            return Err(Error::setting("signal", signal, "one that a program can handle"));
        }
        let failed = |error| Error::resource(format!("signal {signal} cannot be watched"), error);
        let (heard, socket) = UnixStream::pair().map_err(failed)?;
        // A full socket rings already; the handler must never wait.
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = Arc::new(socket);
        let process = std::process::id();
        let action = {
            let socket = Arc::clone(&socket);
            // The child of a fork has the parent's socket: it would ring there.
            move || {
                if std::process::id() == process {
                    let _ = (&*socket).write(&[0]);
                }
            }
        };
        start(heard, active, callback).map_err(failed)?;
        // SAFETY: the action calls `getpid` and `write` only, which may be called in a handler,
        // and cannot panic. `errno` is kept by the registry.
        let registered = unsafe { register(signal, action) };
        match registered {
            Ok(id) => Ok(Bell { id, socket, process }),
            Err(error) => {
                let _ = socket.shutdown(Shutdown::Both);
                Err(failed(error))
            }
        }
    }

    fn start(
        heard: UnixStream,
        active: Arc<AtomicBool>,
        callback: impl FnMut() + Send + 'static,
    ) -> std::io::Result<()> {
        let builder = std::thread::Builder::new().name("telemetry-signal".to_owned());
        builder.spawn(move || listen(heard, &active, callback)).map(drop)
    }

    /// Calls `callback` for each ring, until the other end of the socket is shut.
    fn listen(mut heard: UnixStream, active: &AtomicBool, mut callback: impl FnMut()) {
        crate::local::mark_own_thread();
        let mut rings = [0; 64];
        loop {
            match heard.read(&mut rings) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                // Acquire: pairs with the store when the watch is dropped.
                Ok(_) if !active.load(Ordering::Acquire) => break,
                Ok(_) => {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(&mut callback)) {
                        discard_panic(panic);
                        let text = "what was to be done at a signal panicked";
                        diagnostics::report("signal.panic", Level::Error, text);
                    }
                }
            }
        }
        // The callback's destructor is the user's code.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(callback))) {
            discard_panic(panic);
        }
    }

    impl Bell {
        pub(super) fn end(&self) {
            unregister(self.id);
            // A fork's child shares the socket and must leave the parent's watch alone.
            if std::process::id() == self.process {
                let _ = self.socket.shutdown(Shutdown::Both);
            }
        }
    }
}
