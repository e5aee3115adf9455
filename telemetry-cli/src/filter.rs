//! `telemetry filter`: is a filter right, what does it do with an event, and which one has a process?

#[cfg(unix)]
mod set;

use crate::Answer;
use clap::{Args, Subcommand};
use serde_json::json;
use telemetry_toolkit::Level;
use telemetry_toolkit::filter::{FieldValue, Filter, Record, SpanRecord};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether a filter is right: exit status 0, or 2 with the mistake.
    Check {
        /// The filter, as in `RUST_LOG`.
        filter: String,
    },
    /// Say what a filter does with an event, and which directive decides.
    Explain(Explain),
    /// Give a running process another filter, for good or for a while.
    #[cfg(unix)]
    Set(set::Set),
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The filter, as in `RUST_LOG`.
    #[arg(long)]
    filter: String,
    /// The event's target.
    #[arg(long)]
    target: String,
    /// The event's level.
    #[arg(long)]
    level: String,
    /// A field of the event.
    #[arg(long = "field", value_name = "KEY=VALUE")]
    fields: Vec<String>,
    /// A span around the event, outermost first; its target is the event's.
    #[arg(long = "span", value_name = "NAME[:KEY=VALUE,…]")]
    spans: Vec<String>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

type Fields<'a> = Vec<(&'a str, FieldValue<'a>)>;

pub(crate) fn run(command: &Command) -> Answer {
    match command {
        Command::Check { filter } => check(filter),
        Command::Explain(arguments) => match explain(arguments) {
            Ok(answer) => Answer::good(answer),
            Err(mistake) => Answer::mistake(mistake),
        },
        #[cfg(unix)]
        Command::Set(arguments) => set::run(arguments),
    }
}

fn check(text: &str) -> Answer {
    match Filter::parse(text) {
        Ok(filter) => Answer { errors: remarks(&filter), ..Answer::good(format!("{filter}\n")) },
        Err(error) => Answer::mistake(error.render()),
    }
}

/// The [`notes`], a line each.
fn remarks(filter: &Filter) -> String {
    notes(filter).into_iter().map(|note| format!("note: {note}\n")).collect()
}

/// The directives that can never decide.
fn notes(filter: &Filter) -> Vec<String> {
    let never = filter.never().into_iter();
    never.map(|(directive, reason)| format!("`{directive}` never decides: {reason}")).collect()
}

fn explain(arguments: &Explain) -> Result<String, String> {
    let filter = Filter::parse(&arguments.filter).map_err(|error| error.render())?;
    let level: Level = arguments.level.parse().map_err(|error| format!("error: {error}\n"))?;
    let fields = fields(arguments.fields.iter().map(String::as_str))?;
    let mut around = Vec::new();
    for span in &arguments.spans {
        let (name, list) = span.split_once(':').unwrap_or((span, ""));
        let parts = list.split(',').filter(|part| !part.is_empty());
        around.push((name, self::fields(parts)?));
    }
    let spans: Vec<_> =
        around.iter().map(|(name, fields)| SpanRecord { name, target: None, fields }).collect();
    let record = Record { target: &arguments.target, level, fields: &fields, spans: &spans };
    let explanation = filter.explain(&record);
    let notes = notes(&filter);
    if arguments.json {
        let answer = json!({
            "enabled": explanation.enabled,
            "directive": explanation.directive.map(ToString::to_string),
            "span": explanation.span,
            "notes": notes,
        });
        return Ok(format!("{answer}\n"));
    }
    Ok(format!("{explanation}\n{}", remarks(&filter)))
}

fn fields<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Fields<'a>, String> {
    texts
        .map(|text| {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| format!("error: `{text}` is not a field: write `key=value`\n"))?;
            Ok((name, FieldValue::from_text(value)))
        })
        .collect()
}
