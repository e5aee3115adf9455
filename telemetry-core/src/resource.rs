//! Who tells: the entity that all records of a pipeline belong to.
//!
//! # Invariants
//!
//! - `service.name` and `telemetry.sdk.*` are always there (OpenTelemetry semantic conventions,
//!   resource); `telemetry.sdk.name` is never `opentelemetry`.
//! - Keys are unique; a resource does not change once a pipeline runs.
//! - What exporters and `Debug` get has no secrets ([`crate::redaction`]).

use crate::redaction::{self, REDACTED, Redaction};
use std::collections::BTreeMap;
use std::fmt;

/// Attributes of the service that emits the telemetry.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    attributes: BTreeMap<String, String>,
}

impl fmt::Debug for Resource {
    /// By the process's names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key: &str, value: &str| match redaction::is_secret(key) {
            true => REDACTED.to_owned(),
            false => redaction::clean(value.to_owned()),
        };
        let attributes = self.attributes().map(|(key, value)| (key, shown(key, value)));
        f.write_str("Resource ")?;
        f.debug_map().entries(attributes).finish()
    }
}

impl Default for Resource {
    /// `service.name` is `unknown_service:` and the executable's name.
    fn default() -> Self {
        let executable = std::env::current_exe().ok();
        let name = executable.as_deref().and_then(|path| path.file_name()).map_or_else(
            || "unknown_service".to_owned(),
            |name| format!("unknown_service:{}", name.to_string_lossy()),
        );
        let attributes = [
            ("service.name", name.as_str()),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.name", "telemetry-toolkit"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        Self {
            attributes: attributes
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

impl Resource {
    /// The resource with one more attribute; an existing one is replaced.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }

    /// The resource without its secrets.
    #[must_use]
    pub fn redacted(mut self, redaction: &Redaction) -> Self {
        for (key, value) in &mut self.attributes {
            if redaction.names.denies(key) {
                REDACTED.clone_into(value);
            } else if let Some((clean, _)) = redaction.patterns.replace(value) {
                *value = clean;
            }
        }
        self
    }

    /// The value of an attribute.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    /// All attributes, sorted by key.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
