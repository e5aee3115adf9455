//! Secrets in texts: what patterns match, and the user information of URLs.
//!
//! # Invariants
//!
//! - The work is linear in the text for each pattern, and patterns are bounded in number and size.
//! - A text without a match is not copied.

use super::REDACTED;
use crate::error::Error;
use regex_lite::{Regex, RegexBuilder};
use std::fmt;
use std::ops::Range;

/// How many patterns there may be.
pub const PATTERNS_MAX: usize = 32;
/// The largest compiled pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// How deep the groups of a pattern may be nested.
const PATTERN_DEPTH_MAX: u32 = 32;

/// Patterns of secrets in texts. The one of URLs is always there.
#[derive(Clone, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

impl fmt::Debug for Patterns {
    /// How many: one may be the very secret that is to be replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patterns").field(&self.0.len()).finish()
    }
}

#[derive(Clone)]
struct Pattern {
    regex: Regex,
    /// What every match contains: most texts do not, and are not searched.
    literal: String,
}

impl Patterns {
    /// Adds a pattern.
    ///
    /// # Errors
    ///
    /// It cannot be read, matches the empty text, is too large, or is one too many.
    pub(crate) fn add(&mut self, pattern: &str) -> Result<(), Error> {
        if self.0.len() >= PATTERNS_MAX {
            return Err(self.refused(pattern, format_args!("one of at most {PATTERNS_MAX}")));
        }
        let built = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX)
            .build();
        let regex = built.map_err(|error| {
            let limits = format_args!(
                "at most {PATTERN_BYTES_MAX} bytes compiled, groups {PATTERN_DEPTH_MAX} deep"
            );
            self.refused(pattern, format_args!("a regular expression ({limits}): {error}"))
        })?;
        if regex.is_match("") {
            let right = format_args!("one that does not match the empty text");
            return Err(self.refused(pattern, right));
        }
        self.0.push(Pattern { regex, literal: literal(pattern) });
        Ok(())
    }

    /// By its number: it may be the very secret that is to be replaced.
    fn refused(&self, pattern: &str, right: fmt::Arguments<'_>) -> Error {
        let (number, bytes) = (self.0.len() + 1, pattern.len());
        Error::wrong_setting(format!(
            "`redact_values` has a pattern {number}, of {bytes} bytes, that must be {right}"
        ))
    }

    /// The text without its secrets, and how many there were; `None` = there are none.
    pub(crate) fn replace(&self, text: &str) -> Option<(String, u64)> {
        let mut found = user_information(text);
        for pattern in self.0.iter().filter(|pattern| text.contains(&pattern.literal)) {
            found.extend(pattern.regex.find_iter(text).map(|found| found.range()));
        }
        if found.is_empty() {
            return None;
        }
        Some(without(text, found))
    }

    /// Could texts among these bytes hold a secret?
    pub(crate) fn may_match(&self, bytes: &[u8]) -> bool {
        !self.0.is_empty() || bytes.contains(&b'@')
    }
}

/// The text with each of these ranges replaced, those that touch as one.
fn without(text: &str, mut ranges: Vec<Range<usize>>) -> (String, u64) {
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut clean, mut count, mut end) = (String::with_capacity(text.len()), 0, 0);
    for range in ranges {
        if range.start > end || count == 0 {
            clean.push_str(&text[end..range.start]);
            clean.push_str(REDACTED);
            count += 1;
        }
        end = end.max(range.end);
    }
    clean.push_str(&text[end..]);
    (clean, count)
}

/// What every match of a pattern begins with, as far as that is easy to see: `sk-` of `\bsk-\w+`.
fn literal(pattern: &str) -> String {
    if pattern.contains('|') {
        return String::new();
    }
    let start = pattern.trim_start_matches("\\b").trim_start_matches('^');
    let mut literal: String =
        start.chars().take_while(|c| !r"\.[](){}*+?|^$#".contains(*c)).collect();
    // What stands before one of these may be missing.
    if start[literal.len()..].starts_with(['*', '?', '{']) {
        literal.pop();
    }
    literal
}

/// The user information in a text: of URLs, what stands between `://` and `@`, and of bare
/// authorities (`ann:secret@host`), which libraries log as well.
///
/// A password may hold what it should not: where the part before the path cannot be a host with a
/// port, the user information goes on up to the last `@` before the next space or quote.
fn user_information(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let mut base = 0;
    for token in text.split_inclusive(is_end) {
        if let Some(last) = token.rfind('@') {
            let mut add = |range: Range<usize>| {
                if !is_redacted(&token[range.clone()]) {
                    found.push(base + range.start..base + range.end);
                }
            };
            match token.contains("://") {
                true => of_urls(token, last, &mut add),
                false => {
                    of_authority(token.trim_end_matches(is_end), last).into_iter().for_each(add)
                }
            }
        }
        base += token.len();
    }
    found
}

/// `last` is the last `@`: looked for once, so that a token of many URLs takes no longer.
fn of_urls(token: &str, last: usize, add: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(at) = token[from..last].find("://") {
        let start = from + at + 3;
        let authority = token[start..].split(['/', '?', '#']).next().unwrap_or_default();
        let length = match is_host_and_port(authority) {
            true => authority.rfind('@').unwrap_or(0),
            false => last - start,
        };
        add(start..start + length);
        from = start + length;
    }
}

/// What may stand where a user does, and is no user: an address with no password follows.
const NO_USERS: [&str; 9] = ["mailto", "sip", "sips", "xmpp", "acct", "to", "from", "cc", "bcc"];

/// `user:password` in front of the last `@`, if what follows is a host.
fn of_authority(token: &str, last: usize) -> Option<Range<usize>> {
    let host = token[last + 1..].trim_end_matches([')', ']', '}', ',', ';', '.']);
    let host = host.split(['/', '?', '#', ',']).next().unwrap_or_default();
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if host.is_empty() || !host.chars().all(is_host) || !is_host_and_port(host) {
        return None;
    }
    let is_user = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '%' | '+');
    let colons = token[..last].match_indices(':').map(|(colon, _)| colon);
    colons.into_iter().find_map(|colon| {
        let before = &token[..colon];
        let user = &before[before.trim_end_matches(is_user).len()..];
        let is_first = !before[..before.len() - user.len()].ends_with([':', '/', '@']);
        let has_password = colon + 1 < last && !token[colon + 1..].starts_with(':');
        let is_user = !user.is_empty() && !NO_USERS.iter().any(|no| user.eq_ignore_ascii_case(no));
        (is_user && is_first && has_password).then(|| colon - user.len()..last)
    })
}

/// Has somebody else redacted it: as OpenTelemetry's `url.full` has it, or with stars?
fn is_redacted(user_information: &str) -> bool {
    let mut parts = user_information.split(':');
    parts.all(|part| matches!(part, "" | "REDACTED" | REDACTED) || part.bytes().all(|b| b == b'*'))
}

/// Is it `host`, `host:port` or `[address]:port`? What holds an `@` is judged by what follows it.
fn is_host_and_port(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let after_address = host.rsplit(']').next().unwrap_or_default();
    let port = after_address.split_once(':').map_or("", |(_, port)| port);
    port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(patterns: &[&str], text: &str) -> String {
        let mut all = Patterns::default();
        patterns.iter().for_each(|pattern| all.add(pattern).unwrap());
        all.replace(text).map_or_else(|| text.to_owned(), |(clean, _)| clean)
    }

    #[test]
    fn user_information_of_urls_is_replaced() {
        let table = [
            ("postgres://shop:hunter2@db:5432/shop", "postgres://[redacted]@db:5432/shop"),
            ("at https://ghp_1234@github.com/a, ok", "at https://[redacted]@github.com/a, ok"),
            ("Url { \"amqp://u:p@q\" }", "Url { \"amqp://[redacted]@q\" }"),
            ("http://u:p@a/ and http://v:q@b/", "http://[redacted]@a/ and http://[redacted]@b/"),
            ("redis://:p@ss@host/1", "redis://[redacted]@host/1"),
            ("mysql://u:a/b?c#d@host/x", "mysql://[redacted]@host/x"),
            ("http://u:p@[::1]:80/", "http://[redacted]@[::1]:80/"),
            ("http://ünï:pä@host", "http://[redacted]@host"),
            ("idle: (\"http\", ann:pw@127.0.0.1:80)", "idle: (\"http\", [redacted]@127.0.0.1:80)"),
            ("to ann:pw@db.example.org.", "to [redacted]@db.example.org."),
            ("dsn=ann:p@s,s@db/x?y", "dsn=[redacted]@db/x?y"),
            ("Some(ann:pw@[::1]:80)", "Some([redacted]@[::1]:80)"),
        ];
        for (text, expected) in table {
            assert_eq!(clean(&[], text), expected);
        }
        let same = [
            "http://REDACTED:REDACTED@host/",
            "http://[redacted]@host/",
            "http://****:@host/",
            "mailto:ann@example.org",
            "From:ann@example.org",
            "git@host:org/repo",
            "registry/app:1.2@sha256:0a1b2c",
            "src/main.rs:10:5@worker",
            "crate::module@host",
            "a:@host",
            ":b@host",
            "a:b@",
            "ann:pw@ and more",
            "",
            "@",
            "://",
            "http://",
            "http://@host",
            "a@b.org",
            "https://host:8080/npm/@scope/x",
            "http://host/?mail=a@b.org",
            "see http://host and ask me@host",
            "http://[::1]:80/@x",
        ];
        for text in same {
            assert_eq!(clean(&[], text), text);
        }
    }

    #[test]
    fn what_patterns_match_is_replaced_once_where_they_overlap() {
        let patterns =
            [r"\bsk-[a-z0-9]+", r"key=\S+", r"(?i)bearer [a-z0-9.]+", "AKIA[A-Z0-9]{4,}"];
        assert_eq!(clean(&patterns, "key=sk-abc1 and SK-x"), "[redacted] and SK-x");
        assert_eq!(clean(&patterns, "Bearer eyJ.x, AKIAAAAA!"), "[redacted], [redacted]!");
        assert_eq!(clean(&["ab", "ba"], "xabay"), "x[redacted]y");
        assert_eq!(clean(&["a"], "aaab"), "[redacted]b");
        let mut one = Patterns::default();
        one.add("s[0-9]").unwrap();
        assert_eq!(one.replace("s1 s2").unwrap().1, 2);
        assert!(one.replace("nothing").is_none());
    }

    #[test]
    fn literal_is_in_every_match() {
        let table = [
            (r"\bsk-\w+", "sk-"),
            ("abc*", "ab"),
            ("abc+", "abc"),
            ("abc?d", "ab"),
            ("a{0}b", ""),
            ("abc|d", ""),
            ("(?i)abc", ""),
            ("^abc$", "abc"),
            (r"\d", ""),
            ("", ""),
            ("größe.", "größe"),
            ("ö*", ""),
            ("[ab]c", ""),
        ];
        for (pattern, expected) in table {
            assert_eq!(literal(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_used_are_refused_with_the_limit() {
        let mut patterns = Patterns::default();
        let nested = format!("{}a{}", "(".repeat(500), ")".repeat(500));
        let table = [
            ("canary(", "a regular expression"),
            ("(canary)*", "empty text"),
            ("", "empty text"),
            ("(?=canary)", "a regular expression"),
            (r"\w{9999}{9999}", "65536 bytes"),
            (&nested, "32 deep"),
        ];
        for (pattern, why) in table {
            let error = patterns.add(pattern).unwrap_err();
            let text = error.to_string();
            assert!(
                error.is_setting() && text.contains(why) && text.contains("pattern 1"),
                "{text}"
            );
            assert!(!text.contains("canary"), "{text}");
        }
        for n in 0..PATTERNS_MAX {
            patterns.add(&format!("secret{n}")).unwrap();
        }
        let error = patterns.add("canary").unwrap_err().to_string();
        assert!(error.contains("pattern 33") && error.contains("at most 32"), "{error}");
    }
}
