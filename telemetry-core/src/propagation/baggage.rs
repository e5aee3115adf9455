//! Baggage: names and values that travel with a request (W3C Baggage).
//!
//! # Invariants
//!
//! - At most [`BAGGAGE_MEMBERS_MAX`] members and [`BAGGAGE_BYTES_MAX`] bytes as a header, across
//!   all headers; what is beyond is left out whole.
//! - Names are tokens, values any text: percent-encoded on the wire.
//! - Clones share the members. `Debug` shows names only: values are the users'.

use std::fmt;
use std::sync::Arc;

/// How many members are kept (W3C's least limit).
pub const BAGGAGE_MEMBERS_MAX: usize = 64;
/// How many bytes the header may have (W3C's least limit).
pub const BAGGAGE_BYTES_MAX: usize = 8192;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    key: String,
    value: String,
    /// The properties behind the value, as they came.
    metadata: String,
}

impl Member {
    fn of(text: &str) -> Option<Self> {
        let (pair, metadata) = text.split_once(';').unwrap_or((text, ""));
        let (key, value) = pair.split_once('=')?;
        let (key, value, metadata) = (trim(key), trim(value), trim(metadata));
        let is_whole = is_token(key) && value.bytes().all(is_octet);
        if !is_whole || !metadata.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return None;
        }
        Some(Self { key: key.to_owned(), value: decode(value), metadata: metadata.to_owned() })
    }

    /// Bytes as a part of the header, the comma before it included.
    fn length(&self) -> usize {
        let value: usize = self.value.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum();
        let metadata = if self.metadata.is_empty() { 0 } else { self.metadata.len() + 1 };
        self.key.len() + value + metadata + 2
    }
}

/// Names and values that travel with a request.
///
/// They go to every service that is called, in clear text: no secrets, nothing about people.
///
/// ```
/// use telemetry_core::context::Baggage;
///
/// let mut baggage = Baggage::parse(["tenant=acme%20corp;ttl=3, user=7"]);
/// assert_eq!(baggage.get("tenant"), Some("acme corp"));
/// assert!(baggage.insert("region", "eu"));
/// assert_eq!(baggage.to_string(), "tenant=acme%20corp;ttl=3,user=7,region=eu");
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Baggage {
    members: Arc<Vec<Member>>,
    bytes: usize,
}

impl Baggage {
    /// Reads the values of all `baggage` headers. A member that breaks the grammar is left out; so
    /// are members beyond the limits. The later of two members with one name replaces the earlier.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut baggage = Self::default();
        let parts = values.into_iter().flat_map(|value| value.split(','));
        for member in parts.filter_map(Member::of) {
            baggage.put(member);
        }
        baggage
    }

    /// Is there no member?
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|member| (member.key.as_str(), member.value.as_str()))
    }

    /// The value under a name.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The properties of a member, as they came (`ttl=3;secret`).
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let member = self.members.iter().find(|member| member.key == key)?;
        Some(member.metadata.as_str())
    }

    /// Sets a member without properties.
    ///
    /// Returns `false`, and changes nothing, for a name that is no token (RFC 7230) and for a
    /// member that the limits leave no room for.
    pub fn insert(&mut self, key: &str, value: &str) -> bool {
        let member =
            Member { key: key.to_owned(), value: value.to_owned(), metadata: String::new() };
        is_token(key) && self.put(member)
    }

    /// Removes a member.
    pub fn remove(&mut self, key: &str) {
        Arc::make_mut(&mut self.members).retain(|member| member.key != key);
        self.bytes = self.members.iter().map(Member::length).sum();
    }

    fn put(&mut self, member: Member) -> bool {
        let place = self.members.iter().position(|other| other.key == member.key);
        let before = place.map_or(0, |place| self.members[place].length());
        let bytes = self.bytes - before + member.length();
        // One less than the limit is counted: the first member has no comma before it.
        if bytes > BAGGAGE_BYTES_MAX + 1 {
            return false;
        }
        if place.is_none() && self.members.len() >= BAGGAGE_MEMBERS_MAX {
            return false;
        }
        let members = Arc::make_mut(&mut self.members);
        match place {
            Some(place) => members[place] = member,
            None => members.push(member),
        }
        self.bytes = bytes;
        true
    }
}

/// Writes the header's value.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, member) in self.members.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            write!(f, "{}=", member.key)?;
            encode(f, &member.value)?;
            if !member.metadata.is_empty() {
                write!(f, ";{}", member.metadata)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.members.iter().map(|member| member.key.as_str());
        f.write_str("Baggage")?;
        f.debug_set().entries(keys).finish()
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 7230, section 3.2.6.
fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_char)
}

/// `baggage-octet`: printable ASCII without space, `"`, `,`, `;` and `\`.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

/// May a byte of a value stand on the wire as it is?
fn is_plain(byte: u8) -> bool {
    is_octet(byte) && byte != b'%'
}

fn encode(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let mut rest = value.as_bytes();
    while let Some(byte) = rest.first() {
        let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
        if plain == 0 {
            write!(f, "%{byte:02X}")?;
            rest = &rest[1..];
            continue;
        }
        f.write_str(std::str::from_utf8(&rest[..plain]).unwrap_or_default())?;
        rest = &rest[plain..];
    }
    Ok(())
}

/// Percent-decodes; what is no UTF-8 becomes U+FFFD, a `%` without two digits stays.
fn decode(value: &str) -> String {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
        if let (b'%', (Some(high), Some(low))) = (byte, digits) {
            decoded.push((high << 4 | low) as u8);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
