//! The settings of the exporter, as people are to see them.
//!
//! # Invariants
//!
//! - None is forgotten: builder and configuration are taken apart field by field, without `..`.
//! - Header values, and what stands in URLs beside host and path, are not shown.

use super::{Options, OtlpBuilder, OtlpExporter};
use crate::config::{self, Config, LaneConfig};
use http::header::HeaderMap;
use std::time::Duration;

/// A setting with its value; of the signals, those are named that have one of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtlpSetting {
    /// `timeout`, `logs.endpoint`.
    pub name: String,
    /// The value, as people are to see it: no secrets.
    pub value: String,
    /// The variable of the environment that may have set it, if it was set.
    pub variable: Option<&'static str>,
}

macro_rules! variables {
    ($scope:literal) => {
        [
            concat!("OTEL_EXPORTER_OTLP_", $scope, "PROTOCOL"),
            concat!("OTEL_EXPORTER_OTLP_", $scope, "ENDPOINT"),
            concat!("OTEL_EXPORTER_OTLP_", $scope, "HEADERS"),
            concat!("OTEL_EXPORTER_OTLP_", $scope, "TIMEOUT"),
            concat!("OTEL_EXPORTER_OTLP_", $scope, "COMPRESSION"),
        ]
    };
}

const LANES: [(&str, [&str; 5]); 3] = [
    ("logs.", variables!("LOGS_")),
    ("traces.", variables!("TRACES_")),
    ("metrics.", variables!("METRICS_")),
];

/// What is set of these options, by name.
fn set(options: &Options) -> [(&'static str, Option<String>); 5] {
    let Options { protocol, endpoint, headers, timeout, compression } = options;
    let names = headers.names();
    [
        ("protocol", protocol.map(|protocol| protocol.as_str().to_owned())),
        ("endpoint", endpoint.as_deref().map(config::redacted)),
        ("headers", (!names.is_empty()).then(|| names.join(", "))),
        ("timeout", timeout.as_ref().map(timeout_text)),
        ("compression", compression.map(|compression| compression_text(compression).to_owned())),
    ]
}

impl OtlpBuilder {
    /// The settings so far: those for all signals, and those that a signal has of its own.
    ///
    /// ```
    /// use telemetry_otlp::OtlpBuilder;
    ///
    /// const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    /// let variable = |name: &str| (name == HEADERS).then(|| "authorization=secret".to_owned());
    /// let (builder, _) = OtlpBuilder::from_variables(variable);
    /// let settings = builder.settings();
    /// let headers = settings.iter().find(|setting| setting.name == "headers").unwrap();
    /// assert_eq!((headers.value.as_str(), headers.variable), ("authorization", Some(HEADERS)));
    /// ```
    pub fn settings(&self) -> Vec<OtlpSetting> {
        let Self {
            common,
            lanes,
            signals: _, // which signals go out is not a matter of how
            refused: _,
            delay,
            retry_timeout,
            backoff_initial,
            backoff_max,
            request_bytes,
            concurrency,
        } = self;
        let usual = set(&Options {
            protocol: Some(self.protocol_of(None)),
            endpoint: Some(self.protocol_of(None).usual_endpoint().to_owned()),
            timeout: Some(Some(Duration::from_secs(10))),
            compression: Some(config::Compression::default()),
            ..Options::default()
        });
        let mut all = Vec::new();
        for (n, (name, value)) in set(common).into_iter().enumerate() {
            let variable = value.is_some().then_some(variables!("")[n]);
            let value = value.or_else(|| usual[n].1.clone()).unwrap_or_else(|| "none".to_owned());
            all.push(OtlpSetting { name: name.to_owned(), value, variable });
        }
        for ((lane, variables), options) in LANES.iter().zip(lanes) {
            for (n, (name, value)) in set(options).into_iter().enumerate() {
                let Some(value) = value else { continue };
                let (name, variable) = (format!("{lane}{name}"), Some(variables[n]));
                all.push(OtlpSetting { name, value, variable });
            }
        }
        let limits = Limits {
            delay: *delay,
            retry_timeout: *retry_timeout,
            backoff: (*backoff_initial, *backoff_max),
            request_bytes: *request_bytes,
            concurrency: *concurrency,
        };
        all.extend(limits.settings());
        all
    }
}

impl OtlpExporter {
    /// The settings that it was built with.
    pub fn settings(&self) -> Vec<OtlpSetting> {
        let Config {
            lanes,
            delay,
            retry_timeout,
            backoff_initial,
            backoff_max,
            request_bytes,
            concurrency,
        } = &*self.config;
        let mut all = Vec::new();
        for ((lane, _), config) in LANES.iter().zip(lanes) {
            let LaneConfig { protocol, uri: _, shown, headers, compression, timeout } = config;
            let values = [
                ("protocol", protocol.as_str().to_owned()),
                ("endpoint", shown.clone()),
                ("headers", header_names(headers)),
                ("timeout", timeout_text(timeout)),
                ("compression", compression_text(*compression).to_owned()),
            ];
            let setting = |(name, value)| setting(&format!("{lane}{name}"), value);
            all.extend(values.map(setting));
        }
        let limits = Limits {
            delay: *delay,
            retry_timeout: *retry_timeout,
            backoff: (*backoff_initial, *backoff_max),
            request_bytes: *request_bytes,
            concurrency: *concurrency,
        };
        all.extend(limits.settings());
        all
    }
}

fn setting(name: &str, value: String) -> OtlpSetting {
    OtlpSetting { name: name.to_owned(), value, variable: None }
}

/// What holds for all signals, and has no variable.
struct Limits {
    delay: Duration,
    retry_timeout: Duration,
    backoff: (Duration, Duration),
    request_bytes: usize,
    concurrency: usize,
}

impl Limits {
    fn settings(&self) -> [OtlpSetting; 5] {
        let Self { delay, retry_timeout, backoff: (initial, max), request_bytes, concurrency } =
            self;
        [
            setting("delay", format!("{delay:?}")),
            setting("retry_timeout", format!("{retry_timeout:?}")),
            setting("backoff", format!("{initial:?} to {max:?}")),
            setting("request_bytes", request_bytes.to_string()),
            setting("concurrency", concurrency.to_string()),
        ]
    }
}

fn timeout_text(timeout: &Option<Duration>) -> String {
    timeout.map_or_else(|| "none".to_owned(), |timeout| format!("{timeout:?}"))
}

fn compression_text(compression: config::Compression) -> &'static str {
    match compression {
        config::Compression::None => "none",
        config::Compression::Gzip => "gzip",
    }
}

/// The names of the user's headers; the transport's own are no setting.
fn header_names(headers: &HeaderMap) -> String {
    let own = headers.iter().filter(|(_, value)| value.is_sensitive());
    let names: Vec<_> = own.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
