//! What stands in every file, and what in none.

use telemetry_tidy::{File, root, rust_files, strip, tracked};

/// Where `unsafe` may stand; each has a lint exception with its reason, and every block says why
/// it is sound (clippy asks for that).
const UNSAFE: [&str; 21] = [
    "telemetry-core/src/callsite.rs",
    "telemetry-core/src/chunk/",
    "telemetry-core/src/clock.rs",
    "telemetry-core/src/exit.rs",
    "telemetry-core/src/fork.rs",
    "telemetry-core/src/intake/",
    "telemetry-core/src/local.rs",
    "telemetry-core/src/peer.rs",
    "telemetry-core/src/record/",
    // What a subscriber asks its layers is an unsafe method of a trait.
    "telemetry-core/src/recorder/layer/",
    "telemetry-core/src/recorder/slots.rs",
    "telemetry-core/src/signal.rs",
    "telemetry-core/src/standard_error.rs",
    "telemetry-core/src/worker/memory.rs",
    // A counting allocator, fork(2), the CPU time of a thread.
    "telemetry-core/tests/",
    "telemetry-poller/src/process/linux.rs",
    // A thread that acts for another user, fork(2), a pseudo-terminal.
    "telemetry/tests/doors.rs",
    "telemetry/tests/ends.rs",
    "telemetry/tests/surroundings/",
    // _exit(2).
    "telemetry/tests/write_through.rs",
    // A library is loaded.
    "tests/cdylib/",
];

/// The word stands alone, not as a part of another.
fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

fn offenders(files: &[File], is_wrong: impl Fn(&File) -> bool) -> Vec<&str> {
    files.iter().filter(|file| is_wrong(file)).map(|file| file.path.as_str()).collect()
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = rust_files();
    let wrong = offenders(&files, |file| !file.text.starts_with("//! "));
    assert!(wrong.is_empty(), "no module doc at the top: {wrong:#?}");
}

#[test]
fn unsafe_stands_only_where_it_must() {
    let files = rust_files();
    let wrong = offenders(&files, |file| {
        !UNSAFE.iter().any(|allowed| file.path.starts_with(allowed))
            && has_word(&strip(&file.text), "unsafe")
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_test_is_ignored() {
    let files = rust_files();
    let wrong = offenders(&files, |file| strip(&file.text).contains("#[ignore"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_to_be_done() {
    let files = tracked();
    // Written in two parts, for this file is read, too.
    let marks = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}"];
    let wrong = offenders(&files, |file| marks.iter().any(|mark| has_word(&file.text, mark)));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let files = rust_files();
    let wrong = offenders(&files, |file| {
        let code = strip(&file.text);
        ["todo!", "unimplemented!"].iter().any(|call| code.contains(call))
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Paths of the machine that a file was written on mean nothing on another.
#[test]
fn no_path_of_a_machine_is_in_a_file() {
    let mut paths = vec![root().display().to_string()];
    let variables = ["HOME", "CARGO_HOME", "CARGO_TARGET_DIR"];
    paths.extend(variables.iter().filter_map(|name| std::env::var(name).ok()));
    paths.retain(|path| path.len() > 1);
    for home in ["home", "Users"] {
        paths.push(format!("/{home}/"));
    }
    let files = tracked();
    let wrong = offenders(&files, |file| {
        paths.iter().any(|path| {
            file.text.match_indices(path.as_str()).any(|(at, _)| {
                // `~/.x/home/` and `https://host/home/` are no such paths.
                !file.text[..at].ends_with(|c: char| c.is_alphanumeric() || ".~-_/".contains(c))
            })
        })
    });
    assert!(wrong.is_empty(), "{paths:?} in {wrong:#?}");
}

#[test]
fn file_names_are_plain() {
    let files = tracked();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let wrong = offenders(&files, |file| !file.path.chars().all(plain));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let files = rust_files();
    let vague = ["utils", "util", "common", "helpers", "helper", "misc", "manager"];
    let wrong =
        offenders(&files, |file| file.path.split(['/', '.']).any(|part| vague.contains(&part)));
    assert!(wrong.is_empty(), "a name that says nothing: {wrong:#?}");
}

#[test]
fn text_files_end_with_a_line_and_have_no_trailing_blanks() {
    let files = tracked();
    let wrong = offenders(&files, |file| {
        !file.text.is_empty()
            && !file.text.contains('\u{fffd}')
            && (!file.text.ends_with('\n') || file.text.lines().any(|line| line.ends_with(' ')))
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
