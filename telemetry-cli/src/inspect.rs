//! `telemetry inspect`: what is a running process doing?

use crate::process::{Process, mistake};
use crate::{Answer, print};
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;
use std::time::Duration;
use telemetry_toolkit::client;

/// How often a watched process is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Home, and nothing below it.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The number of the process, or the path of its socket; without it, the processes that can be
    /// inspected are listed.
    #[arg(value_name = "PID|PATH")]
    process: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    /// Look again every second, until the process is gone.
    #[arg(long, requires = "process")]
    watch: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Answer {
    let Some(process) = arguments.process.as_deref() else { return list(arguments.json) };
    let process = Process::from(process);
    let request = if arguments.json { "snapshot json" } else { "snapshot text" };
    match process.ask(request) {
        Ok(answer) if arguments.watch => watch(&process, request, &answer),
        Ok(answer) => Answer::good(answer),
        Err(error) => Answer::mistake(mistake(&error)),
    }
}

fn list(json: bool) -> Answer {
    let found = client::list();
    if json {
        let one = |found: &client::Process| {
            let client::Process { id, name, socket, .. } = found;
            json!({ "pid": id, "name": name, "socket": socket })
        };
        let all: Vec<_> = found.iter().map(one).collect();
        return Answer::good(format!("{}\n", json!(all)));
    }
    if found.is_empty() {
        let errors = "no process of this user can be inspected: start one with \
                      `TELEMETRY_INSPECT=auto`\n";
        return Answer { errors: errors.to_owned(), ..Answer::good(String::new()) };
    }
    let line = |process: &client::Process| {
        format!("{:>8}  {:<16}  {}\n", process.id, process.name, process.socket.display())
    };
    let head = format!("{:>8}  {:<16}  {}\n", "PID", "NAME", "SOCKET");
    Answer::good(head + &found.iter().map(line).collect::<String>())
}

/// Looks again and again; what was the last to be seen stays on the screen.
fn watch(process: &Process, request: &str, first: &str) -> Answer {
    let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    let mut answer = first.to_owned();
    loop {
        if print(&format!("{clear}{answer}")).is_err() {
            return Answer { status: 1, ..Answer::good(String::new()) };
        }
        std::thread::sleep(PERIOD);
        match process.ask(request) {
            Ok(next) => answer = next,
            Err(error) => {
                return Answer { errors: mistake(&error), ..Answer::good(String::new()) };
            }
        }
    }
}
