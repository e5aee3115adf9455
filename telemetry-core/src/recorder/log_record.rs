//! Records of the `log` crate that `tracing-log` hands to `tracing`, as events of one callsite a
//! level: what they are about stands in their fields.
//!
//! # Invariants
//!
//! - They look as those that our own bridge takes: target, module, file and line are the `log`
//!   record's, and decide about it.
//! - Nothing is allocated: the texts are copied to the stack, [`TEXT_BYTES_MAX`] of each.

use super::{Place, decide_event_inside, dynamic, emit_event, is_admitted};
use crate::callsite::Callsite;
use crate::clock;
use crate::local::{Current, Local};
use crate::record::{Writer, floor};
use std::fmt;
use tracing_core::Event;
use tracing_core::field::{Field, Visit};

/// How much of a target, a module path or a file name is kept.
const TEXT_BYTES_MAX: usize = 256;

/// Records an event of `tracing-log`, if the record behind it is wanted.
pub(super) fn event(
    local: &Local,
    callsite: &'static Callsite,
    event: &Event<'_>,
    current: impl FnOnce(&Local) -> Current,
) {
    let mut origin = Origin::default();
    event.record(&mut origin);
    let current = current(local);
    let (level, target) = (callsite.level(), origin.target.as_str());
    let place = Place {
        level,
        target,
        module: origin.module.if_any(),
        file: origin.file.if_any(),
        line: (origin.line > 0).then_some(origin.line),
    };
    let place = place.callsite();
    let decision = match place {
        Some(place) => dynamic::of_place(local, place, current.handle),
        None => decide_event_inside(target, level, |_| current),
    };
    if decision.sinks() == 0 {
        return;
    }
    let meter = place.unwrap_or(callsite);
    if decision.is_limited() && !is_admitted(local, meter, decision, clock::ticks()) {
        return;
    }
    let lead = |writer: &mut Writer<'_>| {
        let [target, module, file] = [&origin.target, &origin.module, &origin.file];
        writer.origin(target.as_str(), module.as_str(), file.as_str(), origin.line);
    };
    let write = |writer: &mut Writer<'_>| event.record(&mut MessageOnly(writer));
    emit_event(local, callsite, decision.unlimited(), current, lead, write);
}

/// A text on the stack, cut where it is too long.
struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], length: 0 }
    }
}

impl Text {
    fn set(&mut self, text: &str) {
        let kept = floor(text, TEXT_BYTES_MAX).as_bytes();
        self.length = kept.len();
        self.bytes[..kept.len()].copy_from_slice(kept);
    }

    fn if_any(&self) -> Option<&str> {
        (self.length > 0).then(|| self.as_str())
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Where a `log` record comes from.
#[derive(Default)]
struct Origin {
    target: Text,
    module: Text,
    file: Text,
    line: u32,
}

impl Visit for Origin {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target.set(value),
            "log.module_path" => self.module.set(value),
            "log.file" => self.file.set(value),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = u32::try_from(value).unwrap_or_default();
        }
    }

    /// The message is not formatted twice.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Writes the message, and leaves out what stands in the origin.
struct MessageOnly<'w, 'a>(&'w mut Writer<'a>);

impl Visit for MessageOnly<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.record_debug(field, value);
        }
    }
}
