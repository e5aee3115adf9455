//! Records of the `log` crate, key-values included, as events.
//!
//! # Invariants
//!
//! - A `log` record has no static callsite: its target, module, file and line stand in the record,
//!   under one callsite per level. Who wants it is known per place (`recorder::places`); of places
//!   beyond their number it is found out each time, and they share what a call site may emit.
//! - `tracing`, built with `log-always`, sends a `log` record beside every event of its own. It
//!   comes from the same thread, file and line directly after the event, and is left out, and
//!   counted (`Report::log_echoes`): a macro that emits both on one line looks the same.

use crate::callsite::{self, Callsite, Decision, Description};
use crate::clock;
use crate::error::{Error, discard_panic};
use crate::intake::Intake;
use crate::ledger::Signal;
use crate::level::Level;
use crate::local;
use crate::record::Writer;
use crate::recorder::Place;
use crate::redaction::{REDACTED, Secret};
use crate::{recorder, router};
use log::kv::{Key, Value as LogValue, VisitSource, VisitValue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// The `log` crate's logger.
#[derive(Debug)]
struct Bridge;

static BRIDGE: Bridge = Bridge;

/// Makes the bridge the process's logger, if it is not yet.
///
/// # Errors
///
/// Another library's logger is the global one.
pub(crate) fn install() -> Result<(), Error> {
    if router::has_log() {
        return Ok(());
    }
    log::set_logger(&BRIDGE).map_err(|_| {
        Error::foreign("the global `log` logger", "do not install another one beside it")
    })?;
    router::take_log();
    Ok(())
}

/// The callsite that stands for all `log` records of a level.
pub(crate) fn callsite(level: Level) -> &'static Callsite {
    static CALLSITES: OnceLock<[&'static Callsite; 5]> = OnceLock::new();
    let callsites = CALLSITES.get_or_init(|| {
        Level::ALL.map(|level| {
            router::register_own(Description {
                span: false,
                level,
                name: "log record".to_owned(),
                target: "log".to_owned(),
                module: None,
                file: None,
                line: None,
                fields: vec!["message".to_owned()],
                measurements: 0,
                named: false,
            })
        })
    });
    callsites[level as usize - 1]
}

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        recorder::decide_event(metadata.target(), metadata.level().into()).sinks() != 0
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = Level::from(record.level());
        let place = place_of(record, level).callsite();
        if place.is_some_and(|place| place.decision().is_nobody()) && !router::has_scopes() {
            return;
        }
        let elsewhere = match place {
            Some(_) => Decision::NOBODY,
            None => recorder::decide_event(record.target(), level),
        };
        let heard = local::with(|local| {
            let current = local.current.get();
            let decision = place.map_or(elsewhere, |place| {
                recorder::dynamic::of_place(local, place, current.handle)
            });
            if decision.sinks() == 0 {
                return;
            }
            if is_echo(local.last_callsite.replace(0), record) {
                let echoes = |intake: &Intake| {
                    intake.oddities.log_echoes.fetch_add(1, Ordering::Relaxed);
                };
                return recorder::with_intake(local, echoes);
            }
            let callsite = callsite(level);
            let meter = place.unwrap_or(callsite);
            if decision.is_limited()
                && !recorder::is_admitted(local, meter, decision, clock::ticks())
            {
                return;
            }
            let lead = |writer: &mut Writer<'_>| write_origin(writer, record);
            let write = |writer: &mut Writer<'_>| write_fields(writer, record);
            recorder::emit_event(local, callsite, decision.unlimited(), current, lead, write);
        });
        if heard.is_none() {
            let decision = place.map_or(elsewhere, Callsite::decision);
            recorder::lost_without_local(decision, Signal::Log);
        }
    }

    /// Does nothing: records are on their way already, and a flush has a deadline, which `log`
    /// does not give.
    fn flush(&self) {}
}

fn place_of<'a>(record: &log::Record<'a>, level: Level) -> Place<'a> {
    Place {
        level,
        target: record.target(),
        module: record.module_path(),
        file: record.file(),
        line: record.line(),
    }
}

/// Is the record `tracing`'s own account of the event before it, or of a span?
fn is_echo(last_callsite: u32, record: &log::Record<'_>) -> bool {
    // The macros of `log` name the file by a static text; `tracing` borrows it from its metadata.
    if record.file_static().is_some() {
        return false;
    }
    if matches!(record.target(), "tracing::span" | "tracing::span::active") {
        return true;
    }
    callsite::by_id(last_callsite).is_some_and(|callsite| {
        record.line().is_some()
            && callsite.line() == record.line()
            && callsite.file() == record.file()
            && callsite.target() == record.target()
            && callsite.level() == record.level().into()
            // An echo is formatted from the event's values and has no key-values of its own.
            && record.args().as_str().is_none()
            && record.key_values().count() == 0
    })
}

impl<T> log::kv::ToValue for Secret<T> {
    fn to_value(&self) -> LogValue<'_> {
        LogValue::from(REDACTED)
    }
}

fn write_origin(writer: &mut Writer<'_>, record: &log::Record<'_>) {
    writer.origin(
        record.target(),
        record.module_path().unwrap_or_default(),
        record.file().unwrap_or_default(),
        record.line().unwrap_or_default(),
    );
}

fn write_fields(writer: &mut Writer<'_>, record: &log::Record<'_>) {
    match record.args().as_str() {
        Some(text) => writer.str(0, text),
        None => writer.format_args(0, *record.args()),
    }
    // A source of key-values is the user's code: its panic must not reach the call site, nor leave
    // the thread in the middle of a record.
    let visit = AssertUnwindSafe(|| record.key_values().visit(&mut KeyValues(writer)));
    if let Err(payload) = catch_unwind(visit) {
        discard_panic(payload);
    }
}

struct KeyValues<'w, 'a>(&'w mut Writer<'a>);

impl<'kvs> VisitSource<'kvs> for KeyValues<'_, '_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: LogValue<'kvs>) -> Result<(), log::kv::Error> {
        value.visit(OneValue { writer: self.0, key: key.as_str() })
    }
}

struct OneValue<'w, 'a, 'k> {
    writer: &'w mut Writer<'a>,
    key: &'k str,
}

impl<'v> VisitValue<'v> for OneValue<'_, '_, '_> {
    fn visit_any(&mut self, value: LogValue<'_>) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &format_args!("{value}"));
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), log::kv::Error> {
        self.writer.inline(self.key, &value);
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), log::kv::Error> {
        Ok(())
    }
}
