//! `telemetry filter set`: another filter for a running process.

use crate::Answer;
use crate::process::{Process, mistake};
use clap::Args;
use std::time::Duration;
use telemetry_toolkit::filter::Filter;

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The number of the process, or the path of its socket.
    #[arg(value_name = "PID|PATH")]
    process: String,
    /// The filter, as in `RUST_LOG`; of all exporters that have none of their own.
    filter: String,
    /// Put the filter's directives behind those of all exporters, and take them away after a while:
    /// `30s`, `5m`, `2h`, at most `7d`.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    life: Option<Duration>,
}

pub(super) fn run(arguments: &Set) -> Answer {
    let filter = match Filter::parse(&arguments.filter) {
        Ok(filter) => filter,
        // Here, the spot can be shown.
        Err(error) => return Answer::mistake(error.render()),
    };
    if Filter::is_blank(&arguments.filter) {
        let text = "error: the filter is empty: write `off` to let nothing through\n";
        return Answer::mistake(text.to_owned());
    }
    if arguments.filter.contains('\n') {
        return Answer::mistake("error: the filter has more than one line\n".to_owned());
    }
    let order = match arguments.life {
        None => "set".to_owned(),
        Some(life) => format!("add {}", life.as_millis()),
    };
    let request = format!("filter {order} {}", arguments.filter);
    match Process::from(arguments.process.as_str()).ask(&request) {
        Ok(output) => Answer { errors: super::remarks(&filter), ..Answer::good(output) },
        Err(error) => Answer::mistake(mistake(&error)),
    }
}

/// Reads a number with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let right = "a number and `ms`, `s`, `m`, `h` or `d`: `5m`";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| right)?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(60 * 60),
        "d" => Duration::from_secs(24 * 60 * 60),
        _ => return Err(right.to_owned()),
    };
    Ok(unit * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_a_unit() {
        for (text, seconds) in [("500ms", 0.5), ("90s", 90.0), ("5m", 300.0), ("2h", 7_200.0)] {
            assert_eq!(time(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        assert_eq!(time("4294967295d").unwrap().as_secs(), 4_294_967_295 * 86_400);
        for text in ["", "5", "m", "5 m", "-5m", "5.5m", "4294967296s", "5\u{b5}s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
