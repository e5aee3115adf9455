//! `tracestate`: all lines of the input are headers. Whether they are discarded, and what is kept, is
//! what a plain reading of the specification says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regex_lite::Regex;
use std::sync::LazyLock;
use telemetry_core::context::{TRACE_STATE_BYTES_MAX, TRACE_STATE_MEMBERS_MAX, TraceState};

static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    let key = r"[a-z0-9][a-z0-9_*/@-]{0,255}";
    let value = r"[ -+\x2d-<>-~]{0,255}[!-+\x2d-<>-~]";
    Regex::new(&format!("^({key})=({value})$")).unwrap()
});

/// The members that are kept before the limit of bytes.
fn expected(text: &str) -> Option<Vec<(String, String)>> {
    let members = text.split(['\n', ',']).map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<_> = members.filter(|member| !member.is_empty()).collect();
    let mut kept: Vec<(String, String)> = Vec::new();
    for member in &members {
        let found = MEMBER.captures(member)?;
        if kept.iter().all(|(key, _)| *key != found[1]) {
            kept.push((found[1].to_owned(), found[2].to_owned()));
        }
    }
    (members.len() <= TRACE_STATE_MEMBERS_MAX).then_some(kept)
}

fuzz_target!(|text: &str| {
    let state = TraceState::parse(text.split('\n'));
    let expected = expected(text);
    assert_eq!(state.is_some(), expected.is_some());
    let (Some(mut state), Some(expected)) = (state, expected) else { return };
    let printed = state.to_string();
    assert!(printed.len() <= TRACE_STATE_BYTES_MAX);
    assert_eq!(TraceState::parse([printed.as_str()]), Some(state.clone()));
    let bytes: usize = expected.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let is_whole = bytes <= TRACE_STATE_BYTES_MAX;
    let members: Vec<_> = state.members().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert!(!is_whole || members == expected);
    // What is left out is left out whole, and the rest keeps its order.
    let mut rest = expected.iter();
    assert!(members.iter().all(|member| rest.any(|other| other == member)));
    if state.insert("a", "1") {
        assert_eq!(state.members().next(), Some(("a", "1")));
    }
    let _ = state.insert(text, text);
    state.remove("a");
    assert_eq!(state.get("a"), None);
});
