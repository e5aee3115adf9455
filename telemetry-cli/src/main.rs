//! `telemetry`: what an operator asks from a shell.
//!
//! # Invariants
//!
//! - Answers go to standard output, mistakes to standard error.
//! - Exit status: 0 = done, 1 = the answer could not be written, 2 = a mistake in what was asked.

#![forbid(unsafe_code)]

mod config;
mod doctor;
mod filter;
#[cfg(unix)]
mod inspect;
#[cfg(unix)]
mod process;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "telemetry", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which settings are in effect, and where they come from.
    #[command(subcommand)]
    Config(config::Command),
    /// Look for versions of facades in a lock file that telemetry does not hear.
    Doctor(doctor::Arguments),
    /// Check filters, and explain what they do.
    #[command(subcommand)]
    Filter(filter::Command),
    /// See what a running process is doing: open spans, threads, tasks, queues, exporters.
    #[cfg(unix)]
    Inspect(inspect::Arguments),
}

/// What a command has to say.
struct Answer {
    output: String,
    errors: String,
    status: u8,
}

impl Answer {
    fn good(output: String) -> Self {
        Self { output, errors: String::new(), status: 0 }
    }

    fn mistake(errors: String) -> Self {
        Self { output: String::new(), errors, status: 2 }
    }
}

/// Writes to standard output at once.
fn print(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Config(command) => config::run(&command),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Filter(command) => filter::run(&command),
        #[cfg(unix)]
        Command::Inspect(arguments) => inspect::run(&arguments),
    };
    // A reader that is gone, as in `telemetry … | head`, is no reason to panic.
    let errors = std::io::stderr().lock().write_all(answer.errors.as_bytes());
    match print(&answer.output).and(errors) {
        Ok(()) => ExitCode::from(answer.status),
        Err(_) => ExitCode::FAILURE,
    }
}
