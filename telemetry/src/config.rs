//! The settings in effect, each with its value and where that comes from.
//!
//! # Invariants
//!
//! - No setting can be forgotten: [`Builder::config`] takes the builder apart field by field, and
//!   a field that it does not name is an error of the compiler.
//! - Secrets are not shown: header values, what stands in URLs beside host and path, attributes
//!   that are redacted elsewhere.

use crate::builder::{Builder, Filters, Globals, Redacted};
use crate::connection;
use crate::environment::Warning;
use crate::inspect::doors::Doors;
use crate::metrics::Metrics;
use crate::outputs::{ConsoleOutput, JsonOutput, Shown, choose};
use crate::setting::{Origin, Setting};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use telemetry_core::Waits;
use telemetry_core::context::Propagators;
use telemetry_core::document::{Cell, Document, Row, Section};
#[cfg(feature = "otlp-http")]
use telemetry_core::export::Signals;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::SinkBuilder;

/// How large a rendering may be.
const BYTES_MAX: usize = 256 * 1024;

/// The settings in effect, each with its value and where that comes from: by default, from the
/// program, from a variable of the environment.
///
/// ```
/// let config = telemetry_toolkit::builder()
///     .from_variables(|name| (name == "RUST_LOG").then(|| "info,shop=debug".to_owned()))
///     .config();
/// assert_eq!(config.get("filter"), Some(("info,shop=debug", "RUST_LOG")));
/// assert_eq!(config.get("metric_interval"), Some(("60s", "default")));
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    section: Section,
    warnings: Vec<String>,
}

impl Config {
    fn new(warnings: &[Warning]) -> Self {
        Self {
            section: Section::table("settings", "Settings"),
            warnings: warnings.iter().map(|(_, error)| error.to_string()).collect(),
        }
    }

    fn add(&mut self, setting: impl Into<String>, value: impl Into<String>, origin: Origin) {
        let (setting, value): (String, String) = (setting.into(), value.into());
        let row = Row::new().with("setting", setting).with("value", value);
        self.section.push(row.with("origin", origin.to_string()));
    }

    fn show<T>(&mut self, name: &str, setting: &Setting<T>, value: impl FnOnce(&T) -> String) {
        self.add(name, value(setting), setting.origin());
    }

    /// The settings in order: name, value, origin (`default`, `program` or a variable's name).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.section.rows().iter().map(|row| {
            let text = |key| match row.get(key) {
                Some(Cell::Text(text)) => text.as_str(),
                _ => "",
            };
            (text("setting"), text("value"), text("origin"))
        })
    }

    /// Value and origin of a setting.
    pub fn get(&self, setting: &str) -> Option<(&str, &str)> {
        let found = self.iter().find(|(name, ..)| *name == setting);
        found.map(|(_, value, origin)| (value, origin))
    }

    /// What variables of the environment could not be used for, and why.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The settings as JSON, 256 KiB at most: `{"settings":[{"setting":…,"value":…,"origin":…}]}`.
    pub fn to_json(&self) -> String {
        self.document().json(BYTES_MAX)
    }

    pub(crate) fn section(&self) -> &Section {
        &self.section
    }

    fn document(&self) -> Document {
        Document::default().with(self.section.clone())
    }

    /// All on one line, for a record.
    pub(crate) fn line(&self) -> String {
        let one = |(name, value, origin): (&str, &str, &str)| format!("{name}={value} ({origin})");
        self.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document().text(BYTES_MAX))
    }
}

impl Builder {
    /// Returns the settings as they are now, each with where it comes from.
    pub fn config(&self) -> Config {
        // No `..`: a new setting is shown, or this does not compile.
        let Self {
            resource: _,
            filter,
            filter_file,
            filters,
            console: _,
            shown: _,
            json: _,
            #[cfg(feature = "otlp-http")]
                otlp: _,
            exporters: _,
            metric_interval,
            metrics,
            rate_limit,
            buffer_bytes,
            waits,
            write_through,
            sampler,
            propagators,
            baggage_fields,
            redaction: _,
            redacted: _,
            #[cfg(feature = "poller")]
            poller,
            #[cfg(feature = "poller")]
                measurements: _,
            globals,
            doors,
            errors: _,
            warnings,
            is_strict,
            is_disabled,
            diagnostics,
            #[cfg(feature = "layer")]
            layers,
        } = self;
        let mut config = Config::new(warnings);
        config.show("disabled", is_disabled, on_off);
        config.show("filter", filter, Filter::masked);
        config.show("filter_file", filter_file, path_text);
        self.show_outputs(&mut config);
        show_filters(filters, &mut config);
        config.show("metric_interval", metric_interval, seconds);
        show_metrics(metrics, &mut config);
        config.show("sampler", sampler, |sampler| sampler.name.clone());
        config.show("propagators", propagators, Propagators::to_string);
        config.show("baggage_fields", baggage_fields, |keys| list(keys));
        self.show_redaction(&mut config);
        config.show("rate_limit", rate_limit, |limit| or_off(limit.as_ref()));
        config.show("buffer_bytes", buffer_bytes, usize::to_string);
        show_waits(waits, &mut config);
        config.show("write_through", write_through, on_off);
        #[cfg(feature = "poller")]
        config.show("poll_period", poller, |period| period.as_ref().map_or("off".into(), seconds));
        #[cfg(feature = "poller")]
        self.show_measurements(&mut config);
        show_globals(globals, &mut config);
        show_doors(doors, &mut config);
        #[cfg(feature = "layer")]
        if !layers.is_empty() {
            config.add("layers", layers.len().to_string(), Origin::Program);
        }
        config.show("diagnostics", diagnostics, |level| {
            level.map_or_else(|| "none".to_owned(), |level| level.to_string())
        });
        config.show("strict", is_strict, on_off);
        self.show_resource(&mut config);
        config
    }

    fn show_outputs(&self, config: &mut Config) {
        config.show("console", &self.console, console);
        let Shown { spans, metrics, polls } = &self.shown;
        config.show("console.spans", spans, as_usual);
        config.show("console.metrics", metrics, as_usual);
        config.show("console.polls", polls, on_off);
        config.show("json_file", &self.json, |json| match json {
            JsonOutput::Off => "off".to_owned(),
            JsonOutput::File(path) => path.display().to_string(),
            JsonOutput::Exporter(_) => "an exporter of the program's".to_owned(),
        });
        #[cfg(feature = "otlp-http")]
        {
            let (destination, origin) = self.otlp.destination();
            config.add("otlp", signals(destination), origin);
            for (setting, value, origin) in self.otlp.settings() {
                config.add(setting, value, origin);
            }
        }
        let own = self.exporters.iter().map(SinkBuilder::name);
        own.for_each(|name| config.add(format!("exporter `{name}`"), "on", Origin::Program));
    }

    fn show_redaction(&self, config: &mut Config) {
        for (how, part) in &self.redacted {
            match how {
                Redacted::Name => config.show("redact_names", part, String::clone),
                Redacted::Kept => config.show("keep_names", part, String::clone),
                // It may be the very secret that is to be replaced.
                Redacted::Value => {
                    config.show("redact_values", part, |pattern| {
                        format!("a pattern of {} bytes", pattern.len())
                    });
                }
            }
        }
    }

    #[cfg(feature = "poller")]
    fn show_measurements(&self, config: &mut Config) {
        for (name, _) in &self.measurements {
            config.add(format!("measure `{name}`"), "on", Origin::Program);
        }
    }

    fn show_resource(&self, config: &mut Config) {
        let shown = self.resource.resource().redacted(&self.redaction);
        for (key, setting) in self.resource.iter() {
            let name = format!("resource `{key}`");
            config.show(&name, setting, |_| shown.get(key).unwrap_or_default().to_owned());
        }
    }
}

fn show_waits(waits: &Setting<Waits>, config: &mut Config) {
    config.show("waits.blocking", waits, |waits| seconds(&waits.blocking));
    config.show("waits.in_async", waits, |waits| seconds(&waits.in_async));
}

fn show_filters(filters: &Filters, config: &mut Config) {
    let Filters { console, json, otlp } = filters;
    for (name, filter) in
        [("console_filter", console), ("json_filter", json), ("otlp_filter", otlp)]
    {
        config.show(name, filter, |filter| match filter {
            Some(filter) => filter.masked(),
            None => "as `filter`".to_owned(),
        });
    }
}

fn show_metrics(metrics: &Metrics, config: &mut Config) {
    let Metrics { default_buckets, histograms, labels, scope_labels, idle_timeout } = metrics;
    config.show("metric_buckets", default_buckets, |buckets| match buckets {
        Some(buckets) => buckets.to_string(),
        None => "explicit, as suits the unit".to_owned(),
    });
    for (pattern, buckets) in histograms {
        config.add(format!("histogram `{pattern}`"), buckets.to_string(), Origin::Program);
    }
    for (key, value) in labels.iter() {
        config.add(format!("metric_label `{key}`"), value.to_string(), Origin::Program);
    }
    config.show("metric_scope_labels", scope_labels, |keys| list(keys));
    config.show("metric_idle_timeout", idle_timeout, |timeout| {
        timeout.as_ref().map_or_else(|| "off".to_owned(), seconds)
    });
}

fn show_globals(globals: &Globals, config: &mut Config) {
    config.show("tracing", &globals.tracing, on_off);
    config.show("log", &globals.log, on_off);
    config.show("metrics", &globals.metrics, on_off);
    config.show("reload_at_hangup", &globals.hangup, on_off);
    config.show("panic_hook", &globals.panic_hook, on_off);
    config.show("exit_hook", &globals.exit_hook, on_off);
    #[cfg(feature = "opentelemetry")]
    config.show("opentelemetry", &globals.opentelemetry, on_off);
}

fn show_doors(doors: &Doors, config: &mut Config) {
    let Doors { socket, signal } = doors;
    config.show("inspect_socket", socket, path_text);
    config.show("inspect_signal", signal, |signal| or_off(signal.as_ref()));
}

fn path_text(path: &Option<PathBuf>) -> String {
    or_off(path.as_ref().map(|path| path.display()))
}

fn or_off(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "off".to_owned(), |value| value.to_string())
}

fn on_off(on: &bool) -> String {
    if *on { "on" } else { "off" }.to_owned()
}

fn as_usual(on: &Option<bool>) -> String {
    on.as_ref().map_or_else(|| "as the format has it".to_owned(), on_off)
}

fn seconds(duration: &Duration) -> String {
    format!("{duration:?}")
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// What was asked for, and what comes of it here.
fn console(output: &ConsoleOutput) -> String {
    let ConsoleOutput::Standard(console) = output else {
        return "an exporter of the program's".to_owned();
    };
    let chosen = match choose(*console, connection::of) {
        Some((layout, stream)) => format!("{layout:?}@{stream:?}").to_lowercase(),
        None => "off".to_owned(),
    };
    let asked = format!("{:?}", console.format).to_lowercase();
    if chosen.starts_with(&asked) { chosen } else { format!("{asked}, here {chosen}") }
}

#[cfg(feature = "otlp-http")]
fn signals(signals: Signals) -> String {
    let all = [(Signals::LOGS, "logs"), (Signals::SPANS, "traces"), (Signals::METRICS, "metrics")];
    let named = all.iter().filter(|(signal, _)| signals.contains(*signal)).map(|(_, name)| *name);
    let named: Vec<_> = named.collect();
    if named.is_empty() { "off".to_owned() } else { named.join(", ") }
}

#[cfg(test)]
mod tests;
