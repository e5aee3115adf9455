//! Outputs that fail, stall, move and come back.

use super::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What a scripted writer does with one write.
#[derive(Debug, Clone, Copy)]
enum Step {
    Take(usize),
    Fail(io::ErrorKind),
}

/// Follows its script, then takes everything.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Step>>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Arc::new(Mutex::new(steps.into_iter().collect()));
        Self { script, ..Self::default() }
    }

    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = self.script.lock().unwrap().pop_front();
        let taken = match step {
            Some(Step::Fail(kind)) => return Err(kind.into()),
            Some(Step::Take(most)) => most.min(bytes.len()),
            None => bytes.len(),
        };
        self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(output: &mut LineWriter, lines: &[&str]) -> Outcome {
    output.begin();
    for line in lines {
        output.line().extend_from_slice(line.as_bytes());
        output.end_line(Signal::Log);
    }
    output.finish()
}

fn lost(count: u64) -> Outcome {
    Outcome::Partial { lost: Units::of(Signal::Log, count), cause: Cause::WriteFailed }
}

#[test]
fn interrupts_and_short_writes_lose_nothing() {
    let interrupted = Step::Fail(io::ErrorKind::Interrupted);
    let steps = std::iter::repeat_n([Step::Take(1), interrupted], 20).flatten();
    let peer = Scripted::of(steps);
    let mut output = LineWriter::writer(Box::new(peer.clone()));
    assert_eq!(write(&mut output, &["one\n", "two\n"]), Outcome::Delivered);
    assert_eq!(peer.text(), "one\ntwo\n");
}

#[test]
fn failure_at_any_byte_counts_the_lines_that_are_not_whole_and_repairs_the_torn_one() {
    let lines = ["first\n", "second\n", "third\n"];
    let whole: String = lines.concat();
    for taken in 0..whole.len() {
        let steps = [Step::Take(taken.max(1)), Step::Fail(io::ErrorKind::StorageFull)];
        let peer = Scripted::of(steps.into_iter().skip(usize::from(taken == 0)));
        let mut output = LineWriter::writer(Box::new(peer.clone()));
        let outcome = write(&mut output, &lines);
        assert_eq!(write(&mut output, &["next\n"]), Outcome::Delivered, "resumes by itself");
        let text = peer.text();
        let delivered =
            text.lines().filter(|line| lines.contains(&format!("{line}\n").as_str())).count();
        let expected = if delivered == 3 { Outcome::Delivered } else { lost(3 - delivered as u64) };
        assert_eq!(outcome, expected, "{taken} bytes taken: {text:?}");
        assert_eq!(text.lines().last(), Some("next"));
    }
}

#[test]
fn repair_is_tried_again_until_it_succeeds() {
    let full = Step::Fail(io::ErrorKind::StorageFull);
    let peer = Scripted::of([Step::Take(2), full, full, full]);
    let mut output = LineWriter::writer(Box::new(peer.clone()));
    assert_eq!(write(&mut output, &["first\n"]), lost(1));
    assert_eq!(write(&mut output, &["second\n"]), lost(1));
    assert_eq!(write(&mut output, &["third\n", "fourth\n"]), lost(2));
    assert_eq!(write(&mut output, &["fifth\n"]), Outcome::Delivered);
    assert_eq!(peer.text(), "fi\nfifth\n");
    assert_eq!(output.last_error().map(io::Error::kind), Some(io::ErrorKind::StorageFull));
}

#[test]
fn stalled_destination_is_waited_for_and_then_loses() {
    let stall = Step::Fail(io::ErrorKind::WouldBlock);
    let peer = Scripted::of([Step::Take(6), stall, stall, Step::Take(1)]);
    let mut output = LineWriter::writer(Box::new(peer.clone()));
    assert_eq!(write(&mut output, &["first\n", "second\n"]), Outcome::Delivered);

    let peer = Scripted::of(std::iter::repeat_n(stall, 10_000));
    let mut output = LineWriter::writer(Box::new(peer));
    let begin = clock::now();
    assert_eq!(write(&mut output, &["first\n", "second\n"]), lost(2));
    let waited = clock::now().duration_since(begin);
    assert!(waited >= STALL && waited < STALL * 20, "waited {waited:?}");
}

#[test]
fn gathered_lines_are_written_whole() {
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);
    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Writes::default();
    let mut output = LineWriter::writer(Box::new(writes.clone())).gather(1000);
    let lines: Vec<String> = (0..1000).map(|n| format!("line {n}\n")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(write(&mut output, &lines), Outcome::Delivered);
    let writes = writes.0.lock().unwrap();
    assert!(writes.len() <= 10, "{} writes", writes.len());
    assert!(writes.iter().all(|bytes| bytes.ends_with(b"\n")));
    assert_eq!(writes.concat(), lines.concat().into_bytes());
}

#[cfg(unix)]
mod files {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A directory of this test alone, removed at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("telemetry-output-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Makes the next write look at the path.
    fn due(output: &mut LineWriter) {
        if let Opened::File(file) = &mut output.opened {
            file.make_due();
        }
    }

    #[test]
    fn reopened_output_goes_to_the_file_that_is_at_the_path_now() {
        let directory = Directory::new("reopen");
        let (path, moved) = (directory.0.join("log"), directory.0.join("log.1"));
        let mut output = LineWriter::file(&path).unwrap();
        assert_eq!(write(&mut output, &["one\n"]), Outcome::Delivered);
        fs::rename(&path, &moved).unwrap();
        output.reopen();
        assert!(path.exists(), "without a line to write");
        assert_eq!(write(&mut output, &["two\n"]), Outcome::Delivered);
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        output.reopen();
        assert_eq!(write(&mut output, &["three\n"]), Outcome::Delivered);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\n");
    }

    #[test]
    fn file_is_private_and_appended_to() {
        let directory = Directory::new("append");
        let path = directory.0.join("log");
        for line in ["one\n", "two\n"] {
            let mut output = LineWriter::file(&path).unwrap();
            assert_eq!(write(&mut output, &[line]), Outcome::Delivered);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !0o640, 0, "{mode:o}");
    }

    #[test]
    fn half_a_line_of_a_killed_process_is_ended_first() {
        let directory = Directory::new("torn");
        let path = directory.0.join("log");
        fs::write(&path, "whole\nha").unwrap();
        let mut output = LineWriter::file(&path).unwrap();
        write(&mut output, &["next\n"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nha\nnext\n");
    }

    #[test]
    fn deleted_file_is_opened_anew_before_the_next_write() {
        let directory = Directory::new("deleted");
        let path = directory.0.join("log");
        let mut output = LineWriter::file(&path).unwrap();
        assert_eq!(write(&mut output, &["one\n"]), Outcome::Delivered);
        fs::remove_file(&path).unwrap();
        assert_eq!(write(&mut output, &["two\n"]), Outcome::Delivered);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn error_at_the_start_names_the_path_and_has_the_reason() {
        let directory = Directory::new("errors");
        let link = directory.0.join("link");
        std::os::unix::fs::symlink(directory.0.join("target"), &link).unwrap();
        let cases = [
            (directory.0.join("missing/log"), libc::ENOENT),
            (directory.0.clone(), libc::EISDIR),
            (link, libc::ELOOP),
        ];
        for (path, errno) in cases {
            let error = LineWriter::file(&path).unwrap_err();
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            let source = std::error::Error::source(&error).unwrap();
            let source = source.downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.raw_os_error(), Some(errno));
        }
    }

    #[test]
    fn renamed_file_keeps_its_lines_and_a_new_one_takes_the_next() {
        let directory = Directory::new("rename");
        let (path, old) = (directory.0.join("log"), directory.0.join("log.1"));
        let mut output = LineWriter::file(&path).unwrap();
        write(&mut output, &["one\n"]);
        fs::rename(&path, &old).unwrap();
        due(&mut output);
        assert_eq!(write(&mut output, &["two\n"]), Outcome::Delivered);
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn lines_are_lost_and_counted_while_there_is_no_place_for_the_file() {
        let directory = Directory::new("gone");
        let inner = directory.0.join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("log");
        let mut output = LineWriter::file(&path).unwrap();
        write(&mut output, &["one\n"]);
        fs::remove_dir_all(&inner).unwrap();
        due(&mut output);
        assert_eq!(write(&mut output, &["two\n"]), lost(1));
        assert_eq!(write(&mut output, &["three\n", "four\n"]), lost(2));
        fs::create_dir(&inner).unwrap();
        assert_eq!(write(&mut output, &["five\n"]), Outcome::Delivered);
        assert_eq!(fs::read_to_string(&path).unwrap(), "five\n");
    }

    #[test]
    fn truncated_file_gets_no_hole() {
        let directory = Directory::new("copytruncate");
        let path = directory.0.join("log");
        let mut output = LineWriter::file(&path).unwrap();
        write(&mut output, &["one\n"]);
        fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        write(&mut output, &["two\n"]);
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_device_loses_exactly_what_it_was_given() {
        let mut output = LineWriter::file("/dev/full").unwrap();
        assert_eq!(write(&mut output, &["one\n", "two\n"]), lost(2));
        assert_eq!(output.last_error().and_then(io::Error::raw_os_error), Some(libc::ENOSPC));
    }

    #[test]
    fn closed_pipe_loses_and_does_not_panic() {
        let (reader, writer) = io::pipe().unwrap();
        let mut output = LineWriter::writer(Box::new(writer));
        assert_eq!(write(&mut output, &["one\n"]), Outcome::Delivered);
        drop(reader);
        assert_eq!(write(&mut output, &["two\n"]), lost(1));
        assert_eq!(output.last_error().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn named_pipe_without_a_reader_is_an_error_and_a_full_one_loses_after_a_while() {
        let directory = Directory::new("fifo");
        let path = directory.0.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        let error = LineWriter::file(&path).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(libc::ENXIO));

        let reader = fs::File::options().read(true).write(true).open(&path).unwrap();
        let mut output = LineWriter::file(&path).unwrap();
        assert_eq!(write(&mut output, &["one\n"]), Outcome::Delivered);
        let line = "x".repeat(99_999) + "\n"; // more than the pipe holds
        assert_eq!(write(&mut output, &[&line, "two\n"]), lost(2));
        drop(reader);
        assert_eq!(write(&mut output, &["three\n"]), lost(1));
    }
}
