//! Where lines go, before anything is opened.

use super::LineWriter;
use crate::Error;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

/// Where the lines of an exporter go: what its builder holds until it opens it.
///
/// ```
/// use telemetry_core::output::Destination;
///
/// let output = Destination::Writer(Box::new(std::io::sink())).open()?;
/// assert!(!output.is_terminal());
/// # Ok::<(), telemetry_core::Error>(())
/// ```
pub enum Destination {
    /// A file, appended to ([`LineWriter::file`]).
    File(PathBuf),
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
    /// Any writer ([`LineWriter::writer`]).
    Writer(Box<dyn Write + Send>),
}

impl Destination {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// When the file or the standard stream cannot be written to.
    pub fn open(self) -> Result<LineWriter, Error> {
        match self {
            Self::File(path) => LineWriter::file(path),
            Self::Stdout => LineWriter::stdout(),
            Self::Stderr => LineWriter::stderr(),
            Self::Writer(writer) => Ok(LineWriter::writer(writer)),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stdout => f.write_str("Stdout"),
            Self::Stderr => f.write_str("Stderr"),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}
