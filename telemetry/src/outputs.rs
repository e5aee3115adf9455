//! Which exporters there are: what was asked for, else what suits where the output goes.
//!
//! # Invariants
//!
//! - What the program asked for and cannot be had is an error; what the environment asked for is
//!   left out, with a warning.
//! - A queue holds 8 MiB; that of OTLP 64 MiB, because a network is away for longer than a disk.

use crate::connection::Connection;
use crate::environment::{Console, Format, Stream, Warning};
use crate::setting::{Origin, Setting};
use std::path::PathBuf;
use std::time::Duration;
#[cfg(feature = "console")]
use telemetry_console::Style;
use telemetry_core::Error;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::SinkBuilder;

/// The console that is asked for.
pub(crate) enum ConsoleOutput {
    /// One that suits, or that the environment describes.
    Standard(Console),
    /// One that the program made.
    #[cfg_attr(
        not(feature = "console"),
        expect(dead_code, reason = "only the program asks, through methods of the feature")
    )]
    Exporter(SinkBuilder),
}

/// The JSON lines that are asked for, beside those of the console.
pub(crate) enum JsonOutput {
    Off,
    File(PathBuf),
    #[cfg_attr(
        not(feature = "json"),
        expect(dead_code, reason = "only the program asks, through methods of the feature")
    )]
    Exporter(SinkBuilder),
}

/// Gives an exporter of the facade its own filter, if it has one, and the metric interval of all.
pub(crate) fn sink(sink: SinkBuilder, filter: Option<Filter>, interval: Duration) -> SinkBuilder {
    let sink = sink.metric_interval(interval);
    match filter {
        Some(filter) => sink.filter(filter),
        None => sink,
    }
}

/// What the console writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Pretty,
    Compact,
    Logfmt,
    Journald,
    Json,
}

impl Layout {
    /// Itself, or what stands in without its feature; `None` if nothing does.
    fn or_available(self) -> Option<Self> {
        match self {
            Self::Json if cfg!(feature = "json") => Some(self),
            Self::Json if cfg!(feature = "console") => Some(Self::Compact),
            Self::Json => None,
            _ if cfg!(feature = "console") => Some(self),
            _ if cfg!(feature = "json") => Some(Self::Json),
            _ => None,
        }
    }

    /// Where it goes unless told otherwise: what is for programs goes to standard output.
    fn usual(self) -> Stream {
        match self {
            Self::Json | Self::Logfmt => Stream::Stdout,
            Self::Pretty | Self::Compact | Self::Journald => Stream::Stderr,
        }
    }
}

/// The console's choice after looking at what its stream is connected to; `None` = no console.
pub(crate) fn choose(
    console: Console,
    connection: impl Fn(Stream) -> Connection,
) -> Option<(Layout, Stream)> {
    let wanted = match console.format {
        Format::Off => return None,
        Format::Auto => match connection(console.stream.unwrap_or(Stream::Stderr)) {
            Connection::Terminal => Layout::Pretty,
            Connection::Journal => Layout::Journald,
            Connection::Other => Layout::Json,
        },
        Format::Pretty => Layout::Pretty,
        Format::Compact => Layout::Compact,
        Format::Logfmt => Layout::Logfmt,
        Format::Json => Layout::Json,
    };
    Some((wanted.or_available()?, console.stream.unwrap_or(wanted.usual())))
}

/// Are finished spans and metrics shown? `None` = as the format has it: JSON lines have them, lines
/// for people do not, unless the environment lists `console` for them or something else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) spans: Setting<Option<bool>>,
    pub(crate) metrics: Setting<Option<bool>>,
    /// Is the poller's reading told, a line a poll? JSON lines have it among the metrics.
    pub(crate) polls: Setting<bool>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { spans: Setting::new(None), metrics: Setting::new(None), polls: Setting::new(false) }
    }
}

/// Keeps what can be had; what cannot is the program's error or the environment's warning.
pub(crate) fn keep<T>(
    made: Result<T, Error>,
    origin: Origin,
    warnings: &mut Vec<Warning>,
) -> Result<Option<T>, Error> {
    match (made, origin) {
        (Ok(made), _) => Ok(Some(made)),
        (Err(error), Origin::Variable(variable)) => {
            warnings.push((variable, error.said_by(variable)));
            Ok(None)
        }
        (Err(error), _) => Err(error),
    }
}

#[cfg(feature = "console")]
pub(crate) fn lines(style: Style, stream: Stream, shown: Shown) -> Result<SinkBuilder, Error> {
    let builder = telemetry_console::ConsoleExporter::builder()
        .style(style)
        .spans(shown.spans.unwrap_or(false))
        .metrics(shown.metrics.unwrap_or(false))
        .polls(*shown.polls);
    let builder = match stream {
        Stream::Stdout => builder.stdout(),
        Stream::Stderr => builder.stderr(),
    };
    Ok(SinkBuilder::new(builder.build()?))
}

#[cfg(feature = "json")]
pub(crate) fn json_console(stream: Stream, shown: Shown) -> Result<SinkBuilder, Error> {
    let builder = telemetry_json::JsonExporter::builder()
        .name("console")
        .spans(shown.spans.unwrap_or(true))
        .metrics(shown.metrics.unwrap_or(true));
    let builder = match stream {
        Stream::Stdout => builder.stdout(),
        Stream::Stderr => builder.stderr(),
    };
    Ok(SinkBuilder::new(builder.build()?))
}

/// The console as a sink, if there is one.
pub(crate) fn console(
    output: ConsoleOutput,
    shown: Shown,
    connection: impl Fn(Stream) -> Connection,
) -> Result<Option<SinkBuilder>, Error> {
    let console = match output {
        ConsoleOutput::Standard(console) => console,
        ConsoleOutput::Exporter(sink) => return Ok(Some(sink)),
    };
    let Some((layout, stream)) = choose(console, connection) else { return Ok(None) };
    match layout {
        #[cfg(feature = "console")]
        Layout::Pretty => lines(Style::Pretty, stream, shown).map(Some),
        #[cfg(feature = "console")]
        Layout::Compact => lines(Style::Compact, stream, shown).map(Some),
        #[cfg(feature = "console")]
        Layout::Logfmt => lines(Style::Logfmt, stream, shown).map(Some),
        #[cfg(feature = "console")]
        Layout::Journald => lines(Style::Journald, stream, shown).map(Some),
        #[cfg(feature = "json")]
        Layout::Json => json_console(stream, shown).map(Some),
        #[cfg(not(all(feature = "console", feature = "json")))]
        _ => {
            let _ = (stream, shown);
            Ok(None)
        }
    }
}

/// The JSON lines beside the console as a sink, if there are any.
pub(crate) fn json(
    output: Setting<JsonOutput>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<SinkBuilder>, Error> {
    let origin = output.origin();
    match output.into_value() {
        JsonOutput::Off => Ok(None),
        JsonOutput::Exporter(sink) => Ok(Some(sink)),
        #[cfg(feature = "json")]
        JsonOutput::File(path) => {
            let made = telemetry_json::JsonExporter::builder().file(path).build();
            Ok(keep(made, origin, warnings)?.map(SinkBuilder::new))
        }
        #[cfg(not(feature = "json"))]
        JsonOutput::File(path) => {
            let made = Err(Error::setting(
                "json file",
                path.display(),
                "unset: the feature `json` is off",
            ));
            keep(made, origin, warnings)
        }
    }
}

#[cfg(all(test, feature = "console", feature = "json"))]
mod tests {
    use super::*;

    #[test]
    fn console_suits_where_its_output_goes() {
        use Connection::{Journal, Other, Terminal};
        use Stream::{Stderr, Stdout};
        // What stdout and stderr are, and what `auto`, `auto@stdout` and `auto@stderr` become.
        type Cell = (Layout, Stream);
        const PRETTY: [Cell; 2] = [(Layout::Pretty, Stdout), (Layout::Pretty, Stderr)];
        const JOURNALD: [Cell; 2] = [(Layout::Journald, Stdout), (Layout::Journald, Stderr)];
        const JSON: [Cell; 2] = [(Layout::Json, Stdout), (Layout::Json, Stderr)];
        let table = [
            (Terminal, Terminal, PRETTY[1], PRETTY[0], PRETTY[1]),
            (Terminal, Journal, JOURNALD[1], PRETTY[0], JOURNALD[1]),
            (Terminal, Other, JSON[0], PRETTY[0], JSON[1]),
            (Journal, Terminal, PRETTY[1], JOURNALD[0], PRETTY[1]),
            (Journal, Journal, JOURNALD[1], JOURNALD[0], JOURNALD[1]),
            (Journal, Other, JSON[0], JOURNALD[0], JSON[1]),
            (Other, Terminal, PRETTY[1], JSON[0], PRETTY[1]),
            (Other, Journal, JOURNALD[1], JSON[0], JOURNALD[1]),
            (Other, Other, JSON[0], JSON[0], JSON[1]),
        ];
        for (stdout, stderr, auto, at_stdout, at_stderr) in table {
            let connection = |stream| if stream == Stdout { stdout } else { stderr };
            let cells = [(None, auto), (Some(Stdout), at_stdout), (Some(Stderr), at_stderr)];
            for (stream, expected) in cells {
                let console = Console { format: Format::Auto, stream };
                let chosen = choose(console, connection);
                assert_eq!(chosen, Some(expected), "{console:?} {stdout:?} {stderr:?}");
            }
        }
    }

    #[test]
    fn format_that_is_named_does_not_look_at_its_stream() {
        use Stream::{Stderr, Stdout};
        let table = [
            (Format::Pretty, None, Some((Layout::Pretty, Stderr))),
            (Format::Pretty, Some(Stdout), Some((Layout::Pretty, Stdout))),
            (Format::Compact, None, Some((Layout::Compact, Stderr))),
            (Format::Logfmt, None, Some((Layout::Logfmt, Stdout))),
            (Format::Logfmt, Some(Stderr), Some((Layout::Logfmt, Stderr))),
            (Format::Json, None, Some((Layout::Json, Stdout))),
            (Format::Json, Some(Stderr), Some((Layout::Json, Stderr))),
            (Format::Off, None, None),
        ];
        for (format, stream, expected) in table {
            let console = Console { format, stream };
            for connection in [Connection::Terminal, Connection::Journal, Connection::Other] {
                assert_eq!(choose(console, |_| connection), expected, "{console:?}");
            }
        }
    }

    #[test]
    fn what_the_environment_asked_for_is_left_out_with_a_warning() {
        const VARIABLE: &str = "TELEMETRY_JSON_FILE";
        let missing =
            |origin| Setting::from(JsonOutput::File("/no/such/directory/x".into()), origin);
        let mut warnings = Vec::new();
        assert!(json(missing(Origin::Variable(VARIABLE)), &mut warnings).unwrap().is_none());
        assert_eq!(warnings[0].0, VARIABLE);
        assert!(json(missing(Origin::Program), &mut warnings).is_err());
    }
}
