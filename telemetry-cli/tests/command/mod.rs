//! The command, run to its end.

use std::process::{Command, Output};

/// Its exit code, standard output and standard error.
pub(crate) fn telemetry(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_telemetry")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
