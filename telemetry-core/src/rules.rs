//! The directives of spans and fields, made ready for call sites.
//!
//! A *carrier* is a span (or an event, for conditions without a span's name) that meets all
//! conditions of a directive; the directive then applies to it and to everything inside it. Each
//! directive of a pipeline has a bit. A span's slot keeps the bits that the span carries; a record
//! is decided by the bits of the spans around it and its own.
//!
//! # Invariants
//!
//! - Of one filter's directives, a lower bit belongs to the one that decides before the others.
//! - Bits mean something only together with the generation of the rules they came from.
//! - The value of a field that is redacted is looked at by no condition: it is as in the record.
//! - A user's `Debug` is called for a field that a condition names, its text is cut at
//!   [`TEXT_BYTES_MAX`](crate::filter::TEXT_BYTES_MAX), and its panic stays here.

use crate::callsite::Callsite;
use crate::error::Error;
use crate::export::Signals;
use crate::filter::{DYNAMIC_MAX, Directive, FieldValue, Filter, Test, TextBuffer};
use crate::level::Level;
use crate::redaction;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing_core::field::{Field, Visit};

/// How many tests of directives with several of them a span remembers, for later `record`s.
pub(crate) const REMEMBERED_MAX: usize = 31;

/// All directives of spans and fields of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Tells the bits of these rules from those of others; never 0.
    pub(crate) generation: u16,
    carriers: Vec<Carrier>,
    tests: Vec<FieldTest>,
    groups: Vec<Group>,
}

/// A directive with its tests, as bits of [`Rules::tests`].
#[derive(Debug, Clone)]
struct Carrier {
    directive: Directive,
    tests: u128,
}

#[derive(Debug, Clone)]
struct FieldTest {
    carrier: u32,
    field: String,
    /// `None`: the field is redacted, so that no value of it is looked at, and the test not met.
    test: Option<Test>,
}

/// The directives of one filter, and the sinks that have it.
#[derive(Debug, Clone)]
struct Group {
    filter: Filter,
    carriers: u64,
    event_sinks: u32,
    span_sinks: u32,
}

/// What a span carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The directives whose conditions it meets.
    pub(crate) directives: u64,
    /// The tests that are met of directives with several ones.
    pub(crate) tests: u32,
}

impl Rules {
    /// The rules of a pipeline's sinks; `None` when no filter has any.
    ///
    /// # Errors
    ///
    /// There are too many, all filters taken together.
    pub(crate) fn new(
        sinks: &[(Signals, Filter)],
        generation: impl FnOnce() -> u16,
    ) -> Result<Option<Self>, Error> {
        let mut groups: Vec<Group> = Vec::new();
        for (n, (signals, filter)) in sinks.iter().enumerate() {
            if !filter.is_dynamic() {
                continue;
            }
            let at = groups.iter().position(|group| group.filter == *filter).unwrap_or_else(|| {
                let filter = filter.clone();
                groups.push(Group { filter, carriers: 0, event_sinks: 0, span_sinks: 0 });
                groups.len() - 1
            });
            let bit = 1 << n;
            let takes_logs = signals.contains(Signals::LOGS);
            groups[at].event_sinks |= if takes_logs { bit } else { 0 };
            let takes_spans = takes_logs || signals.contains(Signals::SPANS);
            groups[at].span_sinks |= if takes_spans { bit } else { 0 };
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let mut rules =
            Self { generation: 0, carriers: Vec::new(), tests: Vec::new(), groups: Vec::new() };
        for group in groups {
            rules.add_group(group)?;
        }
        rules.add_tests()?;
        rules.generation = generation();
        Ok(Some(rules))
    }

    fn add_group(&mut self, mut group: Group) -> Result<(), Error> {
        let dynamic = group.filter.directives().iter().filter(|directive| directive.is_dynamic());
        for directive in dynamic {
            if self.carriers.len() == DYNAMIC_MAX {
                let right = format!("at most {DYNAMIC_MAX}, those of all exporters together");
                return Err(Error::setting("directives with spans or fields", "more", &right));
            }
            group.carriers |= 1 << self.carriers.len();
            self.carriers.push(Carrier { directive: directive.clone(), tests: 0 });
        }
        self.groups.push(group);
        Ok(())
    }

    /// Numbers the tests: those of directives with several come first, for they are remembered.
    fn add_tests(&mut self) -> Result<(), Error> {
        let several = |carrier: &Carrier| carrier.directive.tests() > 1;
        let remembered: usize = self
            .carriers
            .iter()
            .filter(|carrier| several(carrier))
            .map(|carrier| carrier.directive.tests())
            .sum();
        if remembered > REMEMBERED_MAX {
            let right = format!("at most {REMEMBERED_MAX}, those of all exporters together");
            let name = "values in directives with more than one";
            return Err(Error::setting(name, remembered, &right));
        }
        for wants_several in [true, false] {
            for (n, carrier) in self.carriers.iter_mut().enumerate() {
                if several(carrier) != wants_several {
                    continue;
                }
                for (field, test) in carrier.directive.field_tests() {
                    carrier.tests |= 1 << self.tests.len();
                    let test = (!redaction::is_secret(field)).then(|| test.clone());
                    let field = field.to_owned();
                    self.tests.push(FieldTest { carrier: n as u32, field, test });
                }
            }
        }
        Ok(())
    }

    /// The directives that a callsite's records may carry, if their values are right.
    pub(crate) fn candidates(&self, callsite: &Callsite) -> u64 {
        let name = callsite.is_span().then(|| callsite.name());
        let fields = callsite.fields().iter().map(String::as_str);
        let fits =
            |carrier: &Carrier| carrier.directive.fits(callsite.target(), name, fields.clone());
        let fitting = self.carriers.iter().enumerate().filter(|(_, carrier)| fits(carrier));
        fitting.fold(0, |bits, (n, _)| bits | 1 << n)
    }

    /// Could any directive change what the targets and levels decided for a record?
    pub(crate) fn may_change(&self, level: Level, sinks: u32, is_span: bool) -> bool {
        self.groups.iter().any(|group| {
            let of = if is_span { group.span_sinks } else { group.event_sinks };
            let dynamic = group.filter.directives().iter().filter(|one| one.is_dynamic());
            // Each sink of the group has the same filter: one stands for all.
            let is_on = sinks & of != 0;
            of != 0 && dynamic.into_iter().any(|one| one.lets_through(level) != is_on)
        })
    }

    /// Which sinks want a record, by the directives that apply to it.
    ///
    /// A span that carries the deciding directive itself is wanted whatever its level: its fields
    /// are what the directive is about.
    pub(crate) fn decide(
        &self,
        level: Level,
        static_sinks: u32,
        around: u64,
        own: u64,
        is_span: bool,
    ) -> u32 {
        let mut sinks = static_sinks;
        for group in &self.groups {
            let applying = (around | own) & group.carriers;
            let Some(carrier) = self.carriers.get(applying.trailing_zeros() as usize) else {
                continue;
            };
            let carries = is_span && own & (applying & applying.wrapping_neg()) != 0;
            let directive = &carrier.directive;
            let is_on = directive.lets_through(level) || (carries && directive.level().is_some());
            let of = if is_span { group.span_sinks } else { group.event_sinks };
            sinks = if is_on { sinks | of } else { sinks & !of };
        }
        sinks
    }

    /// Begins to hold a record's fields against the tests of `candidates`, with what a span has
    /// carried so far.
    ///
    /// Inside a user's `Debug` no other one is called: that could go on without end.
    pub(crate) fn holder(
        &self,
        candidates: u64,
        carried: Carried,
        calls_debug: bool,
    ) -> Holder<'_> {
        let mut met = u128::from(carried.tests);
        for (n, carrier) in self.carriers.iter().enumerate() {
            if carried.directives & 1 << n != 0 {
                met |= carrier.tests;
            }
        }
        Holder { rules: self, candidates, met, calls_debug }
    }
}

/// Holds the fields of a record against tests.
pub(crate) struct Holder<'r> {
    rules: &'r Rules,
    candidates: u64,
    met: u128,
    calls_debug: bool,
}

impl fmt::Debug for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder").field("met", &self.met).finish_non_exhaustive()
    }
}

impl Holder<'_> {
    /// Holds one field against the tests that name it; the value is asked for if there are any.
    #[inline]
    pub(crate) fn hold(&mut self, field: &str, value: FieldValue<'_>) {
        for (n, test) in self.rules.tests.iter().enumerate() {
            if self.candidates & 1 << test.carrier != 0 && test.field == field {
                let is_met = test.test.as_ref().is_some_and(|test| test.accepts(value));
                self.met = self.met & !(1 << n) | u128::from(is_met) << n;
            }
        }
    }

    fn is_asked(&self, field: &str) -> bool {
        let is_about = |test: &FieldTest| {
            let is_candidate = self.candidates & 1 << test.carrier != 0;
            is_candidate && test.field == field && test.test.is_some()
        };
        self.rules.tests.iter().any(is_about)
    }

    /// Holds what a value prints.
    pub(crate) fn hold_printed(&mut self, field: &str, value: &dyn fmt::Debug) {
        if !self.calls_debug || !self.is_asked(field) {
            return;
        }
        let mut text = TextBuffer::new();
        // It is the user's code. A text that does not fit is cut: `fmt::Error` says just that.
        let print =
            AssertUnwindSafe(|| fmt::write(&mut text, format_args!("{value:?}")).unwrap_or(()));
        if catch_unwind(print).is_ok() {
            self.hold(field, FieldValue::Text(text.as_str()));
        }
    }

    /// What is carried.
    pub(crate) fn carried(&self) -> Carried {
        let mut directives = 0;
        for (n, carrier) in self.rules.carriers.iter().enumerate() {
            let is_met = self.met & carrier.tests == carrier.tests;
            if self.candidates & 1 << n != 0 && is_met {
                directives |= 1 << n;
            }
        }
        Carried { directives, tests: self.met as u32 & ((1 << REMEMBERED_MAX) - 1) }
    }
}

impl Visit for Holder<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.hold(field.name(), FieldValue::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.hold(field.name(), FieldValue::Integer(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.hold(field.name(), FieldValue::Integer(value.into()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.hold(field.name(), FieldValue::Integer(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.hold(field.name(), FieldValue::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.hold(field.name(), FieldValue::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.hold(field.name(), FieldValue::Text(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.hold_printed(field.name(), &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.hold_printed(field.name(), value);
    }
}
