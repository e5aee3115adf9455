//! Secrets: the names of the fields that hold them, the patterns of the texts they stand in, and a
//! wrapper that nothing prints.
//!
//! A field whose name says that it holds a secret ([`DENIED`], and what a program adds) is written
//! as `[redacted]` by the call site: its value is not looked at. Texts that a pattern matches are
//! replaced by the worker, before any exporter sees them.
//!
//! ```
//! use telemetry_core::pipeline::{Pipeline, SinkBuilder};
//! use telemetry_core::redaction::Redaction;
//! use telemetry_core::testing::{MemoryExporter, OwnedValue};
//! use std::time::Duration;
//!
//! let memory = MemoryExporter::new("memory");
//! let redaction = Redaction::default().value(r"\bsk-[a-z0-9]{8,}")?;
//! let sink = SinkBuilder::new(memory.clone());
//! let pipeline = Pipeline::builder().redaction(redaction).sink(sink).scoped()?;
//! pipeline.run(|| tracing::info!(user.password = "hunter2", "with key sk-0a1b2c3d4e"));
//! pipeline.flush(Duration::from_secs(5))?;
//! let event = &memory.events()[0];
//! assert_eq!(event.message(), Some("with key [redacted]"));
//! assert_eq!(event.field("user.password"), Some(&OwnedValue::Text("[redacted]".into())));
//! # Ok::<(), telemetry_core::Error>(())
//! ```
//!
//! # Invariants
//!
//! - The names are the process's: a callsite, a label and a scope have no pipeline. They change
//!   when a pipeline is attached, and not before the one before it is gone.
//! - Reading the names takes no lock.

mod names;
mod patterns;
mod secret;

pub use names::{ABOUT, DENIED, NAME_BYTES_MAX, NAMES_MAX};
pub use patterns::{PATTERN_BYTES_MAX, PATTERNS_MAX};
pub use secret::Secret;

pub(crate) use names::{Names, is_in_mask};
pub(crate) use patterns::Patterns;

use crate::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// What a pipeline takes for a secret.
///
/// The default: fields with a name of [`DENIED`], and the user information of URLs in any text
/// (`postgres://[redacted]@db/shop`).
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    pub(crate) names: Names,
    pub(crate) patterns: Patterns,
}

impl Redaction {
    /// Adds a name: fields are redacted that have it at the end of a word, as those of [`DENIED`],
    /// but without the exceptions of [`ABOUT`].
    ///
    /// # Errors
    ///
    /// It has no letter or digit, is longer than [`NAME_BYTES_MAX`], or is one too many
    /// ([`NAMES_MAX`]).
    pub fn name(mut self, name: &str) -> Result<Self, Error> {
        self.names.deny(name)?;
        Ok(self)
    }

    /// Keeps a field that would be redacted by its name. It is named as a whole: case and
    /// separators do not count, but `page_token` does not keep `next_page_token`.
    ///
    /// # Errors
    ///
    /// As [`name`](Self::name).
    pub fn keep(mut self, field: &str) -> Result<Self, Error> {
        self.names.keep(field)?;
        Ok(self)
    }

    /// Adds a pattern: what it matches in any text of a record is replaced. It is a regular
    /// expression of `regex-lite`, linear in the text.
    ///
    /// # Errors
    ///
    /// It cannot be read, matches the empty text, is larger than [`PATTERN_BYTES_MAX`] when
    /// compiled, or is one too many ([`PATTERNS_MAX`]).
    pub fn value(mut self, pattern: &str) -> Result<Self, Error> {
        self.patterns.add(pattern)?;
        Ok(self)
    }
}

/// How many different lists of names a process may use, one after the other.
const LISTS_MAX: usize = 64;

static LISTS: [OnceLock<Names>; LISTS_MAX] = [const { OnceLock::new() }; LISTS_MAX];
static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// The process's names: [`DENIED`] until a pipeline says otherwise.
pub(crate) fn names() -> &'static Names {
    // Acquire: pairs with the Release in `set_names`; the list behind the number is there.
    LISTS[CURRENT.load(Ordering::Acquire)].get_or_init(Names::default)
}

/// Is the value of a field of this name a secret, by the process's names?
///
/// ```
/// use telemetry_core::redaction::is_secret;
///
/// assert!(is_secret("http.request.header.authorization"));
/// assert!(!is_secret("token_count"));
/// ```
pub fn is_secret(field: &str) -> bool {
    names().denies(field)
}

static PATTERNS: RwLock<Option<Arc<Patterns>>> = RwLock::new(None);

/// The process's patterns.
pub(crate) fn patterns() -> Arc<Patterns> {
    PATTERNS.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

/// A text of the pipeline itself without secrets, by the process's patterns.
pub(crate) fn clean(text: String) -> String {
    patterns().replace(&text).map_or(text, |(clean, _)| clean)
}

/// A text without the user information of URLs; `None` = it has none.
pub(crate) fn without_user_information(text: &str) -> Option<String> {
    text.contains('@').then(|| Patterns::default().replace(text)).flatten().map(|(clean, _)| clean)
}

/// The number of the list that holds: what was looked at under another is to be looked at again.
pub(crate) fn list() -> usize {
    CURRENT.load(Ordering::Acquire)
}

/// Makes this the process's redaction.
///
/// # Errors
///
/// The process has used [`LISTS_MAX`] other lists before.
pub(crate) fn set(redaction: &Redaction) -> Result<(), Error> {
    let names = &redaction.names;
    static SET: Mutex<()> = Mutex::new(());
    let _set = SET.lock().unwrap_or_else(PoisonError::into_inner);
    LISTS[0].get_or_init(Names::default);
    // A list that was used before is taken again; else it gets the first place that is free.
    let place = LISTS.iter().position(|list| list.get_or_init(|| names.clone()) == names);
    let Some(place) = place else {
        let right = format!("one of at most {LISTS_MAX} different lists in a process");
        return Err(Error::setting("redact_names", "another list", &right));
    };
    CURRENT.store(place, Ordering::Release);
    let patterns = Some(Arc::new(redaction.patterns.clone()));
    *PATTERNS.write().unwrap_or_else(PoisonError::into_inner) = patterns;
    Ok(())
}
