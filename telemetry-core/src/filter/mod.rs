//! Which callsites an exporter wants: `RUST_LOG` levels and `target=level`.
//!
//! # Invariants
//!
//! - The longest target that is a prefix (up to a `::`) decides; among equals the later directive.
//! - `-` and `_` are the same in a target: crate names are written with either.
//! - Empty parts and spaces are tolerated; what cannot be understood is an error, never a silence.

use crate::error::Error;
use crate::level::Level;
use std::fmt;
use std::str::FromStr;

/// The longest filter text, in bytes.
pub const FILTER_BYTES_MAX: usize = 64 * 1024;
/// The most directives of a filter.
pub const DIRECTIVES_MAX: usize = 1024;

/// A set of directives.
///
/// ```
/// use telemetry_core::{Level, filter::Filter};
///
/// let filter: Filter = "info, my-app::db=debug, hyper=off".parse()?;
/// assert!(filter.enabled("my_app::db::pool", Level::Debug));
/// assert!(!filter.enabled("my_app", Level::Debug));
/// assert!(!filter.enabled("hyper::client", Level::Error));
/// # Ok::<(), telemetry_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Longest target first; the empty target is the default.
    directives: Vec<Directive>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    target: String,
    /// `None` = off.
    level: Option<Level>,
}

impl Filter {
    /// Everything from `level` on, whatever the target.
    pub fn level(level: Level) -> Self {
        Self { directives: vec![Directive { target: String::new(), level: Some(level) }] }
    }

    /// Nothing.
    pub fn off() -> Self {
        Self { directives: vec![Directive { target: String::new(), level: None }] }
    }

    /// Is an event or span of this target and level wanted?
    pub fn enabled(&self, target: &str, level: Level) -> bool {
        self.directives
            .iter()
            .find(|directive| directive.covers(target))
            .and_then(|directive| directive.level)
            .is_some_and(|least| level >= least)
    }

    /// The least severe level that any directive lets through; `None` = nothing passes.
    pub fn max_level(&self) -> Option<Level> {
        self.directives.iter().filter_map(|directive| directive.level).min()
    }
}

impl Directive {
    fn covers(&self, target: &str) -> bool {
        let Some((head, rest)) = target.as_bytes().split_at_checked(self.target.len()) else {
            return false;
        };
        let is_same =
            |(byte, wanted): (&u8, u8)| *byte == wanted || (*byte == b'-' && wanted == b'_');
        head.iter().zip(self.target.bytes()).all(is_same)
            && (head.is_empty()
                || rest.is_empty()
                || rest.starts_with(b"::")
                || head.ends_with(b"::"))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        if let Some(bracket) = text.find(['[', '{', '"']) {
            let part = &text[bracket..];
            let right = "a level, `target` or `target=level`: spans and fields cannot be filtered";
            return Err(Error::setting("filter", part, right));
        }
        match text.split_once('=') {
            Some((target, level)) => {
                let target = normal(target.trim());
                Ok(Self { target, level: parse_level(level.trim())? })
            }
            None => match parse_level(text) {
                Ok(level) => Ok(Self { target: String::new(), level }),
                Err(_) => match likely_level(text) {
                    Some(level) => Err(Error::setting(
                        "filter",
                        text,
                        &format!("a level (did you mean `{level}`?) or `{text}=trace`"),
                    )),
                    None => Ok(Self { target: normal(text), level: Some(Level::Trace) }),
                },
            },
        }
    }
}

fn normal(target: &str) -> String {
    target.replace('-', "_")
}

fn parse_level(text: &str) -> Result<Option<Level>, Error> {
    match text {
        "0" => return Ok(None),
        "1" => return Ok(Some(Level::Error)),
        "2" => return Ok(Some(Level::Warn)),
        "3" => return Ok(Some(Level::Info)),
        "4" => return Ok(Some(Level::Debug)),
        "5" => return Ok(Some(Level::Trace)),
        _ if text.eq_ignore_ascii_case("off") => return Ok(None),
        _ => {}
    }
    text.parse()
        .map(Some)
        .map_err(|_| Error::setting("filter", text, "one of off, error, warn, info, debug, trace"))
}

/// The level that a word was probably meant to be: as long, and one letter or one swap away.
fn likely_level(text: &str) -> Option<&'static str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let word = text.to_ascii_lowercase();
    LEVELS.into_iter().find(|level| {
        let (mut a, mut b) = (word.clone().into_bytes(), level.as_bytes().to_vec());
        let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        a.sort_unstable();
        b.sort_unstable();
        (level.len() > 3 && a == b)
            || (level.len() > 3 && word.len() == level.len() && differing == 1)
            || word == format!("{level}s")
            || (*level == "warn" && word == "warning")
    })
}

impl FromStr for Filter {
    type Err = Error;

    /// # Errors
    ///
    /// A directive that cannot be understood, a text longer than [`FILTER_BYTES_MAX`], more than
    /// [`DIRECTIVES_MAX`] directives.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > FILTER_BYTES_MAX {
            let right = format!("at most {FILTER_BYTES_MAX} bytes long");
            return Err(Error::setting("filter", format_args!("{} bytes", text.len()), &right));
        }
        let parts: Vec<_> =
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.len() > DIRECTIVES_MAX {
            let right = format!("at most {DIRECTIVES_MAX} directives");
            return Err(Error::setting("filter", format_args!("{} of them", parts.len()), &right));
        }
        if parts.is_empty() {
            return Ok(Self::off());
        }
        let mut directives: Vec<Directive> = Vec::with_capacity(parts.len());
        for part in parts {
            let directive = Directive::parse(part)?;
            directives.retain(|other| other.target != directive.target);
            directives.push(directive);
        }
        directives.sort_by_key(|directive| std::cmp::Reverse(directive.target.len()));
        Ok(Self { directives })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, directive) in self.directives.iter().rev().enumerate() {
            let separator = if n == 0 { "" } else { "," };
            let level = directive.level.map_or("off", |level| level.as_str());
            match directive.target.as_str() {
                "" => write!(f, "{separator}{}", level.to_ascii_lowercase())?,
                target => write!(f, "{separator}{target}={}", level.to_ascii_lowercase())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, target: &str, level: Level, expected: bool) {
        let filter: Filter = text.parse().unwrap();
        assert_eq!(filter.enabled(target, level), expected, "{text} for {target} {level}");
        let again: Filter = filter.to_string().parse().unwrap();
        assert_eq!(again, filter, "printed and read again");
    }

    #[test]
    fn longest_matching_target_decides() {
        check("info,app=warn,app::db=trace", "app::db::pool", Level::Trace, true);
        check("info,app=warn,app::db=trace", "app::web", Level::Info, false);
        check("info,app=warn", "application", Level::Info, true);
        check("app=debug", "other", Level::Error, false);
        check("off", "app", Level::Error, false);
        check("", "app", Level::Error, false);
        check("app", "app::x", Level::Trace, true);
        check("app=off,info", "app", Level::Error, false);
    }

    #[test]
    fn spaces_empty_parts_case_and_dashes_are_tolerated() {
        check(" INFO ,, my-app = Debug ,", "my_app::x", Level::Debug, true);
        check("my_app=debug", "my-app", Level::Debug, true);
        check("3", "x", Level::Info, true);
    }

    #[test]
    fn later_directive_wins_among_equals() {
        check("app=debug,app=error", "app", Level::Warn, false);
        check("error,debug", "app", Level::Debug, true);
    }

    #[test]
    fn typos_of_a_level_are_errors_with_a_suggestion() {
        for (typo, meant) in [("inof", "info"), ("debgu", "debug"), ("warning", "warn")] {
            let error = typo.parse::<Filter>().unwrap_err();
            assert!(error.is_setting());
            let text = error.to_string();
            assert!(text.contains(typo) && text.contains(&format!("`{meant}`")), "{text}");
        }
        assert!("app=inof".parse::<Filter>().is_err());
        assert!("app[span]=info".parse::<Filter>().is_err());
    }

    #[test]
    fn limits_are_named() {
        let text = "x".repeat(FILTER_BYTES_MAX + 1).parse::<Filter>().unwrap_err().to_string();
        assert!(text.contains("65536"), "{text}");
        let text = "a=info,".repeat(2000).parse::<Filter>().unwrap_err().to_string();
        assert!(text.contains("1024"), "{text}");
    }
}
