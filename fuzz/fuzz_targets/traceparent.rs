//! `traceparent`: read as the grammar says (a regular expression is the oracle), and sent on so that
//! it is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regex_lite::Regex;
use std::sync::LazyLock;
use telemetry_core::context::{Propagators, TraceParent};

static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})((?s:-.*)?)$").unwrap()
});

/// What is sent on.
fn expected(text: &str) -> Option<String> {
    let found = GRAMMAR.captures(text.trim_matches([' ', '\t']))?;
    let (version, trace, span, flags, rest) =
        (&found[1], &found[2], &found[3], &found[4], &found[5]);
    let is_known = version != "ff" && (version != "00" || rest.is_empty());
    let has_ids = trace.contains(|c| c != '0') && span.contains(|c| c != '0');
    let flags = u8::from_str_radix(flags, 16).ok()? & 3;
    (is_known && has_ids).then(|| format!("00-{trace}-{span}-{flags:02x}"))
}

fuzz_target!(|text: &str| {
    let parent = TraceParent::parse(text);
    assert_eq!(parent.map(|parent| parent.to_string()), expected(text));
    if let Some(parent) = parent {
        assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
    }
    let once = [("traceparent", text)];
    assert_eq!(Propagators::default().extract(&once).span().is_some(), parent.is_some());
    let twice = [("traceparent", text), ("TraceParent", text)];
    assert!(Propagators::default().extract(&twice).span().is_none());
});
