//! Which exporters there are: what was asked for, else what suits where the output goes.
//!
//! # Invariants
//!
//! - What the program asked for and cannot be had is an error; what the environment asked for is
//!   left out, with a warning.
//! - A queue holds 8 MiB; that of OTLP 64 MiB, because a network is away for longer than a disk.

use crate::environment::{Console, Format, Stream, Warning};
use std::path::PathBuf;
use std::time::Duration;
use telemetry_core::Error;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::SinkBuilder;

/// Who asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    #[cfg_attr(
        not(any(feature = "json", feature = "otlp-http")),
        expect(dead_code, reason = "only the program asks, through methods of the feature")
    )]
    Program,
    Environment,
}

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
    File(PathBuf, Origin),
    #[cfg_attr(
        not(feature = "json"),
        expect(dead_code, reason = "only the program asks, through methods of the feature")
    )]
    Exporter(SinkBuilder),
}

/// What all exporters of the facade share.
pub(crate) struct Common<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) metric_interval: Duration,
}

impl Common<'_> {
    pub(crate) fn sink(&self, sink: SinkBuilder, filter: Option<Filter>) -> SinkBuilder {
        sink.filter(filter.unwrap_or_else(|| self.filter.clone()))
            .metric_interval(self.metric_interval)
    }
}

/// The console's choice after looking at where its output goes; `None` = no console.
///
/// Without the feature of a format the other one stands in.
pub(crate) fn choose(console: Console, is_terminal: bool) -> Option<(Format, Stream)> {
    let wanted = match console.format {
        Format::Auto if is_terminal => Format::Compact,
        Format::Auto => Format::Json,
        format => format,
    };
    let format = match wanted {
        Format::Off => return None,
        Format::Compact if cfg!(feature = "console") => Format::Compact,
        Format::Json if cfg!(feature = "json") => Format::Json,
        _ if cfg!(feature = "console") => Format::Compact,
        _ if cfg!(feature = "json") => Format::Json,
        _ => return None,
    };
    let usual = if wanted == Format::Compact { Stream::Stderr } else { Stream::Stdout };
    Some((format, console.stream.unwrap_or(usual)))
}

/// Are finished spans and metrics shown? JSON lines have them, lines for people do not, unless
/// the environment lists `console` for them or something else.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    pub(crate) spans: Option<bool>,
    pub(crate) metrics: Option<bool>,
}

/// Keeps what can be had; what cannot is the program's error or the environment's warning.
pub(crate) fn keep<T>(
    made: Result<T, Error>,
    origin: Origin,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
) -> Result<Option<T>, Error> {
    match (made, origin) {
        (Ok(made), _) => Ok(Some(made)),
        (Err(error), Origin::Program) => Err(error),
        (Err(error), Origin::Environment) => {
            warnings.push((variable, error));
            Ok(None)
        }
    }
}

#[cfg(feature = "console")]
pub(crate) fn compact(stream: Stream, shown: Shown) -> Result<SinkBuilder, Error> {
    let builder = telemetry_console::ConsoleExporter::builder()
        .spans(shown.spans.unwrap_or(false))
        .metrics(shown.metrics.unwrap_or(false));
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
    is_terminal: impl Fn(Stream) -> bool,
) -> Result<Option<SinkBuilder>, Error> {
    let console = match output {
        ConsoleOutput::Standard(console) => console,
        ConsoleOutput::Exporter(sink) => return Ok(Some(sink)),
    };
    let watched = console.stream.unwrap_or(Stream::Stderr);
    match choose(console, is_terminal(watched)) {
        #[cfg(feature = "console")]
        Some((Format::Compact, stream)) => compact(stream, shown).map(Some),
        #[cfg(feature = "json")]
        Some((Format::Json, stream)) => json_console(stream, shown).map(Some),
        _ => {
            let _ = shown;
            Ok(None)
        }
    }
}

/// The JSON lines beside the console as a sink, if there are any.
pub(crate) fn json(
    output: JsonOutput,
    warnings: &mut Vec<Warning>,
) -> Result<Option<SinkBuilder>, Error> {
    match output {
        JsonOutput::Off => Ok(None),
        JsonOutput::Exporter(sink) => Ok(Some(sink)),
        #[cfg(feature = "json")]
        JsonOutput::File(path, origin) => {
            let made = telemetry_json::JsonExporter::builder().file(path).build();
            Ok(keep(made, origin, "TELEMETRY_JSON_FILE", warnings)?.map(SinkBuilder::new))
        }
        #[cfg(not(feature = "json"))]
        JsonOutput::File(path, origin) => {
            let made = Err(Error::setting(
                "json file",
                path.display(),
                "unset: the feature `json` is off",
            ));
            keep(made, origin, "TELEMETRY_JSON_FILE", warnings)
        }
    }
}

#[cfg(all(test, feature = "console", feature = "json"))]
mod tests {
    use super::*;

    #[test]
    fn console_suits_where_its_output_goes() {
        use Format::{Auto, Compact, Json, Off};
        use Stream::{Stderr, Stdout};
        let table = [
            (Auto, None, true, Some((Compact, Stderr))),
            (Auto, None, false, Some((Json, Stdout))),
            (Auto, Some(Stdout), true, Some((Compact, Stdout))),
            (Auto, Some(Stderr), false, Some((Json, Stderr))),
            (Compact, None, false, Some((Compact, Stderr))),
            (Json, None, true, Some((Json, Stdout))),
            (Json, Some(Stderr), true, Some((Json, Stderr))),
            (Off, None, true, None),
        ];
        for (format, stream, is_terminal, expected) in table {
            let console = Console { format, stream };
            assert_eq!(choose(console, is_terminal), expected, "{console:?} {is_terminal}");
        }
    }

    #[test]
    fn what_the_environment_asked_for_is_left_out_with_a_warning() {
        let missing = || JsonOutput::File("/no/such/directory/x".into(), Origin::Environment);
        let mut warnings = Vec::new();
        assert!(json(missing(), &mut warnings).unwrap().is_none());
        assert_eq!(warnings[0].0, "TELEMETRY_JSON_FILE");
        let missing = JsonOutput::File("/no/such/directory/x".into(), Origin::Program);
        assert!(json(missing, &mut warnings).is_err());
    }
}
