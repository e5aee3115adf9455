//! The spans that are open, with their attributes: they live on the worker alone.
//!
//! # Invariants
//!
//! - A span is here from its start record to its close record (or to the sweep of lost closes).
//! - A span's data is immutable: `record()` makes a new version, batches keep the old one.
//! - An entry of a batch's span section is good for as long as no span around it has changed:
//!   `section` moves with every new batch and every new version.

use crate::batch::{Builder, NO_SPAN, SPAN_DEPTH_MAX, SpanData};
use crate::propagation::TraceState;
use crate::record::{RawFields, RawKey, RawRecord};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// How many bytes the fields of one span may take, all its `record()`s together.
const SPAN_FIELDS_BYTES_MAX: usize = crate::record::RECORD_BYTES_MAX;
/// How many links one span may have (the OpenTelemetry default).
const LINKS_MAX: usize = 128;

/// Span ids are random bits already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[derive(Debug)]
struct Entry {
    data: Arc<SpanData>,
    section: u64,
    index: u32,
}

/// The open spans by id.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    open: HashMap<u64, Entry, BuildHasherDefault<Identity>>,
    section: u64,
}

impl Spans {
    /// A new batch begins: its span section is empty.
    pub(crate) fn begin_batch(&mut self) {
        self.section += 1;
    }

    pub(crate) fn contains(&self, span_id: u64) -> bool {
        self.open.contains_key(&span_id)
    }

    /// Adds the span that a start record tells of.
    pub(crate) fn start(&mut self, record: RawRecord<'_>, start_unix_ns: u64) {
        let data = SpanData {
            callsite: record.callsite(),
            flags: record.flags(),
            trace_id: record.trace_id(),
            span_id: record.span_id(),
            parent_id: record.parent_id(),
            trace_state: self.trace_state(record),
            start_ticks: record.ticks(),
            start_unix_ns,
            fields: record.fields().bytes().into(),
            links: Vec::new(),
        };
        let entry = Entry { data: Arc::new(data), section: 0, index: NO_SPAN };
        self.open.insert(record.span_id(), entry);
    }

    /// The state of the trace that a record tells of: mostly that of the parent, which is shared.
    fn trace_state(&self, record: RawRecord<'_>) -> TraceState {
        let text = record.trace_state();
        if text.is_empty() {
            return TraceState::default();
        }
        let parent = self.open.get(&record.parent_id()).map(|entry| &entry.data.trace_state);
        let shared = parent.filter(|state| state.as_str() == text);
        shared.cloned().unwrap_or_else(|| TraceState::of_text(text))
    }

    /// Gives a span the attributes of a later record: one of the same name replaces the earlier.
    pub(crate) fn record(&mut self, record: RawRecord<'_>) {
        self.change(record.span_id(), |data| {
            let added = record.fields();
            if data.fields.len() + added.bytes().len() > SPAN_FIELDS_BYTES_MAX {
                data.flags |= crate::record::flag::CUT;
                return;
            }
            let replaced: Vec<u16> = added.filter_map(|field| index_of(&field.key)).collect();
            data.fields = merge(&data.fields, &replaced, added.bytes());
        });
    }

    /// Links a span to the one it follows from, once.
    pub(crate) fn link(&mut self, record: RawRecord<'_>) {
        self.change(record.span_id(), |data| {
            let is_known = data.links.contains(&record.follows_from());
            if !is_known && data.links.len() < LINKS_MAX {
                data.links.push(record.follows_from());
            }
        });
    }

    /// Gives a span another parent, and the trace of it.
    pub(crate) fn set_parent(&mut self, record: RawRecord<'_>) {
        let trace_state = self.trace_state(record);
        self.change(record.span_id(), |data| {
            data.trace_state = trace_state;
            data.trace_id = record.trace_id();
            data.parent_id = record.parent_id();
            data.flags = record.flags() | data.flags & crate::record::flag::CUT;
        });
    }

    fn change(&mut self, span_id: u64, change: impl FnOnce(&mut SpanData)) {
        let Some(entry) = self.open.get_mut(&span_id) else { return };
        let old = &entry.data;
        let mut data = SpanData {
            fields: old.fields.clone(),
            links: old.links.clone(),
            trace_state: old.trace_state.clone(),
            ..**old
        };
        change(&mut data);
        entry.data = Arc::new(data);
        // Spans inside it may stand in the section with this one's old version as their parent.
        self.section += 1;
    }

    /// Takes a span out that is over.
    pub(crate) fn end(&mut self, span_id: u64) -> bool {
        let found = self.open.remove(&span_id).is_some();
        if self.open.capacity() > 4096 && self.open.len() < self.open.capacity() / 8 {
            self.open.shrink_to(self.open.len() * 2);
        }
        found
    }

    /// The span of an id, as of its last version.
    pub(super) fn get(&self, span_id: u64) -> Option<&Arc<SpanData>> {
        self.open.get(&span_id).map(|entry| &entry.data)
    }

    /// All open spans.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<SpanData>> {
        self.open.values().map(|entry| &entry.data)
    }

    /// How many spans are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Where the span stands in the batch's section; it and the spans around it are put there.
    #[inline]
    pub(crate) fn section_index(&mut self, span_id: u64, builder: &mut Builder) -> u32 {
        match self.open.get(&span_id) {
            Some(entry) if entry.section == self.section => entry.index,
            Some(_) => self.enter_section(span_id, builder),
            None => NO_SPAN,
        }
    }

    fn enter_section(&mut self, span_id: u64, builder: &mut Builder) -> u32 {
        let mut missing = [0_u64; SPAN_DEPTH_MAX];
        let mut count = 0;
        let mut parent_index = NO_SPAN;
        let mut next = span_id;
        while count < SPAN_DEPTH_MAX {
            let Some(entry) = self.open.get(&next) else { break };
            if entry.section == self.section {
                parent_index = entry.index;
                break;
            }
            missing[count] = next;
            count += 1;
            next = entry.data.parent_id;
        }
        for span_id in missing[..count].iter().rev() {
            if let Some(entry) = self.open.get_mut(span_id) {
                entry.index = builder.push_span(Arc::clone(&entry.data), parent_index);
                entry.section = self.section;
                parent_index = entry.index;
            }
        }
        parent_index
    }
}

fn index_of(key: &RawKey<'_>) -> Option<u16> {
    match key {
        RawKey::Index(index) => Some(*index),
        RawKey::Inline(_) => None,
    }
}

/// The fields of `old` but for the replaced ones, then `added`.
fn merge(old: &[u8], replaced: &[u16], added: &[u8]) -> Box<[u8]> {
    let mut merged = Vec::with_capacity(old.len() + added.len());
    let mut rest = RawFields::of(old);
    loop {
        let before = rest.bytes();
        let Some(field) = rest.next() else { break };
        let length = before.len() - rest.bytes().len();
        if !index_of(&field.key).is_some_and(|index| replaced.contains(&index)) {
            merged.extend_from_slice(&before[..length]);
        }
    }
    merged.extend_from_slice(added);
    merged.into()
}
