//! The filter parser: no panic, bounded work, and what is printed is read as the same filter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry_core::Level;
use telemetry_core::filter::{FieldValue, Filter, Record, SpanRecord};

fuzz_target!(|text: &str| {
    match Filter::parse(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            // Printing adds a level to each directive, so it may pass the limit of bytes; and it
            // leaves out what is compared with a secret.
            if let Ok(again) = Filter::parse(&printed)
                && !printed.contains("\"[redacted]\"")
            {
                assert_eq!(again, filter);
                assert_eq!(again.to_string(), printed);
            }
            let fields = [("a", FieldValue::from_text(text)), ("b", FieldValue::Integer(1))];
            let spans = [SpanRecord { name: "s", target: None, fields: &fields }];
            let (target, level) = ("app", Level::Info);
            let record = Record { target, level, fields: &fields, spans: &spans };
            let _ = filter.explain(&record).to_string();
            let _ = filter.never();
        }
        Err(error) => {
            assert!(error.span().start <= text.len());
            let _ = (error.render(), error.to_string());
        }
    }
});
