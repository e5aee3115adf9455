//! What the running process is doing, for people and programs that ask.
//!
//! # Invariants
//!
//! - A look changes nothing, waits for no thread of the application, and is bounded in time and size.
//! - Whoever may look keeps nothing alive: after the shutdown, a look finds little.

#[cfg(unix)]
#[doc(hidden)]
pub mod client;
#[cfg(unix)]
pub(crate) mod door;
#[cfg(unix)]
pub(crate) mod place;
pub(crate) mod doors;
#[cfg(feature = "poller")]
pub(crate) mod queues;
#[cfg(unix)]
mod steer;
#[cfg(unix)]
mod timed;

use crate::config::Config;
use std::fmt;
#[cfg(feature = "poller")]
use std::sync::OnceLock;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use telemetry_core::clock;
use telemetry_core::document::{Cell, Document, Row, Section};
use telemetry_core::inspect::{ANSWER_TIMEOUT, Findings};
#[cfg(unix)]
use telemetry_core::pipeline::Filters;
use telemetry_core::pipeline::Pipeline;
use telemetry_core::time_text::TimeText;

/// The largest snapshot, as text or as JSON, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024;

/// What the process is doing at one moment: text for people ([`Display`](fmt::Display)), JSON for
/// programs ([`to_json`](Self::to_json), and `serde::Serialize` with the feature `serde`); at most
/// [`SNAPSHOT_BYTES_MAX`] of either. What has no room is counted, not cut off at the end.
///
/// The members of the JSON object are listed in `docs/inspection.md`.
///
/// ```no_run
/// let telemetry = telemetry_toolkit::init()?;
/// let snapshot = telemetry.snapshot();
/// for suspect in snapshot.suspects() {
///     println!("{suspect}"); // span `charge{order=7}` has been open for 31.2 s; …
/// }
/// println!("{snapshot}");
/// # Ok::<(), telemetry_toolkit::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Snapshot {
    document: Document,
    suspects: Vec<String>,
}

impl Snapshot {
    /// Returns what to look at first, in sentences, the most suspicious first: what stands still,
    /// what is full, what is lost.
    pub fn suspects(&self) -> &[String] {
        &self.suspects
    }

    /// Returns the snapshot as a JSON object.
    pub fn to_json(&self) -> String {
        self.to_json_within(SNAPSHOT_BYTES_MAX)
    }

    /// As [`to_json`](Self::to_json), with fewer rows.
    pub(crate) fn to_json_within(&self, bytes_max: usize) -> String {
        self.document.json(bytes_max)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document.text(SNAPSHOT_BYTES_MAX))
    }
}

#[cfg(feature = "serde")]
mod serialize;

/// Takes snapshots of the process, wherever it is moved or cloned to.
///
/// [`Telemetry::inspector`](crate::Telemetry::inspector) returns one: for a page of the service's
/// own, for a test, for a watchdog.
#[derive(Clone)]
pub struct Inspector(Arc<Inner>);

struct Inner {
    pipeline: Weak<Pipeline>,
    config: Config,
    identity: Identity,
    #[cfg(feature = "poller")]
    poller: OnceLock<telemetry_poller::PolledValues>,
}

/// Who runs.
struct Identity {
    service: String,
    version: Option<String>,
    revision: Option<String>,
    instance: Option<String>,
    began: Instant,
    began_unix_ns: u64,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector")
            .field("service", &self.0.identity.service)
            .finish_non_exhaustive()
    }
}

/// The features of this crate, and which are compiled in.
const FEATURES: [(&str, bool); 13] = [
    ("console", cfg!(feature = "console")),
    ("json", cfg!(feature = "json")),
    ("otlp-http", cfg!(feature = "otlp-http")),
    ("otlp-grpc", cfg!(feature = "otlp-grpc")),
    ("poller", cfg!(feature = "poller")),
    ("receiver", cfg!(feature = "receiver")),
    ("http", cfg!(feature = "http")),
    ("tower", cfg!(feature = "tower")),
    ("opentelemetry", cfg!(feature = "opentelemetry")),
    ("opentelemetry_0_32", cfg!(feature = "opentelemetry_0_32")),
    ("tokio", cfg!(feature = "tokio")),
    ("layer", cfg!(feature = "layer")),
    ("serde", cfg!(feature = "serde")),
];

fn features() -> Vec<String> {
    let on = FEATURES.iter().filter(|(_, is_on)| *is_on);
    on.map(|(name, _)| (*name).to_owned()).collect()
}

impl Identity {
    fn of(config: &Config) -> Self {
        let attribute = |key: &str| {
            let (value, _) = config.get(&format!("resource `{key}`"))?;
            Some(value.to_owned())
        };
        Self {
            service: attribute("service.name").unwrap_or_default(),
            version: attribute("service.version"),
            revision: attribute("vcs.ref.head.revision"),
            instance: attribute("service.instance.id"),
            began: clock::now(),
            began_unix_ns: clock::unix_ns(),
        }
    }

    fn uptime(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    /// `shop 1.4.2, process 4711, up for 31.2 s`.
    fn headline(&self) -> String {
        let version = self.version.as_ref().map(|version| format!(" {version}"));
        format!(
            "{}{}, process {}, up for {:.1} s",
            self.service,
            version.unwrap_or_default(),
            std::process::id(),
            self.uptime().as_secs_f64()
        )
    }

    fn section(&self, took: Duration) -> Section {
        let executable = std::env::current_exe().ok();
        let mut started = Vec::new();
        TimeText::new().put(self.began_unix_ns, &mut started);
        let row = Row::new()
            .with("service", self.service.clone())
            .with_known("version", self.version.clone())
            .with_known("revision", self.revision.clone())
            .with_known("instance", self.instance.clone())
            .with("pid", Cell::Count(u64::from(std::process::id())))
            .with_known("executable", executable.map(|path| path.display().to_string()))
            .with("started", String::from_utf8_lossy(&started).into_owned())
            .with("uptime_s", self.uptime())
            .with("telemetry_toolkit", env!("CARGO_PKG_VERSION"))
            .with("features", Cell::Texts(features()))
            .with("snapshot_took_s", took);
        Section::record("process", "Process", row)
    }
}

impl Inspector {
    pub(crate) fn new(pipeline: Weak<Pipeline>, config: Config) -> Self {
        let identity = Identity::of(&config);
        Self(Arc::new(Inner {
            pipeline,
            config,
            identity,
            #[cfg(feature = "poller")]
            poller: OnceLock::new(),
        }))
    }

    #[cfg(feature = "poller")]
    pub(crate) fn set_poller(&self, values: telemetry_poller::PolledValues) {
        let _ = self.0.poller.set(values);
    }

    /// The filters, for an operator; `None` where telemetry is off, or has been shut down.
    #[cfg(unix)]
    pub(crate) fn filters(&self) -> Option<Filters> {
        self.0.pipeline.upgrade().map(|pipeline| pipeline.filters().by_socket())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Looks at what the process is doing; it takes some milliseconds, and three seconds and a
    /// quarter at most.
    ///
    /// It works from every thread, inside of an async runtime too, and while all other threads are
    /// stuck.
    pub fn snapshot(&self) -> Snapshot {
        let began = clock::now();
        let pipeline = self.0.pipeline.upgrade();
        let found = pipeline.map(|pipeline| pipeline.inspect(ANSWER_TIMEOUT));
        let Findings { suspects, sections, .. } = found.unwrap_or_else(nothing);
        let mut document = Document::default()
            .headline(self.0.identity.headline())
            .with(Section::lines("suspects", "Look here first", suspects.clone()));
        for section in sections {
            document = document.with(section);
        }
        #[cfg(feature = "poller")]
        {
            document = document.with(self.polled());
        }
        let took = clock::now().saturating_duration_since(began);
        let document = document
            .with(self.0.config.section().clone())
            .with(self.0.identity.section(took))
            .limited(SNAPSHOT_BYTES_MAX);
        Snapshot { document, suspects }
    }

    /// Answers a request to look, for a page of the service's own: as text, or as JSON for
    /// `?format=json`. It takes as long as [`snapshot`](Self::snapshot).
    ///
    /// Only a `peer` on this host is answered, only to GET and HEAD, and only under the name
    /// `localhost` or a loopback address: a page of somebody else's that a browser on this host
    /// shows cannot read it through a name of its own (DNS rebinding). What comes through a proxy
    /// is refused as well.
    ///
    /// ```
    /// use axum::extract::{ConnectInfo, Request};
    /// use axum::{Router, routing::get};
    /// use std::net::SocketAddr;
    ///
    /// # let off = |name: &str| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned());
    /// # let telemetry = telemetry_toolkit::builder().from_variables(off).init()?;
    /// let inspector = telemetry.inspector();
    /// let page = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| async move {
    ///     inspector.respond(peer, &request)
    /// };
    /// let service = Router::<()>::new()
    ///     .route("/debug/telemetry", get(page))
    ///     .into_make_service_with_connect_info::<SocketAddr>();
    /// # drop(service);
    /// # Ok::<(), telemetry_toolkit::Error>(())
    /// ```
    #[cfg(feature = "http")]
    pub fn respond<B>(
        &self,
        peer: std::net::SocketAddr,
        request: &telemetry_http::http::Request<B>,
    ) -> telemetry_http::http::Response<String> {
        use telemetry_http::inspect::{Format, respond};
        respond(peer.ip(), request, |format| match format {
            Format::Text => self.snapshot().to_string(),
            Format::Json => self.snapshot().to_json(),
        })
    }

    /// What the poller has observed last.
    #[cfg(feature = "poller")]
    fn polled(&self) -> Section {
        use telemetry_core::metric::Observation;
        let mut section = Section::table("polled", "Polled values");
        let now = clock::now();
        // In a fork's child, the lock may be held by a thread that is not there.
        let poller = self.0.poller.get().filter(|_| !telemetry_core::is_forked());
        let values = poller.map(|values| values.read()).unwrap_or_default();
        for value in values {
            let number = match value.value {
                Observation::Counter(number) => Cell::Count(number),
                Observation::UpDownCounter(number) if number >= 0 => Cell::Count(number as u64),
                Observation::UpDownCounter(number) => Cell::Number(number as f64),
                Observation::CounterF64(number) | Observation::Gauge(number) => {
                    Cell::Number(number)
                }
                _ => continue,
            };
            let labels = value.labels.iter();
            let labels = labels.map(|(key, value)| (key.to_string(), value.to_string()));
            let row = Row::new()
                .with("metric", value.name.into_owned())
                .with("value", number)
                .with("age_s", now.saturating_duration_since(value.at))
                .with("labels", Cell::Fields(labels.collect()));
            section.push(row);
        }
        section
    }
}

/// What is to be found where telemetry is off, or has been shut down.
fn nothing() -> Findings {
    Findings::of_nothing("telemetry is off, or has been shut down")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_of_the_manifest_is_known() {
        let manifest = include_str!("../../Cargo.toml");
        let section = manifest.split("[features]").nth(1).unwrap();
        let section = section.split("\n[").next().unwrap();
        let lines = section.lines().filter(|line| !line.starts_with('#'));
        let mut names: Vec<_> = lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
        names.retain(|name| *name != "default");
        assert_eq!(FEATURES.map(|(name, _)| name).to_vec(), names, "in the same order");
    }
}
