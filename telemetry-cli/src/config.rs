//! `telemetry config`: which settings are in effect, and who said so?

use crate::Answer;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the settings of a program that says nothing itself, under this environment.
    Show {
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &Command) -> Answer {
    let Command::Show { json } = command;
    let config = telemetry_toolkit::builder().from_env().config();
    let output = if *json { config.to_json() + "\n" } else { config.to_string() };
    let warnings = config.warnings().iter().map(|warning| format!("warning: {warning}\n"));
    Answer { errors: warnings.collect(), ..Answer::good(output) }
}
