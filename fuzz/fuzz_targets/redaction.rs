//! Secrets in texts: what stands between `://` and `@` is gone, what is clean stays as it is, and
//! names are matched without regard to case and separators.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regex_lite::Regex;
use std::sync::LazyLock;
use telemetry_core::redaction::{Redaction, is_secret};
use telemetry_core::resource::Resource;

static REDACTION: LazyLock<Redaction> =
    LazyLock::new(|| Redaction::default().value(r"\bsk-[a-z0-9]{4,}").unwrap());

/// User information in a URL, as a plain reading of RFC 3986 has it.
static USER: LazyLock<Regex> = LazyLock::new(|| Regex::new("://([^\\s\"'`<>/?#@]+)@").unwrap());

fn clean(text: &str) -> String {
    let resource = Resource::default().with("note", text).redacted(&REDACTION);
    resource.get("note").unwrap_or_default().to_owned()
}

fuzz_target!(|text: &str| {
    let once = clean(text);
    let _ = clean(&once);
    if text.is_ascii() {
        let left = USER
            .captures_iter(&once)
            .flat_map(|found| found[1].split(':').map(str::to_owned).collect::<Vec<_>>());
        let is_hidden = |part: &str| {
            matches!(part, "" | "REDACTED" | "[redacted]") || part.bytes().all(|b| b == b'*')
        };
        left.for_each(|part| assert!(is_hidden(&part), "{text:?}: {once:?}"));
    }
    if !text.contains('@') && !text.contains("sk-") {
        assert_eq!(once, text);
    }
    let user: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let user = user.replace(['"', '\'', '`', '<', '>', '/', '?', '#', '@'], "");
    let url = clean(&format!("at http://u{user}:SeCrEt@host/x now"));
    assert!(!url.contains("SeCrEt"), "{url}");
    assert!(is_secret(&format!("x-{text}-password")));
    assert_eq!(is_secret(text), is_secret(&format!("{text}.")), "{text:?}");
    let wrong = Redaction::default().name(text).is_err();
    assert_eq!(
        wrong,
        text.len() > 128 || !text.contains(|c: char| !c.is_ascii() || c.is_ascii_alphanumeric())
    );
    if let Ok(pattern) = Redaction::default().value(text) {
        let _ = Resource::default().with("note", "a text with sk-12345").redacted(&pattern);
    }
});
