//! A filter in a file.
//!
//! # Invariants
//!
//! - A file without a directive is an error and not a filter that lets nothing through: it may be
//!   in the middle of being written.
//! - Nothing but a file is read, and no more of it than a filter and its comments need.

use super::{FILTER_BYTES_MAX, Filter};
use crate::error::Error;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;

/// How much of a file is read: comments included, which do not count as parts of the filter.
const FILE_BYTES_MAX: usize = 8 * FILTER_BYTES_MAX;

impl Filter {
    /// Reads a filter from a file: directives on one line or on several, with lines of comments
    /// that begin with `#`.
    ///
    /// ```
    /// use telemetry_core::filter::Filter;
    ///
    /// # let folder = std::env::temp_dir().join(format!("filter-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("filter");
    /// std::fs::write(&path, "# for the incident of today\ninfo\napp::db=debug, hyper=off\n")?;
    /// assert_eq!(Filter::read(&path)?, "info,app::db=debug,hyper=off".parse()?);
    /// # std::fs::remove_dir_all(folder).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no directive in it, or is not a filter; a filter that lets
    /// nothing through is `off`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = text(path)
            .map_err(|error| Error::resource(format!("cannot read `{}`", path.display()), error))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let filter = lines.collect::<Vec<_>>().join(",");
        if Self::is_blank(&filter) {
            let name = path.display().to_string();
            return Err(Error::setting(&name, "empty", "a filter; `off` lets nothing through"));
        }
        filter.parse()
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A named pipe must not hold the reader up.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.read(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        let text = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// The text of the error, and of what it comes from.
    fn refused(path: &Path) -> String {
        let error = Filter::read(path).unwrap_err();
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    }

    #[test]
    fn files_that_are_no_filters_are_refused_with_what_is_wrong() {
        let folder = std::env::temp_dir().join(format!("filter-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("filter");
        let table: [(&[u8], &str); 8] = [
            (&[b'x'; 1 << 20], "longer than 65536 bytes"),
            (&b"app::module=debug\n".repeat(10_000), "longer than 65536 bytes"),
            (&b"a=off\n".repeat(10_000), "59999 bytes: at most 8192"),
            (&b"a=off\n".repeat(1_100), "more than 1024 directives"),
            (b"[{a~\"((((a{100}){100}){100}){100})\"}]", "65536 bytes compiled"),
            (b"info\xff", "not UTF-8"),
            (b"# nothing\n", "is `empty`"),
            (b"inof", "did you mean `info`"),
        ];
        for (content, why) in table {
            std::fs::write(&path, content).unwrap();
            let text = refused(&path);
            assert!(text.contains(why) && text.len() < 1000, "{text}");
        }
        assert!(refused(&folder).contains("not a file"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(refused(&path).contains("No such file"));
    }
}
