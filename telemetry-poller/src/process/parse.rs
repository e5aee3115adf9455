//! Readers of the texts in `/proc/self`: pure functions over bytes.
//!
//! # Invariants
//!
//! - Any bytes give a value or an error, never a panic and never a guess: a number is taken only
//!   if something follows it, so that a text cut in a number is not read as a smaller one.
//! - The name of the process, which may hold anything, is stepped over and not read.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is no /proc to read"))]

use std::fmt;

/// Says which field of which text could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParseError {
    file: &'static str,
    field: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`/proc/self/{}` has no {} that can be read", self.file, self.field)
    }
}

impl std::error::Error for ParseError {}

/// What is used of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Field 20.
    pub(super) threads: u64,
    /// Field 22, in ticks since boot.
    pub(super) start_ticks: u64,
}

/// What is used of `/proc/self/statm`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statm {
    /// Field 1.
    pub(super) virtual_pages: u64,
    /// Field 2.
    pub(super) resident_pages: u64,
}

/// What is used of `/proc/self/io`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
}

/// Reads `/proc/self/stat`.
///
/// ```text
/// 4711 (any ) text) R 1 4711 …
///                 ^ the last parenthesis ends field 2
/// ```
pub(super) fn stat(text: &[u8]) -> Result<Stat, ParseError> {
    let error = |field| ParseError { file: "stat", field };
    let name_end = text.iter().rposition(|b| *b == b')').ok_or(error("process name"))?;
    // The first field after the name is field 3.
    let field = |number: usize| nth_number(&text[name_end + 1..], number - 3);
    Ok(Stat {
        threads: field(20).ok_or(error("number of threads"))?,
        start_ticks: field(22).ok_or(error("start time"))?,
    })
}

/// Reads `/proc/self/statm`.
pub(super) fn statm(text: &[u8]) -> Result<Statm, ParseError> {
    let error = |field| ParseError { file: "statm", field };
    Ok(Statm {
        virtual_pages: nth_number(text, 0).ok_or(error("virtual size"))?,
        resident_pages: nth_number(text, 1).ok_or(error("resident size"))?,
    })
}

/// Reads `/proc/self/io`.
pub(super) fn io(text: &[u8]) -> Result<Io, ParseError> {
    let value = |key: &'static str| {
        text.split_inclusive(|b| *b == b'\n')
            .filter_map(|line| line.strip_suffix(b"\n"))
            .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))
            .and_then(|value| number(value.trim_ascii()))
            .ok_or(ParseError { file: "io", field: key })
    };
    Ok(Io { read_bytes: value("read_bytes")?, write_bytes: value("write_bytes")? })
}

/// Returns field `index`, which must be a number and not the last thing in `text`.
fn nth_number(text: &[u8], index: usize) -> Option<u64> {
    let ended = &text[..=text.iter().rposition(u8::is_ascii_whitespace)?];
    let mut fields = ended.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    number(fields.nth(index)?)
}

fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A line of the kernel, with `name` as the process was called.
    fn line(name: &[u8], threads: &str, start: &str) -> Vec<u8> {
        let mut line = b"4711 (".to_vec();
        line.extend_from_slice(name);
        let rest =
            format!(") S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 {threads} 0 {start} 99 1\n");
        line.extend_from_slice(rest.as_bytes());
        line
    }

    #[test]
    fn any_name_is_stepped_over() {
        for name in [&b"bash"[..], b") R 1", b"a\nb", b"(", b")))", b"", b"\xff\xfe)", b" 1 2 3 "] {
            let read = stat(&line(name, "17", "123456"));
            assert_eq!(read, Ok(Stat { threads: 17, start_ticks: 123_456 }), "{name:?}");
        }
    }

    #[test]
    fn text_cut_in_a_number_is_refused() {
        let whole = line(b"x", "17", "123456");
        let at = whole.windows(6).position(|w| w == b"123456").expect("is there");
        assert!(stat(&whole[..at + 3]).is_err());
        assert!(stat(&whole[..at + 7]).is_ok(), "the space that ends the number is there");
        assert!(statm(b"1000 20").is_err());
        assert!(io(b"read_bytes: 10\nwrite_bytes: 2").is_err());
    }

    #[test]
    fn empty_and_huge_are_refused_with_the_field() {
        let text = |error: ParseError| error.to_string();
        let no_name = "`/proc/self/stat` has no process name that can be read";
        assert_eq!(text(stat(b"").expect_err("empty")), no_name);
        let huge = "18446744073709551616";
        let no_start = "`/proc/self/stat` has no start time that can be read";
        assert_eq!(text(stat(&line(b"x", "1", huge)).expect_err("huge")), no_start);
        assert!(stat(&line(b"x", "-1", "5")).is_err());
        assert!(stat(&line(b"x", "+1", "5")).is_err());
        assert_eq!(
            stat(&line(b"x", "1", &u64::MAX.to_string())).map(|s| s.start_ticks),
            Ok(u64::MAX)
        );
        assert!(statm(b"").is_err() && io(b"").is_err());
    }

    #[test]
    fn statm_and_io_are_read() {
        let read = statm(b"2048 512 300 20 0 400 0\n");
        assert_eq!(read, Ok(Statm { virtual_pages: 2048, resident_pages: 512 }));
        let text = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\n\
            read_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 7\n";
        assert_eq!(io(text), Ok(Io { read_bytes: 4096, write_bytes: 8192 }));
        let no_write = b"read_bytes: 1\ncancelled_write_bytes: 7\n";
        assert_eq!(io(no_write), Err(ParseError { file: "io", field: "write_bytes" }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (stat(&text), statm(&text), io(&text));
        }

        #[test]
        fn no_cut_gives_another_value(
            name in prop::collection::vec(any::<u8>(), 0..16),
            threads: u32,
            start: u64,
            cut in 0..120_usize,
        ) {
            let whole = line(&name, &threads.to_string(), &start.to_string());
            let expected = Stat { threads: threads.into(), start_ticks: start };
            prop_assert_eq!(stat(&whole), Ok(Stat { ..expected }));
            // A cut in the name may leave other text in its place; one after it may not.
            let name_end = 6 + name.len() + 1;
            if let Ok(read) = stat(&whole[..(name_end + cut).min(whole.len())]) {
                prop_assert_eq!(read, expected);
            }
        }
    }
}
