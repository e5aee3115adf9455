//! What a client of the inspect socket may change: filters.
//!
//! # Invariants
//!
//! - What cannot be understood changes nothing, and the client hears why; nor does what is empty.
//! - Every change is told of by a record of target `telemetry` that says where it came from.

use super::Inspector;
use std::fmt::Write;
use std::time::Duration;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::Filters;

/// Sets or adds what a client says, and returns what holds then.
pub(super) fn filter(order: &str, inspector: &Inspector) -> Result<String, String> {
    let filters = inspector.filters().ok_or("telemetry is off, or has been shut down")?;
    let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
    let done = match verb {
        "set" => filters.set(not_blank(rest)?),
        "add" => {
            let wrong = "`filter add` is followed by milliseconds and a filter";
            let (milliseconds, directives) = rest.split_once(' ').ok_or(wrong)?;
            let life = Duration::from_millis(milliseconds.parse().map_err(|_| wrong)?);
            filters.add(not_blank(directives)?, life).map(drop)
        }
        _ => return Err("`filter` is followed by `set` or `add`".to_owned()),
    };
    done.map_err(|error| error.to_string())?;
    Ok(in_effect(&filters))
}

/// The filter, unless it is forgotten: that would be `off`.
fn not_blank(filter: &str) -> Result<&str, String> {
    if Filter::is_blank(filter) {
        return Err("the filter is empty: write `off` to let nothing through".to_owned());
    }
    Ok(filter)
}

/// The filter of each exporter, and what of that is for a while, a line each.
fn in_effect(filters: &Filters) -> String {
    let mut text = String::new();
    for (exporter, filter) in filters.in_effect() {
        let _ = writeln!(text, "{exporter}: {}", filter.masked());
    }
    for temporary in filters.temporary() {
        let (id, filter, left) = (temporary.id(), temporary.filter().masked(), temporary.left());
        let to = temporary.exporter().map(|name| format!(" of {name}")).unwrap_or_default();
        let left = left.as_secs_f64();
        let _ = writeln!(text, "temporary filter {id}{to}, for {left:.1} s more: {filter}");
    }
    text
}
