//! `baggage`: all lines of the input are headers. What is read is within the limits, and is read as
//! the same from what is sent on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry_core::context::{BAGGAGE_BYTES_MAX, BAGGAGE_MEMBERS_MAX, Baggage, Propagators};

fuzz_target!(|text: &str| {
    let mut baggage = Baggage::parse(text.split('\n'));
    check(&baggage);
    let headers: Vec<_> = text.split('\n').map(|line| ("baggage", line)).collect();
    assert_eq!(*Propagators::default().extract(&headers).baggage(), baggage);
    // Any text is a value; not any is a name.
    let before = baggage.clone();
    match baggage.insert("key", text) {
        true => assert_eq!(baggage.get("key"), Some(text)),
        false => assert_eq!(baggage, before),
    }
    check(&baggage);
    let _ = baggage.insert(text, "value");
    check(&baggage);
    baggage.remove("key");
    assert_eq!(baggage.get("key"), None);
});

fn check(baggage: &Baggage) {
    let header = baggage.to_string();
    assert!(header.len() <= BAGGAGE_BYTES_MAX && baggage.len() <= BAGGAGE_MEMBERS_MAX);
    assert!(header.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')), "{header:?}");
    assert_eq!(Baggage::parse([header.as_str()]), *baggage);
}
