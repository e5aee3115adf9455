//! The error of this crate: an opaque kind with predicates, and a text that names the setting.
//!
//! # Invariants
//!
//! - Texts are lower case without a final stop and hold the setting, the value and what is right.
//! - `Display` leaves the source out; whoever handles an error prints the chain, once.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What went wrong while building, attaching, flushing or reading a setting.
pub struct Error {
    kind: Kind,
    text: String,
    excerpt: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Setting,
    AlreadyAttached,
    Foreign,
    Resource,
    NotAllowed,
}

impl Error {
    /// A setting (of the builder or the environment) has a value that cannot be used.
    pub fn setting(name: &str, value: impl fmt::Display, right: &str) -> Self {
        Self::new(Kind::Setting, format!("`{name}` is `{value}`, but must be {right}"))
    }

    /// A setting cannot be understood; `why` says what is wrong, and where.
    pub fn unreadable(name: &str, value: &str, why: impl fmt::Display) -> Self {
        const SHOWN_CHARS: usize = 200;
        let shown: String = value.chars().take(SHOWN_CHARS).collect();
        let cut = if shown.len() < value.len() { "…" } else { "" };
        Self::new(Kind::Setting, format!("`{name}` is `{shown}{cut}`, but {why}"))
    }

    /// A setting cannot be used; the text says which, what it is, and what would be right.
    pub fn wrong_setting(text: impl Into<String>) -> Self {
        Self::new(Kind::Setting, text.into())
    }

    /// The same, of a setting with another name: that of the variable it was read from.
    ///
    /// ```
    /// use telemetry_core::filter::Filter;
    ///
    /// let error = "inof".parse::<Filter>().unwrap_err();
    /// assert!(error.to_string().starts_with("`filter` is `inof`"));
    /// assert!(error.of_setting("RUST_LOG").to_string().starts_with("`RUST_LOG` is `inof`"));
    /// ```
    pub fn of_setting(mut self, name: &str) -> Self {
        let rest = self.text.strip_prefix('`').and_then(|text| text.split_once('`'));
        if let (Kind::Setting, Some((_, rest))) = (self.kind, rest) {
            self.text = format!("`{name}`{rest}");
        }
        self
    }

    /// A pipeline is attached already.
    pub fn already_attached() -> Self {
        Self::new(
            Kind::AlreadyAttached,
            "a telemetry pipeline is attached already: shut it down before attaching another"
                .to_owned(),
        )
    }

    /// A process-wide global belongs to another library.
    pub fn foreign(global: &str, right: &str) -> Self {
        Self::new(Kind::Foreign, format!("{global} is set by another library already: {right}"))
    }

    /// The operating system refused something that the pipeline needs.
    pub fn resource(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(Kind::Resource, what.into()) }
    }

    /// The call is not possible from where it was made.
    pub fn not_allowed(text: impl Into<String>) -> Self {
        Self::new(Kind::NotAllowed, text.into())
    }

    fn new(kind: Kind, text: String) -> Self {
        Self { kind, text, excerpt: None, source: None }
    }

    /// The same, beginning with the variable that asked for it, unless the text names that anyway.
    pub fn said_by(mut self, variable: &str) -> Self {
        if !self.text.contains(variable) {
            self.text = format!("`{variable}`: {}", self.text);
        }
        self
    }

    /// The same, with lines that show the spot.
    pub(crate) fn with_excerpt(self, excerpt: String) -> Self {
        Self { excerpt: Some(excerpt), ..self }
    }

    /// Some lines that show the spot in a text that cannot be understood, with carets under it.
    ///
    /// ```
    /// use telemetry_core::filter::Filter;
    ///
    /// let error = "info,app=debgu".parse::<Filter>().unwrap_err();
    /// let excerpt = " |
    ///  | info,app=debgu
    ///  |          ^^^^^ did you mean `debug`?
    /// ";
    /// assert_eq!(error.excerpt(), Some(excerpt));
    /// ```
    pub fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    /// Is a setting wrong, so that another value would help?
    pub fn is_setting(&self) -> bool {
        self.kind == Kind::Setting
    }

    /// Is another pipeline attached?
    pub fn is_already_attached(&self) -> bool {
        self.kind == Kind::AlreadyAttached
    }

    /// Does a process-wide global belong to another library?
    pub fn is_foreign(&self) -> bool {
        self.kind == Kind::Foreign
    }
}

/// Drops what a caught panic carries: its destructor is the user's code and may panic once more.
#[cold]
pub(crate) fn discard_panic(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

impl fmt::Debug for Error {
    /// The text with its sources: it is what a `main` that returns the error prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
