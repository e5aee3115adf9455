//! A callsite for each place that logs through the `log` crate, whichever way its records come: what
//! is decided about it is remembered, and its events are counted for themselves.
//!
//! # Invariants
//!
//! - A place that is known is found without a lock.
//! - A place is a target, a level, a file and a line. At most [`PLACES_MAX`] are known, and none
//!   with more text than [`TEXT_MAX`]: targets may be made up while the program runs.

use crate::callsite::{self, Callsite, Description};
use crate::level::Level;
use crate::router;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many places are known: 6 MiB of them at the most.
const PLACES_MAX: u32 = 4096;
/// How many bytes target, module and file have together.
const TEXT_MAX: usize = 1024;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Where a record comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) module: Option<&'a str>,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u32>,
}

impl Place<'_> {
    /// The callsite of the place; `None` if there are too many, or in a fork's child.
    #[inline]
    pub(crate) fn callsite(&self) -> Option<&'static Callsite> {
        let key = self.key();
        match callsite::find_at(key) {
            // Of two places with one key, the second has no callsite.
            Some(callsite) => self.is_of(callsite).then_some(callsite),
            None => self.register(key),
        }
    }

    fn is_of(&self, callsite: &Callsite) -> bool {
        callsite.line() == self.line
            && callsite.level() == self.level
            && callsite.target() == self.target
            && callsite.file() == self.file
    }

    #[cold]
    #[inline(never)]
    fn register(&self, key: usize) -> Option<&'static Callsite> {
        let texts = [Some(self.target), self.module, self.file];
        if texts.iter().flatten().map(|text| text.len()).sum::<usize>() > TEXT_MAX {
            return None;
        }
        // In a fork's child, the locks may be held by a thread that is not there.
        // Relaxed: the count is a limit, not a message, and one or two more do no harm.
        if router::is_forked() || COUNT.load(Ordering::Relaxed) >= PLACES_MAX {
            return None;
        }
        COUNT.fetch_add(1, Ordering::Relaxed);
        let description = Description {
            span: false,
            level: self.level,
            name: "log record".to_owned(),
            target: self.target.to_owned(),
            module: self.module.map(str::to_owned),
            file: self.file.map(str::to_owned),
            line: self.line,
            fields: Vec::new(),
            measurements: 0,
            named: false,
        };
        let callsite = router::register_place(description, key);
        self.is_of(callsite).then_some(callsite)
    }

    /// A number that hardly any two places share. It is odd: the addresses that other callsites are
    /// known by are not.
    fn key(&self) -> usize {
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
        let line = u64::from(self.line.unwrap_or_default());
        let file_bytes = self.file.unwrap_or_default().len() as u64;
        let mut hash = mix(FACTOR, line << 32 | file_bytes << 3 | self.level as u64);
        let (words, rest) = self.target.as_bytes().as_chunks::<8>();
        for word in words {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        let rest = rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte));
        mix(hash, rest) as usize | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callsite(target: &str, line: u32) -> Option<&'static Callsite> {
        let (file, module) = (Some("places.rs"), None);
        Place { level: Level::Info, target, module, file, line: Some(line) }.callsite()
    }

    /// One test, because the process has one table.
    #[test]
    fn place_has_one_callsite_of_its_own_up_to_a_limit() {
        let a = callsite("places::a", 1).unwrap();
        assert!(std::ptr::eq(a, callsite("places::a", 1).unwrap()));
        for (target, line) in [("places::b", 1), ("places::a", 2), ("places::a\0", 1)] {
            let other = callsite(target, line).unwrap();
            assert!(!std::ptr::eq(a, other), "{target}:{line}");
        }
        assert_eq!((a.target(), a.file(), a.line()), ("places::a", Some("places.rs"), Some(1)));
        let error = Place {
            level: Level::Error,
            target: "places::a",
            module: None,
            file: None,
            line: None,
        };
        assert_eq!(error.callsite().unwrap().level(), Level::Error);

        assert!(callsite(&"x".repeat(TEXT_MAX), 1).is_none(), "its file has a name, too");
        for n in 0..PLACES_MAX + 1_000 {
            callsite(&format!("places::many::{n}"), 7);
        }
        let known = callsite::all().filter(|callsite| callsite.target().starts_with("places::"));
        assert!(known.count() <= PLACES_MAX as usize);
        assert!(callsite("places::new", 8).is_none());
        assert!(std::ptr::eq(a, callsite("places::a", 1).unwrap()));
    }
}
