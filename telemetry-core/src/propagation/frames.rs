//! What a thread carries beside its spans: key-values of a scope, and baggage.
//!
//! # Invariants
//!
//! - A frame is immutable and whole: the innermost one says everything, outer ones are not asked.
//! - Frames are taken out by number, so guards may be dropped in any order.
//! - At most [`FRAMES_MAX`] frames and [`FIELDS_MAX`] fields a frame; what is beyond is left out
//!   and said.

use super::baggage::Baggage;
use crate::diagnostics;
use crate::level::Level;
use crate::metric::Labels;
use crate::redaction;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How many frames a thread holds at most.
const FRAMES_MAX: usize = 4096;
/// How many fields a frame gives to records at most.
pub(crate) const FIELDS_MAX: usize = 64;

/// The names of baggage members that become fields.
static BAGGAGE_FIELDS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Sets which members of the baggage become fields of the records inside; none by default, since
/// baggage is what a caller says.
///
/// It counts for contexts entered from now on.
pub fn set_baggage_fields<K: Into<String>>(keys: impl IntoIterator<Item = K>) {
    let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
    *BAGGAGE_FIELDS.write().unwrap_or_else(PoisonError::into_inner) = keys;
}

/// The keys of scopes that become labels of measurements.
static METRIC_LABELS: RwLock<Vec<String>> = RwLock::new(Vec::new());
/// Is there one?
static HAS_METRIC_LABELS: AtomicBool = AtomicBool::new(false);

/// Sets which of the fields that a scope gives to records are labels of the measurements inside,
/// too; none by default, since each value makes a series.
///
/// It counts for contexts entered from now on.
///
/// ```
/// use telemetry_core::{context, counter, metric};
///
/// context::set_metric_labels(["tenant"]);
/// let scope = context::scope([("tenant", "acme"), ("user", "7")]);
/// counter!("orders").add(1);
/// drop(scope);
/// counter!("orders").add(1);
/// assert_eq!(metric::global().counter("orders", [("tenant", "acme")]).value(), 1);
/// assert_eq!(metric::global().counter("orders", ()).value(), 1);
/// ```
pub fn set_metric_labels<K: Into<String>>(keys: impl IntoIterator<Item = K>) {
    let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
    // Relaxed, here and below: who reads the old one measures a moment earlier.
    HAS_METRIC_LABELS.store(!keys.is_empty(), Ordering::Relaxed);
    *METRIC_LABELS.write().unwrap_or_else(PoisonError::into_inner) = keys;
}

/// May measurements have labels of a scope?
#[inline]
pub(crate) fn has_metric_labels() -> bool {
    HAS_METRIC_LABELS.load(Ordering::Relaxed)
}

/// The fields that are labels of measurements.
fn metric_labels(fields: &Labels) -> Labels {
    if !has_metric_labels() || fields.is_empty() {
        return Labels::new();
    }
    let listed = METRIC_LABELS.read().unwrap_or_else(PoisonError::into_inner);
    fields.retained(|key, _| listed.iter().any(|listed| listed == key))
}

/// Key-values and baggage of a thread.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) values: Labels,
    pub(crate) baggage: Baggage,
    /// What records get: the values, and before them the baggage that may be shown.
    pub(crate) fields: Labels,
    /// What measurements get of them.
    pub(crate) labels: Labels,
    /// The list of names that the fields were looked at with.
    pub(crate) list: usize,
}

impl Frame {
    pub(crate) fn new(values: Labels, baggage: Baggage) -> Self {
        let mut fields = Labels::new();
        if !baggage.is_empty() {
            let shown = BAGGAGE_FIELDS.read().unwrap_or_else(PoisonError::into_inner);
            for key in shown.iter() {
                if let Some(value) = baggage.get(key) {
                    fields = fields.with(key.clone(), value.to_owned());
                }
            }
        }
        for (key, value) in values.iter() {
            // The message is an event's own: there is no other before or behind it.
            if key == "message" || fields.len() >= FIELDS_MAX {
                let text = format!(
                    "the key `{key}` is left out: it is `message`, or one of more than {FIELDS_MAX}"
                );
                diagnostics::report("context.key", Level::Warn, text);
                continue;
            }
            fields = fields.with(key.to_owned(), value.clone());
        }
        let labels = metric_labels(&fields);
        Self { values, baggage, fields, labels, list: redaction::list() }
    }

    /// The frame with further values, which replace those of the same key.
    pub(crate) fn with_values(&self, added: &Labels) -> Self {
        let mut values = self.values.clone();
        for (key, value) in added.iter() {
            values = values.with(key.to_owned(), value.clone());
        }
        Self::new(values, self.baggage.clone())
    }
}

/// A thread's frames, the innermost last.
#[derive(Debug)]
pub(crate) struct Frames {
    entries: RefCell<Vec<(u64, Arc<Frame>)>>,
    next: Cell<u64>,
}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self { entries: RefCell::new(Vec::new()), next: Cell::new(1) }
    }

    /// Makes a frame the innermost one; `None` when it found no place.
    pub(crate) fn push(&self, frame: Arc<Frame>) -> Option<u64> {
        // It may be borrowed where the allocator opens a scope while the vector grows.
        let mut entries = self.entries.try_borrow_mut().ok()?;
        if entries.len() >= FRAMES_MAX {
            return None;
        }
        let number = self.number();
        entries.push((number, frame));
        Some(number)
    }

    /// A number that nothing else of the thread has.
    pub(crate) fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// Takes a frame out, wherever it stands.
    pub(crate) fn remove(&self, number: u64) -> Option<Arc<Frame>> {
        let mut entries = self.entries.try_borrow_mut().ok()?;
        let at = entries.iter().rposition(|(other, _)| *other == number)?;
        Some(entries.remove(at).1)
    }

    /// The innermost frame.
    pub(crate) fn top(&self) -> Option<Arc<Frame>> {
        self.entries.try_borrow().ok()?.last().map(|(_, frame)| Arc::clone(frame))
    }

    /// Takes all out.
    pub(crate) fn clear(&self) {
        drop(self.entries.take());
    }
}
