//! What a peer says, without the secrets of our own requests: "the key 4f2a… is not known".
//!
//! # Invariants
//!
//! - Headers that are the user's, and the query of the endpoint, are not in a text that is shown;
//!   nor is the beginning of one where the text was cut.

use crate::answer::TEXT_MAX;
use crate::config::LaneConfig;
use std::borrow::Cow;
use telemetry_core::redaction::REDACTED;

/// Shorter ones are no secrets, and part of many words.
const BYTES_MIN: usize = 4;

/// The text of a peer as it may be shown.
pub(crate) fn without(lane: &LaneConfig, mut text: String) -> String {
    let secrets = of_requests(lane);
    for secret in &secrets {
        text = text.replace(&**secret, REDACTED);
    }
    if text.chars().count() >= TEXT_MAX {
        let start = secrets.iter().filter_map(|secret| start_of_cut(&text, secret)).min();
        if let Some(start) = start {
            text.replace_range(start.., REDACTED);
        }
    }
    text
}

/// All of them, the longest first: one may be a part of another.
fn of_requests(lane: &LaneConfig) -> Vec<Cow<'_, str>> {
    let own = lane.headers.values().filter(|value| value.is_sensitive());
    let values = own.map(|value| String::from_utf8_lossy(value.as_bytes()));
    // `Bearer` and the like are none.
    let words = values.flat_map(|value| {
        let last = value.rsplit(' ').next().unwrap_or_default().to_owned();
        [value, Cow::Owned(last)]
    });
    let query = lane.uri.query().unwrap_or_default();
    let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let parameters = parameters.map(|(_, value)| Cow::Borrowed(value));
    let all = words.chain(parameters).chain([Cow::Borrowed(query)]);
    let mut secrets: Vec<_> = all.filter(|secret| secret.len() >= BYTES_MIN).collect();
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// Where a secret begins that the end of the text cuts.
fn start_of_cut(text: &str, secret: &str) -> Option<usize> {
    let lengths = (BYTES_MIN..secret.len()).rev();
    let cut = lengths.filter_map(|length| secret.get(..length));
    cut.into_iter().find_map(|beginning| text.strip_suffix(beginning)).map(str::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OtlpExporter;

    fn lane() -> LaneConfig {
        let builder = OtlpExporter::builder()
            .logs_endpoint("http://host/logs?api=canary-query&n=1")
            .header("authorization", "Bearer canary-bearer")
            .header("x-short", "abc")
            .header("x-key", "canary");
        builder.logs_lane().unwrap()
    }

    #[test]
    fn what_our_requests_say_is_not_repeated() {
        let text =
            "Bearer canary-bearer, canary-bearer and canary at /logs?api=canary-query&n=1 abc";
        let expected = "[redacted], [redacted] and [redacted] at /logs?[redacted] abc";
        assert_eq!(without(&lane(), text.to_owned()), expected);
        assert_eq!(without(&lane(), "Bearer of protobuf".to_owned()), "Bearer of protobuf");
    }

    #[test]
    fn beginning_of_a_secret_that_the_limit_cuts_is_not_shown() {
        for length in 0.."canary-bearer".len() {
            let text = format!("{}canary-bearer", "ä".repeat(TEXT_MAX - length));
            let text: String = text.chars().take(TEXT_MAX).collect();
            let shown = without(&lane(), text);
            assert!(!shown.contains("cana"), "{length}");
        }
        assert_eq!(without(&lane(), "ends with cana".to_owned()), "ends with cana");
    }
}
