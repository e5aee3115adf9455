//! A file behind a 256 KiB buffer that counts its lines: what every peer writes into.
//!
//! # Invariants
//!
//! - What is written reaches a file: a sink that discards lets the compiler and the kernel skip
//!   work.
//! - A line is counted when it is in the buffer; `flush` and drop bring the buffer into the file.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

const BUFFER_BYTES: usize = 256 * 1024;
const RECENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const STALLED: Duration = Duration::from_secs(30);

/// How much of the file stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Everything, to be counted afterwards.
    All,
    /// The file starts again at 64 MiB, so that call-site runs do not fill the disk.
    Recent,
}

/// A counted, buffered file.
#[derive(Debug)]
pub(crate) struct Sink {
    file: BufWriter<File>,
    keep: Keep,
    written_bytes: u64,
    lines: Lines,
}

/// The number of lines a sink has taken, readable from other threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<AtomicU64>);

impl Sink {
    /// Creates the file at `path`, and the count of its lines.
    pub(crate) fn create(path: &Path, keep: Keep) -> Result<(Self, Lines)> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
        let lines = Lines::default();
        Ok((Self { file, keep, written_bytes: 0, lines: lines.clone() }, lines))
    }

    fn start_again(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.written_bytes = 0;
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.written_bytes += taken as u64;
        if bytes[..taken].last() == Some(&b'\n') {
            // Only a count: whoever waits for it reads nothing else from this thread.
            self.lines.0.fetch_add(1, Ordering::Relaxed);
            if self.keep == Keep::Recent && self.written_bytes > RECENT_BYTES_MAX {
                self.start_again()?;
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Lines {
    /// Waits until the sink took `wanted` lines, or took none for 30 s.
    pub(crate) fn wait_for(&self, wanted: u64) {
        let mut seen = 0;
        let mut moved = Instant::now();
        loop {
            let lines = self.0.load(Ordering::Relaxed);
            if lines >= wanted || moved.elapsed() > STALLED {
                return;
            }
            if lines != seen {
                (seen, moved) = (lines, Instant::now());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
