//! Call sites of our own. `event!`: an event with a name, measurements and metadata, past `tracing`'s dynamic dispatch.
//!
//! # Invariants
//!
//! - A callsite's entry is cached in its own static, so it is looked up once.
//! - Arguments are evaluated only if somebody wants the event.

mod measure;

use crate::callsite::{Callsite, Description};
use crate::ledger::Signal;
use crate::level::Level;
use crate::record::Writer;
use crate::{local, recorder, router};
use std::sync::atomic::{AtomicPtr, Ordering};

pub use measure::{MeasureSite, Measured, SiteLabels, label_value};

/// The static of one `event!`.
#[derive(Debug)]
pub struct Site {
    level: Level,
    name: &'static str,
    target: &'static str,
    file: &'static str,
    line: u32,
    fields: &'static [&'static str],
    measurements: usize,
    entry: AtomicPtr<Callsite>,
}

impl Site {
    /// Describes a callsite; the macro calls it.
    #[doc(hidden)]
    pub const fn new(
        level: Level,
        name: &'static str,
        (target, file, line): (&'static str, &'static str, u32),
        fields: &'static [&'static str],
        measurements: usize,
    ) -> Self {
        let entry = AtomicPtr::new(std::ptr::null_mut());
        Self { level, name, target, file, line, fields, measurements, entry }
    }

    /// `None` in a fork's child that comes here first.
    #[inline(always)]
    fn callsite(&self) -> Option<&'static Callsite> {
        // Acquire: pairs with the Release in `register`.
        match crate::callsite::leaked(self.entry.load(Ordering::Acquire)) {
            Some(callsite) => Some(callsite),
            None => self.register(),
        }
    }

    #[cold]
    #[inline(never)]
    fn register(&self) -> Option<&'static Callsite> {
        // There, the locks may be held by a thread that is not there.
        if router::is_forked() {
            return None;
        }
        let callsite = router::register_own(Description {
            span: false,
            level: self.level,
            name: self.name.to_owned(),
            target: self.target.to_owned(),
            module: Some(self.target.to_owned()),
            file: Some(self.file.to_owned()),
            line: Some(self.line),
            fields: self.fields.iter().map(|field| (*field).to_owned()).collect(),
            measurements: self.measurements,
            named: true,
        });
        // Two threads may both register: both entries are good, the later one stays.
        self.entry.store(std::ptr::from_ref(callsite).cast_mut(), Ordering::Release);
        Some(callsite)
    }

    /// Records the event if somebody wants it; the macro calls it.
    #[doc(hidden)]
    #[inline(always)]
    pub fn emit(&self, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(callsite) = self.callsite() else { return };
        if callsite.decision().is_nobody() && !router::has_scopes() {
            return;
        }
        let heard = local::with_any(|local| {
            let mut decision = recorder::decision(local, callsite);
            if decision.sinks() == 0 {
                decision = recorder::dynamic::own_event(local, callsite, decision);
                if decision.is_nobody() {
                    return;
                }
            }
            let current = local.current.get();
            recorder::emit_event(local, callsite, decision, current, |_| {}, write);
        });
        if heard.is_none() {
            recorder::lost_without_local(callsite.decision(), Signal::Log);
        }
    }
}

/// Emits an event: level, dotted name, measurements, metadata.
///
/// Measurements are numbers that metrics can be made of; metadata says what they are about. A
/// value stands as it is, or behind `%` (its `Display`) or `?` (its `Debug`). The name should be
/// low in cardinality; what changes belongs into the metadata, a text for people under `message`.
///
/// ```
/// use telemetry_core::event;
///
/// let peer = std::net::Ipv4Addr::LOCALHOST;
/// event!(Info, "http.request.stop", { duration_s = 0.25, bytes = 512_u64 }, {
///     http.route = "/users",
///     peer = %peer,
///     message = "request done",
/// });
/// event!(Warn, "cache.miss");
/// ```
#[macro_export]
macro_rules! event {
    ($level:ident, $name:literal $(,)?) => {
        $crate::event!($level, $name, {}, {})
    };
    ($level:ident, $name:literal, { $($measurement:tt)* } $(,)?) => {
        $crate::event!($level, $name, { $($measurement)* }, {})
    };
    ($level:ident, $name:literal, { $($measurement:tt)* }, { $($metadata:tt)* } $(,)?) => {{
        static MEASUREMENTS: &[&str] = $crate::__event_fields!(@names [] $($measurement)*);
        static SITE: $crate::Site = $crate::Site::new(
            $crate::Level::$level,
            $name,
            (::core::module_path!(), ::core::file!(), ::core::line!()),
            $crate::__event_fields!(@both [] [$($measurement)*] [$($metadata)*]),
            MEASUREMENTS.len(),
        );
        SITE.emit(|writer| {
            let mut key = 0_u16;
            $crate::__event_fields!(@encode writer key $($measurement)*);
            $crate::__event_fields!(@encode writer key $($metadata)*);
            let _ = (writer, key);
        });
    }};
}

/// Takes the fields of an `event!` apart.
#[doc(hidden)]
#[macro_export]
macro_rules! __event_fields {
    (@both [] [$($first:tt)*] []) => { $crate::__event_fields!(@names [] $($first)*) };
    (@both [] [] [$($second:tt)*]) => { $crate::__event_fields!(@names [] $($second)*) };
    (@both [] [$($first:tt)*] [$($second:tt)*]) => {
        $crate::__event_fields!(@comma [$($first)*] [$($second)*])
    };
    (@comma [$($first:tt)*] [$($second:tt)*]) => {
        $crate::__event_fields!(@names2 [] [$($second)*] $($first)*)
    };

    (@names2 [$($out:expr,)*] [$($second:tt)*]) => {
        $crate::__event_fields!(@names [$($out,)*] $($second)*)
    };
    (@names2 [$($out:expr,)*] $second:tt $($key:ident).+ = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_fields!(
            @names2 [$($out,)* ::core::stringify!($($key).+),] $second $($($rest)*)?)
    };
    (@names2 [$($out:expr,)*] $second:tt $($key:ident).+ = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_fields!(
            @names2 [$($out,)* ::core::stringify!($($key).+),] $second $($($rest)*)?)
    };
    (@names2 [$($out:expr,)*] $second:tt $($key:ident).+ = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_fields!(
            @names2 [$($out,)* ::core::stringify!($($key).+),] $second $($($rest)*)?)
    };

    (@names [$($out:expr,)*]) => { &[$($out),*] };
    (@names [$($out:expr,)*] $($key:ident).+ = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_fields!(@names [$($out,)* ::core::stringify!($($key).+),] $($($rest)*)?)
    };
    (@names [$($out:expr,)*] $($key:ident).+ = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_fields!(@names [$($out,)* ::core::stringify!($($key).+),] $($($rest)*)?)
    };
    (@names [$($out:expr,)*] $($key:ident).+ = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event_fields!(@names [$($out,)* ::core::stringify!($($key).+),] $($($rest)*)?)
    };

    (@encode $writer:ident $index:ident) => {};
    (@encode $writer:ident $index:ident $($key:ident).+ = ? $value:expr $(, $($rest:tt)*)?) => {
        $writer.formatted($index, &$value);
        $index += 1;
        $crate::__event_fields!(@encode $writer $index $($($rest)*)?);
    };
    (@encode $writer:ident $index:ident $($key:ident).+ = % $value:expr $(, $($rest:tt)*)?) => {
        $writer.format_args($index, ::core::format_args!("{}", $value));
        $index += 1;
        $crate::__event_fields!(@encode $writer $index $($($rest)*)?);
    };
    (@encode $writer:ident $index:ident $($key:ident).+ = $value:expr $(, $($rest:tt)*)?) => {
        $crate::record::Encode::encode(&$value, $index, $writer);
        $index += 1;
        $crate::__event_fields!(@encode $writer $index $($($rest)*)?);
    };
}
