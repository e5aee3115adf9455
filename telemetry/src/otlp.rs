//! Whether and how records go to a collector.
//!
//! # Invariants
//!
//! - Off until an endpoint or `otlp` is named, by the program or by the environment.
//! - Headers and other options of the environment hold for an endpoint that the program sets.

use crate::environment::{Settings, Warning};
use crate::outputs::keep;
use crate::setting::Origin;
use telemetry_core::Error;
use telemetry_core::export::{Exporter, Signals};
use telemetry_core::pipeline::SinkBuilder;
use telemetry_otlp::{OtlpBuilder, OtlpExporter, OtlpSetting};

/// What its queue holds: minutes of records while a collector restarts.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The variable that asks for a collector, or for none; the first of several.
fn asked_by(variable: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let names = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_LOGS_EXPORTER",
        "OTEL_TRACES_EXPORTER",
        "OTEL_METRICS_EXPORTER",
    ];
    let is_set = |name: &&str| variable(name).is_some_and(|value| !value.trim().is_empty());
    names.into_iter().find(is_set)
}

pub(crate) struct Otlp {
    base: OtlpBuilder,
    /// Set by the program; it stands above the environment's.
    url: Option<String>,
    exporter: Option<OtlpExporter>,
    signals: Signals,
    origin: Origin,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            base: OtlpExporter::builder(),
            url: None,
            exporter: None,
            signals: Signals::NONE,
            origin: Origin::Default,
        }
    }
}

impl Otlp {
    pub(crate) fn set_exporter(&mut self, exporter: OtlpExporter) {
        self.signals = exporter.signals();
        self.exporter = Some(exporter);
        self.origin = Origin::Program;
    }

    pub(crate) fn set_url(&mut self, url: String) {
        self.url = Some(url);
        self.exporter = None;
        self.signals = Signals::ALL;
        self.origin = Origin::Program;
    }

    /// Takes over what the environment says.
    pub(crate) fn read(
        &mut self,
        settings: &Settings,
        variable: &dyn Fn(&str) -> Option<String>,
        warnings: &mut Vec<Warning>,
    ) {
        let (base, errors) = OtlpBuilder::from_variables(variable);
        let unusable = base.refused();
        self.base = base;
        warnings.extend(errors.into_iter().map(|error| ("OTEL_EXPORTER_OTLP_*", error)));
        let endpoints = settings.endpoints.0.without(unusable);
        let before = self.signals;
        self.signals = settings.exporters.otlp(before | endpoints);
        if endpoints != Signals::NONE {
            (self.url, self.exporter) = (None, None);
        }
        // A peer that nobody named must not get what was meant for another one.
        if self.url.is_none() && self.exporter.is_none() {
            self.signals = self.signals.without(unusable);
        }
        // What the program made has its own signals; they can only be taken away together.
        if let Some(exporter) = &self.exporter
            && self.signals != Signals::NONE
        {
            self.signals = exporter.signals();
        }
        if endpoints != Signals::NONE || before == Signals::NONE {
            self.origin = asked_by(variable).map_or(self.origin, Origin::Variable);
        }
    }

    /// The signals that go to a collector, and who said so.
    pub(crate) fn destination(&self) -> (Signals, Origin) {
        (self.signals, self.origin)
    }

    /// How they go there: setting, value, origin.
    pub(crate) fn settings(&self) -> Vec<(String, String, Origin)> {
        let Self { base, url, exporter, signals: _, origin: _ } = self;
        let (settings, usual) = match (exporter, url) {
            (Some(exporter), _) => (exporter.settings(), Origin::Program),
            (None, Some(url)) => (base.clone().endpoint(url.as_str()).settings(), Origin::Default),
            (None, None) => (base.settings(), Origin::Default),
        };
        let of = |setting: OtlpSetting| {
            let is_programs = url.is_some() && setting.name == "endpoint";
            let origin = setting.variable.filter(|_| !is_programs).map(Origin::Variable);
            let origin = origin.unwrap_or(if is_programs { Origin::Program } else { usual });
            (format!("otlp.{}", setting.name), setting.value, origin)
        };
        settings.into_iter().map(of).collect()
    }

    /// The exporter as a sink, if records are to go to a collector.
    pub(crate) fn sink(self, warnings: &mut Vec<Warning>) -> Result<Option<SinkBuilder>, Error> {
        if self.signals == Signals::NONE {
            return Ok(None);
        }
        let made = match self.exporter {
            Some(exporter) => Ok(exporter),
            None => {
                let builder = match self.url {
                    Some(url) => self.base.endpoint(url),
                    None => self.base,
                };
                builder.signals(self.signals).build()
            }
        };
        let exporter = keep(made, self.origin, warnings)?;
        Ok(exporter.map(|exporter| SinkBuilder::new(exporter).queue_bytes(QUEUE_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment;

    fn signals(variables: &[(&str, &str)]) -> Signals {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let (settings, _) = environment::read(&variable);
        let mut otlp = Otlp::default();
        otlp.read(&settings, &variable, &mut Vec::new());
        otlp.signals
    }

    #[test]
    fn an_endpoint_that_cannot_be_used_turns_its_signals_off() {
        const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const LOGS: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
        for bad in ["ftp://x", "localhost:4318", "http://x:99999", "http://"] {
            assert_eq!(signals(&[(BASE, bad)]), Signals::NONE, "{bad}");
            assert_eq!(signals(&[(BASE, bad), ("OTEL_LOGS_EXPORTER", "otlp")]), Signals::NONE);
            assert_eq!(signals(&[(BASE, bad), (LOGS, "http://x/logs")]), Signals::LOGS);
            let others = Signals::SPANS | Signals::METRICS;
            assert_eq!(signals(&[(BASE, "http://x"), (LOGS, bad)]), others);
        }
        assert_eq!(signals(&[(BASE, "http://x")]), Signals::ALL);
        assert_eq!(signals(&[("OTEL_LOGS_EXPORTER", "otlp")]), Signals::LOGS);
    }
}
