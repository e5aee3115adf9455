//! The tracked files of the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tracked file.
#[derive(Debug)]
pub struct File {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// What is in it; bytes that are no UTF-8 are replaced.
    pub text: String,
}

impl File {
    /// Is it test code as a whole?
    ///
    /// A module under `#[cfg(test)]` that has a file of its own is called `tests`, or `model` where
    /// it is a loom model.
    pub fn is_test(&self) -> bool {
        self.path
            .trim_end_matches(".rs")
            .split('/')
            .any(|part| matches!(part, "tests" | "model" | "models"))
    }
}

/// The root of the repository.
///
/// # Panics
///
/// Never: this package lies in a folder of it.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("a package of the workspace is in a folder of its root").to_owned()
}

/// Every tracked file that exists.
///
/// # Panics
///
/// Git cannot be asked.
pub fn tracked() -> Vec<File> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("the rules are about tracked files, and need git");
    assert!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    let files: Vec<File> = names
        .split_terminator('\0')
        .filter_map(|path| {
            let bytes = std::fs::read(root().join(path)).ok()?;
            Some(File { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() })
        })
        .collect();
    assert!(files.len() > 100, "only {} tracked files were found", files.len());
    files
}

/// The tracked Rust files.
pub fn rust_files() -> Vec<File> {
    tracked().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}
