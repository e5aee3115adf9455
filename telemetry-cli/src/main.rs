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

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Config(command) => config::run(&command),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Filter(command) => filter::run(&command),
    };
    // A reader that is gone, as in `telemetry … | head`, is no reason to panic.
    let errors = std::io::stderr().lock().write_all(answer.errors.as_bytes());
    match std::io::stdout().lock().write_all(answer.output.as_bytes()).and(errors) {
        Ok(()) => ExitCode::from(answer.status),
        Err(_) => ExitCode::FAILURE,
    }
}
