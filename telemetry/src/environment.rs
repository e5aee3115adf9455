//! What the environment says, read once, through one function.
//!
//! # Invariants
//!
//! - An empty value is an unset one. What cannot be understood is a warning, never a silence, and
//!   counts as unset (OpenTelemetry, "Environment Variable Specification").
//! - Nothing here acts: the result is plain data that the builder takes over.

use crate::attributes;
use crate::sampler::HeadSampler;
use std::path::PathBuf;
use std::time::Duration;
use telemetry_core::context::Propagators;
use telemetry_core::export::Signals;
use telemetry_core::filter::Filter;
use telemetry_core::metric::Buckets;
use telemetry_core::pipeline::RateLimit;
use telemetry_core::{Error, Level};

/// The variable for the buckets of histograms that no pattern names.
pub(crate) const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";

/// A variable that cannot be used, and why.
pub(crate) type Warning = (&'static str, Error);

/// What the environment says; `None` = nothing.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) disabled: bool,
    pub(crate) strict: bool,
    pub(crate) filter: Option<Filter>,
    pub(crate) filter_file: Option<PathBuf>,
    /// A path, `auto` or `off`.
    pub(crate) inspect: Option<PathBuf>,
    pub(crate) console: Option<Console>,
    pub(crate) json_file: Option<PathBuf>,
    pub(crate) write_through: Option<bool>,
    /// Names of fields to redact.
    pub(crate) redact: Vec<String>,
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) service_name: Option<String>,
    /// `Some(None)` = off.
    pub(crate) rate_limit: Option<Option<RateLimit>>,
    pub(crate) metric_interval: Option<Duration>,
    /// Those of histograms that no pattern names; `Some(None)` = as suits the unit.
    pub(crate) default_buckets: Option<Option<Buckets>>,
    /// `Some(None)` = nothing goes to standard error.
    pub(crate) diagnostics: Option<Option<Level>>,
    pub(crate) sampler: Option<HeadSampler>,
    pub(crate) propagators: Option<Propagators>,
    pub(crate) exporters: Exporters,
    /// The signals that an OTLP endpoint is set for.
    pub(crate) endpoints: Endpoints,
}

/// What the console shows, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Console {
    pub(crate) format: Format,
    /// `None` = where the format usually goes.
    pub(crate) stream: Option<Stream>,
}

/// How the console shows a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    #[default]
    Auto,
    Off,
    Pretty,
    Compact,
    Json,
    Logfmt,
}

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Where one signal goes, if the environment says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Destinations {
    pub(crate) otlp: bool,
    pub(crate) console: bool,
}

/// `OTEL_{LOGS,TRACES,METRICS}_EXPORTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Exporters {
    pub(crate) logs: Option<Destinations>,
    pub(crate) spans: Option<Destinations>,
    pub(crate) metrics: Option<Destinations>,
}

impl Exporters {
    /// The signals that go to OTLP: what is said for a signal, else whether it had been on.
    pub(crate) fn otlp(&self, before: Signals) -> Signals {
        let all = [
            (Signals::LOGS, self.logs),
            (Signals::SPANS, self.spans),
            (Signals::METRICS, self.metrics),
        ];
        all.into_iter().fold(Signals::NONE, |signals, (signal, said)| {
            let on = said.map_or(before.contains(signal), |said| said.otlp);
            if on { signals | signal } else { signals }
        })
    }
}

/// For which signals the environment has an OTLP endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoints(pub(crate) Signals);

impl Default for Endpoints {
    fn default() -> Self {
        Self(Signals::NONE)
    }
}

/// Reads everything that concerns the facade; `OTEL_EXPORTER_OTLP_*` is the exporter's.
pub(crate) fn read(variable: &dyn Fn(&str) -> Option<String>) -> (Settings, Vec<Warning>) {
    let mut reader = Reader { variable, warnings: Vec::new() };
    let settings = Settings {
        disabled: reader.parsed("OTEL_SDK_DISABLED", otel_boolean).unwrap_or(false),
        strict: reader.parsed("TELEMETRY_STRICT", own_boolean).unwrap_or(false),
        filter: reader.parsed("RUST_LOG", |_, text| text.parse()),
        filter_file: reader.text("TELEMETRY_FILTER_FILE").map(PathBuf::from),
        inspect: reader.text("TELEMETRY_INSPECT").map(PathBuf::from),
        console: reader.parsed("TELEMETRY_CONSOLE", console),
        json_file: reader.text("TELEMETRY_JSON_FILE").map(PathBuf::from),
        write_through: reader.parsed("TELEMETRY_WRITE_THROUGH", own_boolean),
        redact: reader.text("TELEMETRY_REDACT").map(|text| names(&text)).unwrap_or_default(),
        resource: reader
            .parsed(attributes::VARIABLE, |_, text| attributes::parse(text))
            .unwrap_or_default(),
        service_name: reader.text("OTEL_SERVICE_NAME"),
        rate_limit: reader.parsed("TELEMETRY_RATE_LIMIT", rate_limit),
        metric_interval: reader.parsed("OTEL_METRIC_EXPORT_INTERVAL", interval),
        default_buckets: reader.parsed(AGGREGATION, aggregation),
        diagnostics: reader.parsed("OTEL_LOG_LEVEL", diagnostics),
        sampler: reader.sampler(),
        propagators: reader.propagators(),
        exporters: Exporters {
            logs: reader.parsed("OTEL_LOGS_EXPORTER", destinations),
            spans: reader.parsed("OTEL_TRACES_EXPORTER", destinations),
            metrics: reader.parsed("OTEL_METRICS_EXPORTER", destinations),
        },
        endpoints: reader.endpoints(),
    };
    (settings, reader.warnings)
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|text| !text.trim().is_empty())
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str, &str) -> Result<T, Error>,
    ) -> Option<T> {
        match parse(name, self.text(name)?.trim()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.warnings.push((name, error.of_setting(name)));
                None
            }
        }
    }

    fn endpoints(&self) -> Endpoints {
        let is_set = |name| self.text(name).is_some();
        if is_set("OTEL_EXPORTER_OTLP_ENDPOINT") {
            return Endpoints(Signals::ALL);
        }
        let of_signals = [
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", Signals::LOGS),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Signals::SPANS),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", Signals::METRICS),
        ];
        let set = of_signals.into_iter().filter(|(name, _)| is_set(name));
        Endpoints(set.fold(Signals::NONE, |signals, (_, signal)| signals | signal))
    }

    /// What is known counts, also beside names that are not.
    fn propagators(&mut self) -> Option<Propagators> {
        const NAME: &str = "OTEL_PROPAGATORS";
        let text = self.text(NAME)?;
        let (known, unknown) = Propagators::from_names(&text);
        for name in &unknown {
            let error = Error::setting(NAME, name, "`tracecontext`, `baggage` or `none`");
            self.warnings.push((NAME, error));
        }
        (known != Propagators::NONE || unknown.is_empty()).then_some(known)
    }

    fn sampler(&mut self) -> Option<HeadSampler> {
        let (kind, parents) = self.parsed("OTEL_TRACES_SAMPLER", sampler)?;
        let sampler = match kind {
            SamplerKind::On => HeadSampler::always_on(),
            SamplerKind::Off => HeadSampler::always_off(),
            // Without a ratio that can be used it is 1.
            SamplerKind::Ratio => {
                self.parsed("OTEL_TRACES_SAMPLER_ARG", ratio).unwrap_or(HeadSampler::always_on())
            }
        };
        Some(match parents {
            SamplerParents::Ignored => sampler,
            SamplerParents::Believed => sampler.parent_based(),
        })
    }
}

/// What is no name is found when it is used.
fn names(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Only `true` is true; what is neither `true` nor `false` is a warning.
fn otel_boolean(name: &str, text: &str) -> Result<bool, Error> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(Error::setting(name, text, "`true` or `false`"))
    }
}

fn own_boolean(name: &str, text: &str) -> Result<bool, Error> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => otel_boolean(name, text).map_err(|_| Error::setting(name, text, "`1` or `0`")),
    }
}

fn console(name: &str, text: &str) -> Result<Console, Error> {
    let (format, stream) = match text.split_once('@') {
        Some((format, stream)) => (format, Some(stream)),
        None => (text, None),
    };
    let wrong = || {
        let right = "`auto`, `off`, `pretty`, `compact`, `json` or `logfmt`, and `@stdout` or \
                     `@stderr` behind it";
        Error::setting(name, text, right)
    };
    let format = match format.trim().to_ascii_lowercase().as_str() {
        "auto" => Format::Auto,
        "off" | "none" => Format::Off,
        "pretty" => Format::Pretty,
        "compact" => Format::Compact,
        "json" => Format::Json,
        "logfmt" => Format::Logfmt,
        _ => return Err(wrong()),
    };
    let stream = match stream.map(|stream| stream.trim().to_ascii_lowercase()).as_deref() {
        None => None,
        Some("stdout") => Some(Stream::Stdout),
        Some("stderr") => Some(Stream::Stderr),
        Some(_) => return Err(wrong()),
    };
    Ok(Console { format, stream })
}

fn rate_limit(_: &str, text: &str) -> Result<Option<RateLimit>, Error> {
    match text {
        "off" | "none" => Ok(None),
        _ => text.parse().map(Some),
    }
}

fn interval(name: &str, text: &str) -> Result<Duration, Error> {
    let wrong = || Error::setting(name, text, "milliseconds, from 10 to 2147483647");
    let ms: u32 = text.parse().map_err(|_| wrong())?;
    if !(10..=i32::MAX as u32).contains(&ms) {
        return Err(wrong());
    }
    Ok(Duration::from_millis(ms.into()))
}

/// `None` = explicit ones, as suits the unit.
fn aggregation(name: &str, text: &str) -> Result<Option<Buckets>, Error> {
    match text.to_ascii_lowercase().as_str() {
        "explicit_bucket_histogram" => Ok(None),
        "base2_exponential_bucket_histogram" => Ok(Some(Buckets::exponential())),
        _ => {
            let right = "`explicit_bucket_histogram` or `base2_exponential_bucket_histogram`";
            Err(Error::setting(name, text, right))
        }
    }
}

fn diagnostics(name: &str, text: &str) -> Result<Option<Level>, Error> {
    if text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let right = "one of none, error, warn, info, debug, trace";
    text.parse().map(Some).map_err(|_| Error::setting(name, text, right))
}

fn destinations(name: &str, text: &str) -> Result<Destinations, Error> {
    let mut found = Destinations::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.to_ascii_lowercase().as_str() {
            "otlp" => found.otlp = true,
            "console" => found.console = true,
            "none" => {}
            _ => return Err(Error::setting(name, text, "`otlp`, `console` or `none`")),
        }
    }
    Ok(found)
}

enum SamplerKind {
    On,
    Off,
    Ratio,
}

enum SamplerParents {
    Ignored,
    Believed,
}

fn sampler(name: &str, text: &str) -> Result<(SamplerKind, SamplerParents), Error> {
    let lower = text.to_ascii_lowercase();
    let (kind, parents) = match lower.strip_prefix("parentbased_") {
        Some(kind) => (kind, SamplerParents::Believed),
        None => (&*lower, SamplerParents::Ignored),
    };
    let kind = match kind {
        "always_on" => SamplerKind::On,
        "always_off" => SamplerKind::Off,
        "traceidratio" => SamplerKind::Ratio,
        _ => {
            let right = "`always_on`, `always_off` or `traceidratio`, also with `parentbased_`";
            return Err(Error::setting(name, text, right));
        }
    };
    Ok((kind, parents))
}

fn ratio(name: &str, text: &str) -> Result<HeadSampler, Error> {
    let sampler = text.parse().ok().and_then(|ratio| HeadSampler::trace_id_ratio(ratio).ok());
    sampler.ok_or_else(|| Error::setting(name, text, "a number from 0 to 1"))
}

#[cfg(test)]
mod tests;
