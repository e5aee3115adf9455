//! Every other variable: whatever it holds, there is a warning at most. The first line says which
//! variables hold the rest: a digit picks one, anything else all.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::Cell;

fuzz_target!(|text: &str| {
    let (picked, value) = text.split_once('\n').unwrap_or(("", text));
    let picked: Option<usize> = picked.parse().ok();
    let asked = Cell::new(0);
    let builder = telemetry_toolkit::builder().from_variables(|_| {
        let number = asked.replace(asked.get() + 1);
        picked.is_none_or(|picked| picked == number).then(|| value.to_owned())
    });
    let _ = format!("{builder:?} {}", builder.config());
});
