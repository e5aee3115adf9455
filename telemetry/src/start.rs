//! From settings to a running pipeline.
//!
//! # Invariants
//!
//! - Nothing of the process is touched before the settings are known to be good; a failure later
//!   takes back what it can (the global subscriber and logger stay, and cost one load).
//! - A foreign `tracing` subscriber is an error; a foreign `log` logger or `metrics` recorder is
//!   one diagnostic, because the rest works without.

use crate::Telemetry;
use crate::builder::{Builder, Globals};
use crate::config::Config;
use crate::connection;
use crate::environment::Warning;
use crate::inspect::doors::Bound;
#[cfg(feature = "poller")]
use crate::inspect::queues;
use crate::outputs;
use crate::setting::Origin;
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry_core::bridge::metrics::Recorder;
use telemetry_core::context::{self, Propagators};
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::{self, Pipeline, SinkBuilder};
use telemetry_core::resource::Resource;
use telemetry_core::{Error, Level, diagnostics, metric};

impl Builder {
    /// Starts everything and attaches it to the process.
    ///
    /// Keep what it returns until the end of `main`: its drop shuts telemetry down.
    ///
    /// # Errors
    ///
    /// A setting is wrong; telemetry runs already ([`Error::is_already_attached`]); another
    /// library's `tracing` subscriber is installed ([`Error::is_foreign`]); a file cannot be
    /// opened or a thread not be started; with `TELEMETRY_STRICT=1`, a variable of the environment
    /// that cannot be used.
    pub fn init(mut self) -> Result<Telemetry, Error> {
        if let Some(error) = take_first(&mut self.errors) {
            return Err(error);
        }
        let config = self.config();
        if *self.is_disabled {
            // What callers sent goes on to callees all the same, as OpenTelemetry asks.
            let labels = self.metrics.scope_labels.into_value();
            set_propagation(*self.propagators, self.baggage_fields.into_value(), labels);
            return disabled(self.warnings, *self.is_strict, *self.diagnostics, config);
        }
        #[cfg(feature = "poller")]
        let poller = self.poller.map(|period| (period, std::mem::take(&mut self.measurements)));
        #[cfg(feature = "poller")]
        check_poller(poller.as_ref())?;
        let propagation = (*self.propagators, (*self.baggage_fields).clone());
        let scope_labels = (*self.metrics.scope_labels).clone();
        let (globals, level, is_strict) = (self.globals, *self.diagnostics, *self.is_strict);
        let mut warnings = std::mem::take(&mut self.warnings);
        let metric_settings = std::mem::take(&mut self.metrics).settings();
        metric_settings.check()?;
        warnings.extend(self.filter_file_warning());
        let bound = self.doors.bind(&mut warnings)?;
        let (signal, socket_origin) = (*self.doors.signal, self.doors.socket.origin());
        let builder = self.pipeline(&mut warnings)?;
        check_strict(is_strict, &mut warnings)?;
        let level_before = diagnostics::set_level(level);
        let attached = builder.attach().inspect_err(|_| {
            diagnostics::set_level(level_before);
        });
        let pipeline = Arc::new(attached?);
        metric::global().configure(metric_settings)?;
        tell(warnings);
        diagnostics::report("settings", Level::Debug, config.line());
        // From here on the drop of `telemetry` takes everything back.
        let mut telemetry = Telemetry::new(pipeline, config);
        #[cfg(feature = "poller")]
        if let Some((period, measurements)) = poller {
            telemetry.set_poller(start_poller(period, measurements)?);
        }
        if let Some(bound) = bound {
            open_socket(&mut telemetry, bound, socket_origin, is_strict)?;
        }
        if let Some(signal) = signal {
            telemetry.open_signal(signal)?;
        }
        take_globals(&mut telemetry, globals);
        set_propagation(propagation.0, propagation.1, scope_labels);
        Ok(telemetry)
    }

    /// What is wrong with a filter file of the environment, if that is to be an error: else the
    /// pipeline says it.
    fn filter_file_warning(&self) -> Option<Warning> {
        let path = self.filter_file.as_ref().filter(|_| *self.is_strict)?;
        match (self.filter_file.origin(), Filter::read(path)) {
            (Origin::Variable(variable), Err(error)) => Some((variable, error.said_by(variable))),
            _ => None,
        }
    }

    /// Do console and JSON file write through? Where nobody waits they cannot: what the environment
    /// asks for is left out then, and what the program asks for is for the pipeline to refuse.
    fn writes_through(&self) -> (bool, Option<Warning>) {
        match (*self.write_through, self.write_through.origin()) {
            (true, Origin::Variable(variable)) if self.waits.blocking.is_zero() => {
                let right = "`0` where `waits.blocking` is `0ns`";
                (false, Some((variable, Error::setting(variable, 1, right))))
            }
            (through, _) => (through, None),
        }
    }

    fn pipeline(self, warnings: &mut Vec<Warning>) -> Result<pipeline::Builder, Error> {
        let interval = *self.metric_interval;
        let (through, warning) = self.writes_through();
        warnings.extend(warning);
        // A line a poll needs the metrics of each.
        #[cfg(feature = "poller")]
        let polled = self.poller.filter(|_| *self.shown.polls);
        #[cfg(not(feature = "poller"))]
        let polled = None;
        let console = outputs::console(self.console.into_value(), self.shown, connection::of)?;
        let console = console.map(|sink| {
            let interval = polled.map_or(interval, |period| interval.min(period));
            outputs::sink(sink, self.filters.console.into_value(), interval)
        });
        let json = outputs::json(self.json, warnings)?;
        let json = json.map(|sink| outputs::sink(sink, self.filters.json.into_value(), interval));
        let [console, json] = [console, json].map(|sink| Some(sink?.write_through(through)));
        #[cfg(feature = "otlp-http")]
        let otlp = self.otlp.sink(warnings)?;
        #[cfg(feature = "otlp-http")]
        let otlp = otlp.map(|sink| outputs::sink(sink, self.filters.otlp.into_value(), interval));
        #[cfg(not(feature = "otlp-http"))]
        let otlp: Option<SinkBuilder> = None;
        let mut builder = Pipeline::builder()
            .resource(with_instance(self.resource.resource()))
            .filter(self.filter.into_value())
            .reload_at_hangup(*self.globals.hangup)
            .redaction(self.redaction)
            .rate_limit(self.rate_limit.into_value())
            .waits(*self.waits)
            .buffer_bytes(*self.buffer_bytes)
            .tracing(*self.globals.tracing)
            .log(*self.globals.log);
        if let Some(path) = self.filter_file.into_value() {
            builder = builder.filter_file(path);
        }
        if let Some(sampler) = self.sampler.into_value().sampler {
            builder = builder.sampler(sampler);
        }
        #[cfg(feature = "layer")]
        let builder = self.layers.into_iter().fold(builder, pipeline::Builder::layer);
        let own: [Option<SinkBuilder>; 3] = [console, json, otlp];
        Ok(own.into_iter().flatten().chain(self.exporters).fold(builder, pipeline::Builder::sink))
    }
}

/// Reports warnings, those of one variable together: of several, only the first would be heard.
fn tell(warnings: Vec<Warning>) {
    let mut errors = BTreeMap::<_, Vec<_>>::new();
    for (variable, error) in warnings {
        errors.entry(variable).or_default().push(error);
    }
    for (variable, errors) in errors {
        diagnostics::report_errors(variable, Level::Warn, &errors);
    }
}

/// `OTEL_SDK_DISABLED`: nothing is started, everything can be called.
fn disabled(
    mut warnings: Vec<Warning>,
    is_strict: bool,
    level: Option<Level>,
    config: Config,
) -> Result<Telemetry, Error> {
    check_strict(is_strict, &mut warnings)?;
    diagnostics::set_level(level);
    tell(warnings);
    diagnostics::report("OTEL_SDK_DISABLED", Level::Info, "telemetry is off: it is `true`");
    Ok(Telemetry::off(config))
}

fn set_propagation(propagators: Propagators, fields: Vec<String>, labels: Vec<String>) {
    context::set_propagators(propagators);
    context::set_baggage_fields(fields);
    context::set_metric_labels(labels);
}

fn take_first(errors: &mut Vec<Error>) -> Option<Error> {
    (!errors.is_empty()).then(|| errors.swap_remove(0))
}

fn check_strict(is_strict: bool, warnings: &mut Vec<Warning>) -> Result<(), Error> {
    if is_strict && !warnings.is_empty() {
        return Err(warnings.swap_remove(0).1);
    }
    Ok(())
}

/// The resource with `service.instance.id`, unless it has one.
fn with_instance(resource: Resource) -> Resource {
    const KEY: &str = "service.instance.id";
    match (resource.get(KEY), random_uuid()) {
        (None, Some(uuid)) => resource.with(KEY, uuid),
        _ => resource,
    }
}

/// A random UUID (RFC 9562, version 4); `None` where the system has no random numbers.
fn random_uuid() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Some(format!("{a}-{b}-{c}-{d}-{e}"))
}

/// Answers at the socket; if that cannot be, it is what a bad place for it would be.
fn open_socket(
    telemetry: &mut Telemetry,
    bound: Bound,
    origin: Origin,
    is_strict: bool,
) -> Result<(), Error> {
    let mut warnings = Vec::new();
    outputs::keep(telemetry.open_socket(bound), origin, &mut warnings)?;
    check_strict(is_strict, &mut warnings)?;
    tell(warnings);
    Ok(())
}

fn take_globals(telemetry: &mut Telemetry, globals: Globals) {
    #[cfg(feature = "otlp-http")]
    telemetry_core::set_async_probe(|| tokio::runtime::Handle::try_current().is_ok());
    if *globals.metrics
        && let Err(error) = Recorder::new(metric::global().clone()).install()
    {
        diagnostics::report("metrics.bridge", Level::Warn, error.to_string());
    }
    #[cfg(feature = "opentelemetry")]
    if *globals.opentelemetry {
        take_opentelemetry(&globals);
    }
    if *globals.panic_hook {
        telemetry.install_panic_hook();
    }
    if *globals.exit_hook {
        telemetry.install_exit_hook();
    }
}

#[cfg(feature = "opentelemetry")]
#[cfg_attr(not(feature = "layer"), expect(unused_variables, reason = "it is about layers"))]
fn take_opentelemetry(globals: &Globals) {
    #[cfg(feature = "opentelemetry_0_32")]
    crate::opentelemetry::v0_32::install();
    if let Err(error) = crate::opentelemetry::install() {
        diagnostics::report("opentelemetry.bridge", Level::Warn, error.to_string());
    }
    #[cfg(feature = "layer")]
    if globals.has_foreign_tracer {
        let text = "a layer of `tracing-opentelemetry` has a tracer of another SDK, whose spans \
                    are taken for the parents of ours: give it `opentelemetry::LayerTracer`, or \
                    leave the bridge out with `Builder::opentelemetry(false)`";
        diagnostics::report("opentelemetry.layer", Level::Warn, text.to_owned());
    }
}

#[cfg(feature = "poller")]
type PollerPlan = (std::time::Duration, Vec<(String, crate::builder::Measurement)>);

/// Refuses what the poller would refuse, before anything is started.
#[cfg(feature = "poller")]
fn check_poller(plan: Option<&PollerPlan>) -> Result<(), Error> {
    use telemetry_poller::{PERIOD_MAX, PERIOD_MIN};
    let Some((period, measurements)) = plan else { return Ok(()) };
    if !(PERIOD_MIN..=PERIOD_MAX).contains(period) {
        let right = format!("from {PERIOD_MIN:?} to {PERIOD_MAX:?}");
        return Err(Error::setting("poll_period", format_args!("{period:?}"), &right));
    }
    for (n, (name, _)) in measurements.iter().enumerate() {
        if name.is_empty() || measurements[..n].iter().any(|(other, _)| other == name) {
            return Err(Error::setting("measure", name, "a name of its own"));
        }
    }
    Ok(())
}

#[cfg(feature = "poller")]
fn start_poller(
    period: std::time::Duration,
    measurements: Vec<(String, crate::builder::Measurement)>,
) -> Result<telemetry_poller::PollerHandle, Error> {
    let mut builder = telemetry_poller::Poller::builder().period(period);
    builder = builder.measure("telemetry.queue", queues::measurement());
    #[cfg(feature = "tokio")]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        builder = builder.measure("telemetry.task", crate::task::watch::measurement(runtime));
    }
    for (name, measurement) in measurements {
        builder = builder.measure(name, measurement);
    }
    builder.start().map_err(|error| Error::resource("the poller cannot be started", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_id_is_a_random_uuid_unless_set() {
        let id = |resource| with_instance(resource).get("service.instance.id").unwrap().to_owned();
        let (one, two) = (id(Resource::default()), id(Resource::default()));
        assert_ne!(one, two);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'), "{one}");
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{one}");
        assert_eq!(id(Resource::default().with("service.instance.id", "mine")), "mine");
    }
}
