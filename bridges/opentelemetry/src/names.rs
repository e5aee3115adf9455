//! Callsites for names that are made up at run time.
//!
//! # Invariants
//!
//! - A pair of scope and name has one callsite, for ever.
//! - There are at most [`NAMES_MAX`]: what comes later is told by a field, and its callsite has the
//!   name of its kind.
//! - A fork's child asks nobody: the lock may be held by a thread that is not there. Its names share
//!   a callsite that nobody wants.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};
use telemetry_core::callsite::Callsite;
use telemetry_core::context::{event_callsite, span_callsite};
use telemetry_core::{Level, is_forked};

/// How many callsites are made for names.
const NAMES_MAX: usize = 4096;

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Span,
    Event,
    /// An event that tells of an error.
    Error,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Event => "event",
            Self::Error => "exception",
        }
    }

    fn register(self, scope: &str, name: &str) -> &'static Callsite {
        match self {
            Self::Span => span_callsite(Level::Info, scope, name),
            Self::Event => event_callsite(Level::Info, scope, name),
            Self::Error => event_callsite(Level::Error, scope, name),
        }
    }
}

/// By scope, kind (as a number) and name.
#[derive(Debug, Default)]
struct Callsites {
    by_scope: HashMap<String, [HashMap<String, &'static Callsite>; 3]>,
    count: usize,
}

impl Callsites {
    fn find(&self, kind: Kind, scope: &str, name: &str) -> Option<&'static Callsite> {
        self.by_scope.get(scope)?[kind as usize].get(name).copied()
    }

    fn make(&mut self, kind: Kind, scope: &str, name: &str) -> &'static Callsite {
        self.count += 1;
        let callsite = kind.register(scope, name);
        let of_scope = self.by_scope.entry(scope.to_owned()).or_default();
        of_scope[kind as usize].insert(name.to_owned(), callsite);
        callsite
    }
}

static CALLSITES: LazyLock<RwLock<Callsites>> = LazyLock::new(RwLock::default);

/// A callsite, and whether it has the name: else a field has to tell it.
pub(crate) fn callsite(kind: Kind, scope: &str, name: &str) -> (&'static Callsite, bool) {
    if is_forked() {
        return (silent(kind), false);
    }
    let find = |scope: &str, name: &str| {
        CALLSITES.read().unwrap_or_else(PoisonError::into_inner).find(kind, scope, name)
    };
    if let Some(callsite) = find(scope, name) {
        return (callsite, true);
    }
    let mut callsites = CALLSITES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(callsite) = callsites.find(kind, scope, name) {
        return (callsite, true);
    }
    if callsites.count < NAMES_MAX {
        return (callsites.make(kind, scope, name), true);
    }
    // The scopes' share is bounded by the same number: then it is a common one.
    let of_kind = |callsites: &mut Callsites, scope: &str| {
        callsites
            .find(kind, scope, kind.as_str())
            .unwrap_or_else(|| callsites.make(kind, scope, kind.as_str()))
    };
    let scope = if callsites.count < 2 * NAMES_MAX { scope } else { "opentelemetry" };
    (of_kind(&mut callsites, scope), false)
}

/// What a fork's child has for all names.
fn silent(kind: Kind) -> &'static Callsite {
    static SILENT: [OnceLock<&'static Callsite>; 3] = [const { OnceLock::new() }; 3];
    SILENT[kind as usize].get_or_init(|| kind.register("opentelemetry", kind.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_up_to_a_limit() {
        let (first, named) = callsite(Kind::Span, "scope", "first");
        assert!(named && first.name() == "first" && first.target() == "scope");
        for n in 0..3 * NAMES_MAX {
            callsite(Kind::Event, &format!("scope {n}"), "name");
        }
        let (late, named) = callsite(Kind::Span, "scope", "late");
        assert!(!named);
        assert_eq!((late.name(), late.target()), ("span", "opentelemetry"));
        assert!(callsite(Kind::Span, "scope", "first").1, "those from before are still known");
        assert!(CALLSITES.read().unwrap().count <= 2 * NAMES_MAX + 3);
    }
}
