//! What stands around the records of a request: resource, then scopes.
//!
//! The three signals have the same frame: a request holds one resource, the resource holds scopes,
//! a scope holds records. The scope's name is the record's target, as OpenTelemetry's own appender
//! for `tracing` has it.
//!
//! # Invariants
//!
//! - Records are written one after the other into one vector, whatever their scope; `finish` puts
//!   them in place with one pass, so their order within a scope is kept.
//! - The vector is reused; a request's bytes are allocated once, at their exact length.
//! - A scope without a record is not sent.
//! - At most [`SCOPES_MAX`] scopes are known: targets may come from a program's input.

use super::attributes::{Any, key_any};
use super::wire::{self, bytes_key};
use bytes::Bytes;
use std::collections::HashMap;
use telemetry_core::batch::Record;
use telemetry_core::resource::Resource;

/// How many scopes are remembered; a request with more is sent at once.
pub(crate) const SCOPES_MAX: usize = 1024;
/// Above this the vector is given back after a request.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

const RECORD: u8 = bytes_key(2);
const SCOPE: u8 = bytes_key(2);
const UNKNOWN: u32 = u32::MAX;

/// A resource, encoded as the first field of `ResourceLogs`, `ResourceSpans`, `ResourceMetrics`.
pub(crate) fn resource(resource: &Resource) -> Vec<u8> {
    let mut out = Vec::new();
    let start = wire::begin(&mut out, bytes_key(1));
    for (key, value) in resource.attributes() {
        key_any(&mut out, bytes_key(1), key, Any::Text(value));
    }
    wire::end(&mut out, start);
    out
}

/// The scope of a record: an index into an envelope's scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeIndex(u32);

#[derive(Debug)]
struct Scope {
    /// Encoded as the first field of `ScopeLogs` and its siblings.
    header: Vec<u8>,
    /// The length of its records in the current request.
    length: usize,
}

/// Consecutive records of one scope.
#[derive(Debug)]
struct Run {
    scope: u32,
    end: usize,
}

/// Gathers the records of one request.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    scopes: Vec<Scope>,
    by_callsite: Vec<u32>,
    by_name: HashMap<Box<str>, u32>,
}

impl Envelope {
    /// How many bytes its records take.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Does it know as many scopes as it may?
    pub(crate) fn has_many_scopes(&self) -> bool {
        self.scopes.len() >= SCOPES_MAX
    }

    /// The scope of a record: its target.
    #[inline]
    pub(crate) fn scope_of(&mut self, record: &Record<'_>) -> ScopeIndex {
        if record.origin().is_some() {
            return self.scope(record.target(), "");
        }
        let id = record.callsite().id() as usize;
        match self.by_callsite.get(id) {
            Some(scope) if *scope != UNKNOWN => ScopeIndex(*scope),
            _ => self.scope_of_callsite(record, id),
        }
    }

    #[cold]
    fn scope_of_callsite(&mut self, record: &Record<'_>, id: usize) -> ScopeIndex {
        let scope = self.scope(record.target(), "");
        if self.by_callsite.len() <= id {
            self.by_callsite.resize(id + 1, UNKNOWN);
        }
        self.by_callsite[id] = scope.0;
        scope
    }

    /// The scope of a name and version; a name always comes with the same version.
    pub(crate) fn scope(&mut self, name: &str, version: &str) -> ScopeIndex {
        if let Some(scope) = self.by_name.get(name) {
            return ScopeIndex(*scope);
        }
        let mut header = Vec::with_capacity(name.len() + version.len() + 12);
        let start = wire::begin(&mut header, bytes_key(1));
        wire::text(&mut header, bytes_key(1), name);
        wire::text(&mut header, bytes_key(2), version);
        wire::end(&mut header, start);
        let index = self.scopes.len() as u32;
        self.scopes.push(Scope { header, length: 0 });
        self.by_name.insert(name.into(), index);
        ScopeIndex(index)
    }

    /// Adds what `write` writes as a field with the key it is given; `false` if it wrote nothing.
    #[inline]
    pub(crate) fn push(
        &mut self,
        scope: ScopeIndex,
        write: impl FnOnce(&mut Vec<u8>, u8) -> bool,
    ) -> bool {
        let start = self.bytes.len();
        if !write(&mut self.bytes, RECORD) {
            self.bytes.truncate(start);
            return false;
        }
        let end = self.bytes.len();
        self.scopes[scope.0 as usize].length += end - start;
        match self.runs.last_mut() {
            Some(run) if run.scope == scope.0 => run.end = end,
            _ => self.runs.push(Run { scope: scope.0, end }),
        }
        true
    }

    /// The request; afterwards the envelope is empty.
    pub(crate) fn finish(&mut self, resource: &[u8]) -> Bytes {
        let scope_len = |scope: &Scope| scope.header.len() + scope.length;
        let used = || self.scopes.iter().filter(|scope| scope.length > 0);
        let inner: usize =
            resource.len() + used().map(|scope| wire::field_len(scope_len(scope))).sum::<usize>();
        let total = wire::field_len(inner);
        let mut out = Vec::with_capacity(total);
        wire::header(&mut out, bytes_key(1), inner);
        out.extend_from_slice(resource);
        let mut places = Vec::with_capacity(self.scopes.len());
        for scope in &self.scopes {
            if scope.length > 0 {
                wire::header(&mut out, SCOPE, scope_len(scope));
                out.extend_from_slice(&scope.header);
            }
            places.push(out.len());
            out.resize(out.len() + scope.length, 0);
        }
        let mut start = 0;
        for run in &self.runs {
            let records = &self.bytes[start..run.end];
            let place = &mut places[run.scope as usize];
            out[*place..*place + records.len()].copy_from_slice(records);
            *place += records.len();
            start = run.end;
        }
        debug_assert_eq!(out.len(), total);
        self.clear();
        Bytes::from(out)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.runs.clear();
        if self.has_many_scopes() {
            *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        }
        self.scopes.iter_mut().for_each(|scope| scope.length = 0);
    }
}
