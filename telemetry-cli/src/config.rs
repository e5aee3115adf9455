//! `telemetry config`: which settings are in effect, and who said so?

use crate::Answer;
#[cfg(unix)]
use crate::process::{Process, mistake};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the settings of a running process, or those that a program has under this environment
    /// which says nothing itself.
    Show {
        /// The number of the process, or the path of its inspect socket.
        #[cfg(unix)]
        #[arg(value_name = "PID|PATH")]
        process: Option<String>,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &Command) -> Answer {
    match command {
        #[cfg(unix)]
        Command::Show { process: Some(process), json } => {
            let request = if *json { "config json" } else { "config text" };
            match Process::from(process.as_str()).ask(request) {
                Ok(answer) => Answer::good(answer),
                Err(error) => Answer::mistake(mistake(&error)),
            }
        }
        Command::Show { json, .. } => here(*json),
    }
}

fn here(json: bool) -> Answer {
    let config = telemetry_toolkit::builder().from_env().config();
    let output = if json { config.to_json() + "\n" } else { config.to_string() };
    let warnings = config.warnings().iter().map(|warning| format!("warning: {warning}\n"));
    Answer { errors: warnings.collect(), ..Answer::good(output) }
}
