//! The attributes of the resource; `OTEL_RESOURCE_ATTRIBUTES`: `key=value` pairs, separated by
//! commas, percent-encoded.
//!
//! # Invariants
//!
//! - All or nothing: one pair that cannot be read discards the whole variable (OpenTelemetry,
//!   resource SDK, "Specifying resource information via an environment variable").
//! - An error shows the key only, and of what has none its place: it may be the end of a value with
//!   a comma in it.

use crate::setting::{Origin, Setting};
use std::collections::BTreeMap;
use telemetry_core::Error;
use telemetry_core::resource::Resource;

/// The variable's name.
pub(crate) const VARIABLE: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// The most pairs.
const PAIRS_MAX: usize = 128;

/// The attributes of the resource, each with where it comes from.
pub(crate) struct Attributes(BTreeMap<String, Setting<String>>);

impl Default for Attributes {
    fn default() -> Self {
        let usual = Resource::default();
        let setting = |(key, value): (&str, &str)| (key.to_owned(), Setting::new(value.to_owned()));
        Self(usual.attributes().map(setting).collect())
    }
}

impl Attributes {
    /// Sets an attribute; one of the same key is replaced.
    pub(crate) fn set(&mut self, key: String, value: String, origin: Origin) {
        self.0.insert(key, Setting::from(value, origin));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Setting<String>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn resource(&self) -> Resource {
        let all = self.iter();
        all.fold(Resource::default(), |resource, (key, value)| resource.with(key, value.as_str()))
    }
}

/// The attributes in `text`.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs: Vec<_> = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > PAIRS_MAX {
        let right = format!("at most {PAIRS_MAX} pairs");
        return Err(Error::setting(VARIABLE, format_args!("{} pairs", pairs.len()), &right));
    }
    pairs.into_iter().enumerate().map(|(n, text)| pair(n + 1, text)).collect()
}

fn pair(number: usize, text: &str) -> Result<(String, String), Error> {
    let Some((key, value)) = text.split_once('=') else {
        let place = format_args!("pair {number} ([redacted])");
        return Err(Error::setting(VARIABLE, place, "pairs of the form `key=value`"));
    };
    let wrong = || {
        let value = format_args!("{}=…", shown(key));
        Error::setting(VARIABLE, value, "percent-encoded UTF-8 behind a key")
    };
    let key = decode(key.trim()).filter(|key| !key.is_empty()).ok_or_else(wrong)?;
    let value = decode(value.trim()).ok_or_else(wrong)?;
    Ok((key, value))
}

fn shown(text: &str) -> String {
    text.trim().chars().take(64).collect()
}

/// The text with each `%` and two hexadecimal digits turned into a byte (RFC 3986, 2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        let digit = |n: usize| char::from(digits[n]).to_digit(16);
        bytes.push((digit(0)? * 16 + digit(1)?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn percent_encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn what_is_percent_encoded_is_read(
            pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..9),
        ) {
            let pairs: Vec<_> = pairs.into_iter().filter(|(key, _)| !key.is_empty()).collect();
            let pair = |(key, value): &(String, String)| {
                format!(" {} = {} ,", percent_encoded(key), percent_encoded(value))
            };
            prop_assert_eq!(parse(&pairs.iter().map(pair).collect::<String>()).unwrap(), pairs);
        }

        #[test]
        fn any_text_is_read_as_a_whole_or_refused_without_its_values(
            text in prop_oneof!["[a-c=,% ]{0,30}", any::<String>()],
        ) {
            let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
            match parse(&text) {
                Ok(pairs) => prop_assert_eq!(pairs.len(), parts().count()),
                Err(error) => prop_assert!(error.is_setting()),
            }
            let error = parse(&format!("{text},secret=hunter2%")).unwrap_err();
            prop_assert!(!error.to_string().contains("hunter2"), "{}", error);
        }
    }

    #[test]
    fn pairs_are_trimmed_and_decoded() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("a=b", &[("a", "b")]),
            (" a = b , c=d, ", &[("a", "b"), ("c", "d")]),
            ("k%2Cx=1%3D2%20%C3%A9", &[("k,x", "1=2 é")]),
            ("empty=", &[("empty", "")]),
            ("a=b=c", &[("a", "b=c")]),
        ];
        for (text, expected) in table {
            let pairs = parse(text).unwrap();
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(&pairs, expected, "{text}");
        }
    }

    #[test]
    fn one_bad_pair_discards_all_and_shows_no_value() {
        for text in ["a=b,c", "a=b,=x", "a=b,c=%", "a=b,c=%2", "a=b,c=%zz", "a=b,c=%FF", "c=s%+1"] {
            let error = parse(text).unwrap_err();
            assert!(error.is_setting(), "{text}");
        }
        let text = parse("token=hunter2%").unwrap_err().to_string();
        assert!(text.contains("token") && !text.contains("hunter2"), "{text}");
        let text = parse("a=b,token=x,hunter2").unwrap_err().to_string();
        assert!(text.contains("pair 3") && !text.contains("hunter2"), "{text}");
    }
}
