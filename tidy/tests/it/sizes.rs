//! Nothing is too large to be read at once.

use telemetry_tidy::{code_lines, functions, rust_files, strip, tracked, without_tests};

/// Lines of a file that are neither empty nor comments nor tests.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const ARCHITECTURE_LINES_MAX: usize = 150;
const LINE_COLUMNS_MAX: usize = 100;

#[test]
fn files_and_functions_are_small() {
    let mut wrong = Vec::new();
    for file in rust_files() {
        let code = strip(&file.text);
        let lines = code_lines(&without_tests(&code));
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines", file.path));
        }
        let large = functions(&code).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
        wrong.extend(
            large.map(|f| format!("{}:{}: `{}` has {} lines", file.path, f.line, f.name, f.lines)),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lines_are_narrow() {
    let mut wrong = Vec::new();
    for file in rust_files() {
        for (n, line) in file.text.lines().enumerate() {
            // An address, a row of a table and an example of an output cannot be broken.
            let is_whole = line.contains("://") || line.starts_with("//! ");
            if line.chars().count() > LINE_COLUMNS_MAX && !is_whole {
                wrong.push(format!("{}:{}", file.path, n + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_architecture_is_read_in_one_go() {
    let files = tracked();
    for (name, lines_max) in [("ARCHITECTURE.md", ARCHITECTURE_LINES_MAX), ("README.md", 250)] {
        let file = files.iter().find(|file| file.path == name);
        let lines = file.unwrap_or_else(|| panic!("there is no {name}")).text.lines().count();
        assert!(lines <= lines_max, "{name} has {lines} lines, but may have {lines_max}");
    }
}
