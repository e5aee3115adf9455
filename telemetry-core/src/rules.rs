//! The directives of spans and fields, made ready for call sites.
//!
//! A *carrier* is a span (or an event, for conditions without a span's name) that meets all
//! conditions of a directive; the directive then applies to it and to everything inside it. The
//! conditions of a pipeline's directives have a bit each, whoever uses them. A span's slot keeps
//! the bits that the span carries; a record is decided by the bits of the spans around it and its
//! own.
//!
//! # Invariants
//!
//! - Of one filter's directives, the first in its group that applies decides.
//! - Bits mean something only together with the number of the plan they were found out under. A
//!   condition that stays keeps its bit in the next plan's rules, and knows since when it has it:
//!   what a span carries goes on to hold when filters change.
//! - The value of a field that is redacted is looked at by no condition: it is as in the record.
//! - A user's `Debug` is called for a field that a condition names, its text is cut at
//!   [`TEXT_BYTES_MAX`](crate::filter::TEXT_BYTES_MAX), and its panic stays here.

use crate::callsite::Callsite;
use crate::error::Error;
use crate::filter::{DYNAMIC_MAX, Directive, FieldValue, Filter, Test, TextBuffer};
use crate::level::Level;
use crate::redaction;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing_core::field::{Field, Visit};

/// How many tests of directives with several of them a span remembers, for later `record`s.
pub(crate) const REMEMBERED_MAX: usize = 31;
/// The highest number of a plan: a span's slot has 24 bits for it.
pub(crate) const NUMBER_MAX: u32 = (1 << 24) - 1;

/// A filter, and the sinks that have it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) filter: Filter,
    pub(crate) event_sinks: u32,
    /// A span is wanted where its events are, too: for the fields around them.
    pub(crate) span_sinks: u32,
}

impl Group {
    pub(crate) fn sinks(&self, is_span: bool) -> u32 {
        if is_span { self.span_sinks } else { self.event_sinks }
    }
}

/// All directives of spans and fields of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The plan's.
    number: u32,
    carriers: Vec<Carrier>,
    tests: Vec<FieldTest>,
    groups: Vec<Steps>,
    /// The conditions without values, as bits.
    without_values: u64,
}

/// A condition with its tests, as bits of [`Rules::tests`].
#[derive(Debug, Clone)]
struct Carrier {
    /// Its level is of no meaning.
    directive: Directive,
    bit: u32,
    /// The number of the plan that gave it its bit.
    since: u32,
    tests: u128,
}

#[derive(Debug, Clone)]
struct FieldTest {
    /// Of a carrier.
    bit: u32,
    field: String,
    /// `None`: the field is redacted, so that no value of it is looked at, and the test not met.
    test: Option<Test>,
}

/// The directives of one filter, and the sinks that have it.
#[derive(Debug, Clone)]
struct Steps {
    /// In the order in which they decide.
    steps: Vec<Step>,
    event_sinks: u32,
    span_sinks: u32,
}

/// What becomes of a record that a condition applies to.
#[derive(Debug, Clone, Copy)]
struct Step {
    bit: u32,
    level: Option<Level>,
}

impl Step {
    fn lets_through(self, level: Level) -> bool {
        self.level.is_some_and(|least| level >= least)
    }
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
    /// The rules of a plan; `None` when no filter has any. `before` are those that they replace.
    ///
    /// # Errors
    ///
    /// There are too many, all filters taken together.
    pub(crate) fn new(
        groups: &[Group],
        number: u32,
        before: Option<&Self>,
    ) -> Result<Option<Self>, Error> {
        let mut rules = Self {
            number,
            carriers: Vec::new(),
            tests: Vec::new(),
            groups: Vec::new(),
            without_values: 0,
        };
        let dynamic: Vec<_> = groups.iter().filter(|group| group.filter.is_dynamic()).collect();
        if dynamic.is_empty() {
            return Ok(None);
        }
        for directive in dynamic.iter().flat_map(|group| group.filter.directives()) {
            if directive.is_dynamic() && rules.bit_of(directive).is_none() {
                rules.add_carrier(directive, before)?;
            }
        }
        rules.give_bits();
        rules.add_tests()?;
        rules.without_values = rules.bits(|carrier| carrier.tests == 0);
        rules.groups = dynamic.into_iter().map(|group| rules.steps(group)).collect();
        Ok(Some(rules))
    }

    fn carrier_of(&self, directive: &Directive) -> Option<&Carrier> {
        self.carriers.iter().find(|carrier| carrier.directive.is_about_the_same(directive))
    }

    fn bit_of(&self, directive: &Directive) -> Option<u32> {
        self.carrier_of(directive).map(|carrier| carrier.bit)
    }

    fn add_carrier(&mut self, directive: &Directive, before: Option<&Self>) -> Result<(), Error> {
        if self.carriers.len() == DYNAMIC_MAX {
            let right = format!("at most {DYNAMIC_MAX}, those of all exporters together");
            return Err(Error::setting("directives with spans or fields", "more", &right));
        }
        let known = before.and_then(|rules| rules.carrier_of(directive));
        let (bit, since) = known.map_or((NO_BIT, self.number), |known| (known.bit, known.since));
        // Numbers are compared around their circle: what is old must not come to look new.
        let age = self.number.wrapping_sub(since) & NUMBER_MAX;
        let since = self.number.wrapping_sub(age.min(NUMBER_MAX / 4)) & NUMBER_MAX;
        self.carriers.push(Carrier { directive: directive.clone(), bit, since, tests: 0 });
        Ok(())
    }

    /// Gives free bits to the conditions that have none yet.
    fn give_bits(&mut self) {
        let bits = |carrier: &Carrier| 1_u64.checked_shl(carrier.bit).unwrap_or(0);
        let mut free = !self.carriers.iter().fold(0, |taken, carrier| taken | bits(carrier));
        for carrier in self.carriers.iter_mut().filter(|carrier| carrier.bit == NO_BIT) {
            carrier.bit = free.trailing_zeros();
            free &= free - 1;
        }
    }

    fn steps(&self, group: &Group) -> Steps {
        let step = |directive: &Directive| {
            Some(Step { bit: self.bit_of(directive)?, level: directive.level() })
        };
        let dynamic = group.filter.directives().iter().filter(|one| one.is_dynamic());
        Steps {
            steps: dynamic.filter_map(step).collect(),
            event_sinks: group.event_sinks,
            span_sinks: group.span_sinks,
        }
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
            for carrier in &mut self.carriers {
                if several(carrier) != wants_several {
                    continue;
                }
                for (field, test) in carrier.directive.field_tests() {
                    carrier.tests |= 1 << self.tests.len();
                    let test = (!redaction::is_secret(field)).then(|| test.clone());
                    let field = field.to_owned();
                    self.tests.push(FieldTest { bit: carrier.bit, field, test });
                }
            }
        }
        Ok(())
    }

    /// The directives that a callsite's records may carry, if their values are right.
    pub(crate) fn candidates(&self, callsite: &Callsite) -> u64 {
        let name = callsite.is_span().then(|| callsite.name());
        let fields = callsite.fields().iter().map(String::as_str);
        self.bits(|carrier| carrier.directive.fits(callsite.target(), name, fields.clone()))
    }

    /// What a span carries that was opened under the plan `number` (0: one of which nothing is
    /// known here), and carried these directives then.
    ///
    /// A condition that was there already goes on to hold, or not to. Of one that is new, the
    /// values of the span are not at hand any more: it holds if it has none.
    pub(crate) fn inherited(&self, number: u32, directives: u64, callsite: u32) -> u64 {
        let was_there = |carrier: &Carrier| is_not_after(carrier.since, number);
        let known = if number == 0 { 0 } else { self.bits(was_there) };
        if self.without_values == 0 {
            return directives & known;
        }
        let callsite = crate::callsite::by_id(callsite);
        let fitting = callsite.map_or(0, |callsite| self.candidates(callsite));
        directives & known | self.without_values & fitting
    }

    fn bits(&self, wanted: impl Fn(&Carrier) -> bool) -> u64 {
        let wanted = self.carriers.iter().filter(|carrier| wanted(carrier));
        wanted.fold(0, |bits, carrier| bits | 1 << carrier.bit)
    }

    /// The number of the plan.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Could any directive change what the targets and levels decided for a record?
    pub(crate) fn may_change(&self, level: Level, sinks: u32, is_span: bool) -> bool {
        self.groups.iter().any(|group| {
            let of = if is_span { group.span_sinks } else { group.event_sinks };
            // Each sink of the group has the same filter: one stands for all.
            let is_on = sinks & of != 0;
            of != 0 && group.steps.iter().any(|step| step.lets_through(level) != is_on)
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
        let applying = around | own;
        if applying == 0 {
            return static_sinks;
        }
        let mut sinks = static_sinks;
        for group in &self.groups {
            let applies = |step: &&Step| applying & 1 << step.bit != 0;
            let Some(step) = group.steps.iter().find(applies) else { continue };
            let carries = is_span && own & 1 << step.bit != 0;
            let is_on = step.lets_through(level) || (carries && step.level.is_some());
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
        for carrier in &self.carriers {
            if carried.directives & 1 << carrier.bit != 0 {
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
            if self.candidates & 1 << test.bit != 0 && test.field == field {
                let is_met = test.test.as_ref().is_some_and(|test| test.accepts(value));
                self.met = self.met & !(1 << n) | u128::from(is_met) << n;
            }
        }
    }

    fn is_asked(&self, field: &str) -> bool {
        let is_about = |test: &FieldTest| {
            let is_candidate = self.candidates & 1 << test.bit != 0;
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
        for carrier in &self.rules.carriers {
            let is_met = self.met & carrier.tests == carrier.tests;
            if self.candidates & 1 << carrier.bit != 0 && is_met {
                directives |= 1 << carrier.bit;
            }
        }
        Carried { directives, tests: self.met as u32 & ((1 << REMEMBERED_MAX) - 1) }
    }
}

/// A condition that has no bit yet.
const NO_BIT: u32 = u64::BITS;

/// Does a plan's number come before another's, or is it the same? Around the circle of numbers.
fn is_not_after(number: u32, other: u32) -> bool {
    other.wrapping_sub(number) & NUMBER_MAX <= NUMBER_MAX / 2
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
