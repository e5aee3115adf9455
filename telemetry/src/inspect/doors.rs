//! The doors through which somebody outside may look: a socket and a signal, if they are asked for.
//!
//! # Invariants
//!
//! - Nothing is there until it is asked for.
//! - A socket of the program's that cannot be had is an error; one of the environment's is left
//!   out, with a warning.

use super::Inspector;
use crate::environment::Warning;
use crate::outputs::keep;
use crate::setting::{Origin, Setting};
use std::path::PathBuf;
use telemetry_core::{Error, Level, diagnostics, signal};

/// What of a snapshot goes into a record: somewhat less than the largest value of a field.
const RECORD_BYTES: usize = 15 * 1024;

/// What is asked for.
pub(crate) struct Doors {
    pub(crate) socket: Setting<Option<PathBuf>>,
    pub(crate) signal: Setting<Option<i32>>,
}

impl Default for Doors {
    fn default() -> Self {
        Self { socket: Setting::new(None), signal: Setting::new(None) }
    }
}

#[cfg(unix)]
pub(crate) type Bound = super::place::Bound;
/// There is none.
#[cfg(not(unix))]
pub(crate) type Bound = std::convert::Infallible;

impl Doors {
    /// Makes the socket, at which nobody is answered yet.
    pub(crate) fn bind(&self, warnings: &mut Vec<Warning>) -> Result<Option<Bound>, Error> {
        let Some(path) = &*self.socket else { return Ok(None) };
        let origin = self.socket.origin();
        let setting = match origin {
            Origin::Variable(variable) => variable,
            _ => "inspect_socket",
        };
        #[cfg(unix)]
        let made = match super::place::Place::of(path.as_os_str()) {
            Some(place) => super::place::bind(&place, setting).map(Some),
            None => Ok(None),
        };
        #[cfg(not(unix))]
        let made = Err(Error::setting(setting, path.display(), "unset: this is not a Unix"));
        keep(made, origin, warnings).map(Option::flatten)
    }
}

/// Doors that are open; closed when they are dropped.
#[derive(Default)]
pub(crate) struct Open {
    #[cfg(unix)]
    socket: Option<super::door::Door>,
    signal: Option<signal::Watch>,
}

impl Open {
    /// Lets whoever comes to the socket in.
    pub(crate) fn socket(&mut self, bound: Bound, inspector: Inspector) -> Result<(), Error> {
        #[cfg(unix)]
        {
            self.socket = Some(super::door::Door::open(bound, inspector)?);
            Ok(())
        }
        #[cfg(not(unix))]
        match (bound, inspector).0 {}
    }

    /// Tells what the process is doing whenever it gets the signal: on standard error, and as a
    /// record of target `telemetry`.
    pub(crate) fn signal(&mut self, number: i32, inspector: Inspector) -> Result<(), Error> {
        let tell = move || {
            let snapshot = inspector.snapshot();
            diagnostics::print_text(&snapshot.to_string());
            diagnostics::record("inspect", Level::Info, snapshot.to_json_within(RECORD_BYTES));
        };
        self.signal = Some(signal::watch(number, tell)?);
        Ok(())
    }
}
