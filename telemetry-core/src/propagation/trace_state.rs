//! `tracestate`: what tracing systems tell one another beside the ids (W3C Trace Context).
//!
//! # Invariants
//!
//! - At most [`TRACE_STATE_MEMBERS_MAX`] members, in the order in which they came; a changed one
//!   moves to the front.
//! - At most [`TRACE_STATE_BYTES_MAX`] bytes: whole members are left out, those of more than 128
//!   bytes first, then from the right.
//! - Clones share the text: it is carried with every trace that has one.

use std::fmt;
use std::sync::Arc;

/// How many members a list may have; one with more is discarded (W3C).
pub const TRACE_STATE_MEMBERS_MAX: usize = 32;
/// How many bytes of a list are kept and sent on. W3C asks for 512 at least.
pub const TRACE_STATE_BYTES_MAX: usize = 2048;
/// Members longer than this are the first to be left out (W3C).
const LONG_MEMBER_BYTES: usize = 128;

/// The content of the `tracestate` headers.
///
/// ```
/// use telemetry_core::context::TraceState;
///
/// let mut state = TraceState::parse(["congo=t61rcWkgMzE, rojo=1", "acme=2"]).unwrap();
/// assert_eq!(state.get("rojo"), Some("1"));
/// assert!(state.insert("acme", "3"));
/// assert_eq!(state.to_string(), "acme=3,congo=t61rcWkgMzE,rojo=1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceState(Option<Arc<str>>);

impl TraceState {
    /// Reads the values of all `tracestate` headers, in order; `None` when they must be discarded.
    ///
    /// Empty members are accepted and left out. Of a key that comes twice the first one, which is
    /// the newer, is kept.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut members: Vec<(&str, &str)> = Vec::new();
        let mut count = 0;
        for member in values.into_iter().flat_map(|value| value.split(',')) {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            count += 1;
            let (key, value) = member.split_once('=')?;
            if count > TRACE_STATE_MEMBERS_MAX || !is_key(key) || !is_value(value) {
                return None;
            }
            if members.iter().all(|(other, _)| *other != key) {
                members.push((key, value));
            }
        }
        Some(Self::of(members))
    }

    /// The list of a text that another one gave.
    pub(crate) fn of_text(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }

    fn of(mut members: Vec<(&str, &str)>) -> Self {
        let mut bytes: usize = members.iter().map(length).sum();
        // The comma of the last member does not exist, which leaves the limit a byte stricter.
        while bytes > TRACE_STATE_BYTES_MAX {
            let is_long = |member: &(&str, &str)| length(member) > LONG_MEMBER_BYTES + 1;
            let last = members.iter().rposition(is_long).unwrap_or(members.len() - 1);
            bytes -= length(&members.remove(last));
        }
        if members.is_empty() {
            return Self(None);
        }
        let mut text = String::with_capacity(bytes);
        for (key, value) in members {
            if !text.is_empty() {
                text.push(',');
            }
            text.extend([key, "=", value]);
        }
        Self(Some(text.into()))
    }

    /// The list as a header's value; empty when there is no member.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Is there no member?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The members, newest first.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.as_str().split(',').filter_map(|member| member.split_once('='))
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Sets a member, which becomes the first; the last one makes room if need be.
    ///
    /// Returns `false`, and changes nothing, for a key or value that the grammar does not allow.
    pub fn insert(&mut self, key: &str, value: &str) -> bool {
        if !is_key(key) || !is_value(value) {
            return false;
        }
        let others = self.members().filter(|(other, _)| *other != key);
        let members = std::iter::once((key, value)).chain(others);
        *self = Self::of(members.take(TRACE_STATE_MEMBERS_MAX).collect());
        true
    }

    /// Removes a member.
    pub fn remove(&mut self, key: &str) {
        *self = Self::of(self.members().filter(|(other, _)| *other != key).collect());
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes of a member and the comma behind it.
fn length((key, value): &(&str, &str)) -> usize {
    key.len() + value.len() + 2
}

/// Level 2: `( lcalpha / DIGIT ) 0*255( lcalpha / DIGIT / "_" / "-" / "*" / "/" / "@" )`.
fn is_key(key: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_next = |byte: &u8| is_first(byte) || b"_-*/@".contains(byte);
    let bytes = key.as_bytes();
    (1..=256).contains(&bytes.len()) && is_first(&bytes[0]) && bytes.iter().all(is_next)
}

/// `0*255(chr) nblk-chr`: printable ASCII without `,` and `=`, not ending with a space.
fn is_value(value: &str) -> bool {
    let is_char = |byte: &u8| matches!(byte, b' '..=b'~') && !b",=".contains(byte);
    let bytes = value.as_bytes();
    (1..=256).contains(&bytes.len()) && bytes.iter().all(is_char) && bytes.last() != Some(&b' ')
}
