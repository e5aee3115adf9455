//! Writes one record into memory that the caller lends.
//!
//! # Invariants
//!
//! - `start <= pos <= end`, and `start..end` is writable memory of one allocation that nobody else
//!   reads or writes until the record is committed.
//! - `end - start` is a multiple of 8, so padding always fits.
//! - After a refusal nothing more is written; the owner drops the record and counts it.
//! - A field that is to be redacted is not looked at: no `Debug` of its value is called.

use super::{
    ERROR_SOURCES_MAX, Encode, HEADER_BYTES, Header, INLINE_KEY, KEY_BYTES_MAX, RECORD_BYTES_MAX,
    RawFields, VALUE_BYTES_MAX, VERSION, field_flag, flag, value_type,
};
use crate::error::discard_panic;
use crate::redaction::{self, REDACTED};
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where a writer gets more room from when a record outgrows what it was given.
pub(crate) trait Room {
    /// Moves the record's first `used` bytes to where there is room for `wanted`.
    ///
    /// Returns the new start and its length (a multiple of 8), or `None` when the record has to be
    /// dropped.
    fn grow(&self, used: usize, wanted: usize) -> Option<(*mut u8, usize)>;
}

/// Writes the fields of one record; every method stays within the record's limits.
pub struct Writer<'a> {
    start: *mut u8,
    pos: *mut u8,
    end: *mut u8,
    /// Where more room comes from; `None` = this is all there is.
    room: Option<&'a dyn Room>,
    flags: u8,
    state: State,
    /// Where the memory ends, and which fields are redacted; of [`State::Redacts`] only.
    redaction: MaybeUninit<Redaction>,
}

/// What a writer does with the next field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Takes,
    /// The record is dropped.
    Refused,
    /// `end` is where the last reservation ends: each field comes by the slow path, and its key
    /// is looked at there. A writer that redacts nothing pays nothing for it.
    Redacts,
}

/// What a writer that redacts needs to know; a writer that does not leaves it uninitialised.
#[derive(Debug, Clone, Copy)]
struct Redaction {
    end: *mut u8,
    /// The fields, as of `Callsite::redacted`.
    mask: u64,
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("used", &self.used()).finish_non_exhaustive()
    }
}

impl Header {
    /// Writes the header's bytes.
    ///
    /// # Safety
    ///
    /// `start` is aligned to 8 and points to [`HEADER_BYTES`] writable bytes that nobody else
    /// touches.
    #[inline(always)]
    unsafe fn write(&self, start: *mut u8, length: u32, padding: u8) {
        let version_kind = u64::from(VERSION << 4 | self.kind as u8);
        let second = version_kind
            | u64::from(self.flags) << 8
            | u64::from(self.epoch) << 16
            | u64::from(padding) << 24;
        // SAFETY: the caller vouches for aligned room.
        unsafe {
            start.cast::<u32>().write(length);
            start.add(4).cast::<u32>().write((second as u32).to_le());
            start.add(8).cast::<u32>().write(self.callsite);
            start.add(12).cast::<u32>().write(self.sinks);
            start.add(16).cast::<u64>().write(self.ticks);
            start.add(24).cast::<u64>().write(self.trace_high);
            start.add(32).cast::<u64>().write(self.trace_low);
            start.add(40).cast::<u64>().write(self.span_id);
        }
    }

    /// Writes a whole record that has no payload.
    ///
    /// # Safety
    ///
    /// As [`Header::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_alone(&self, start: *mut u8) {
        // SAFETY: the caller vouches for it.
        unsafe { self.write(start, HEADER_BYTES as u32, 0) };
    }
}

impl<'a> Writer<'a> {
    /// Begins a record with its header.
    ///
    /// # Safety
    ///
    /// `start` is aligned to 8 and points to `length` writable bytes that nobody else touches
    /// while the writer lives; `length` is a multiple of 8, at least [`HEADER_BYTES`]. What `room`
    /// returns keeps the same promises.
    #[inline(always)]
    pub(crate) unsafe fn begin(
        start: *mut u8,
        length: usize,
        room: Option<&'a dyn Room>,
        header: &Header,
    ) -> Self {
        // SAFETY: the caller vouches for `length >= HEADER_BYTES` aligned bytes at `start`.
        unsafe {
            header.write(start, 0, 0);
            Self {
                start,
                pos: start.add(HEADER_BYTES),
                end: start.add(length),
                room,
                flags: header.flags,
                state: State::Takes,
                redaction: MaybeUninit::uninit(),
            }
        }
    }

    /// Pads the record, writes its length, and returns it with the start; `None` when it was
    /// refused and has to be dropped.
    #[inline(always)]
    pub(crate) fn finish(self) -> Option<(*mut u8, usize)> {
        if self.state == State::Refused {
            return None;
        }
        let used = self.used();
        let length = (used + 7) & !7;
        // SAFETY: the header is within the record; `length <= end - start`, which is a multiple
        // of 8 and at least `used`.
        unsafe {
            self.start.cast::<u32>().write(length as u32);
            self.start.add(5).write(self.flags);
            self.start.add(7).write((length - used) as u8);
        }
        Some((self.start, length))
    }

    /// The fields written so far, of a record whose payload begins with them.
    pub(crate) fn fields(&self) -> RawFields<'_> {
        let length = self.used() - HEADER_BYTES;
        // SAFETY: `start..pos` was written by this writer, a header at least, and nobody changes
        // it while the writer is borrowed.
        RawFields::of(unsafe { std::slice::from_raw_parts(self.start.add(HEADER_BYTES), length) })
    }

    /// Says late who wants the record; nobody (0) takes it back.
    pub(crate) fn decide(&mut self, sinks: u32) {
        // SAFETY: the header is within the record.
        unsafe { self.start.add(12).cast::<u32>().write(sinks) };
        if sinks == 0 {
            self.refuse();
        }
    }

    /// Takes nothing more.
    fn refuse(&mut self) {
        self.state = State::Refused;
        self.end = self.pos;
    }

    /// Redacts the fields that follow, of these indices.
    pub(crate) fn redact(&mut self, mask: u64) {
        if self.state == State::Takes {
            self.redaction = MaybeUninit::new(Redaction { end: self.end, mask });
            self.state = State::Redacts;
            self.end = self.pos;
        }
    }

    #[inline(always)]
    fn used(&self) -> usize {
        self.pos as usize - self.start as usize
    }

    #[inline(always)]
    fn left(&self) -> usize {
        self.end as usize - self.pos as usize
    }

    /// Makes room for `wanted` more bytes; `false` when the record is at its limit or refused.
    #[inline(always)]
    fn reserve(&mut self, wanted: usize) -> bool {
        self.left() >= wanted || self.reserve_slow(wanted)
    }

    /// As `reserve`, at the start of a field; `false` also where `[redacted]` was written instead.
    #[inline(always)]
    fn reserve_field(&mut self, key: u16, wanted: usize) -> bool {
        self.left() >= wanted || self.reserve_field_slow(key, wanted)
    }

    #[cold]
    #[inline(never)]
    fn reserve_field_slow(&mut self, key: u16, wanted: usize) -> bool {
        !self.has_redacted(key) && self.reserve_slow(wanted)
    }

    /// Writes `[redacted]` for a field that is to be redacted.
    fn has_redacted(&mut self, key: u16) -> bool {
        if self.state != State::Redacts || key == INLINE_KEY {
            return false;
        }
        // SAFETY: the state says that `redact` has set it.
        let mask = unsafe { self.redaction.assume_init() }.mask;
        let is_redacted = redaction::is_in_mask(mask, key);
        if is_redacted && self.reserve_slow(8 + REDACTED.len()) {
            self.put_tag(key, value_type::STR, 0);
            self.put(&(REDACTED.len() as u32).to_ne_bytes());
            self.put(REDACTED.as_bytes());
        }
        is_redacted
    }

    #[cold]
    #[inline(never)]
    fn reserve_slow(&mut self, wanted: usize) -> bool {
        match self.state {
            State::Takes => {}
            State::Refused => return false,
            State::Redacts => return self.reserve_exactly(wanted),
        }
        let used = self.used();
        if used + wanted > RECORD_BYTES_MAX
            || self.end as usize - self.start as usize >= RECORD_BYTES_MAX
        {
            self.flags |= flag::CUT;
            return false;
        }
        match self.room.and_then(|room| room.grow(used, used + wanted)) {
            Some((start, length)) => {
                debug_assert!(length >= used + wanted && length % 8 == 0);
                self.start = start;
                // SAFETY: `grow` returned `length >= used` bytes at `start`.
                unsafe {
                    self.pos = start.add(used);
                    self.end = start.add(length);
                }
                true
            }
            None => {
                self.refuse();
                false
            }
        }
    }

    /// Makes room for no more than `wanted` bytes, so that the next field asks again.
    fn reserve_exactly(&mut self, wanted: usize) -> bool {
        // SAFETY: the state says that `redact` has set it.
        let redaction = unsafe { self.redaction.assume_init() };
        self.end = redaction.end;
        self.state = State::Takes;
        let has_room = self.reserve(wanted);
        if self.state == State::Refused {
            return false;
        }
        self.redact(redaction.mask);
        if has_room {
            // SAFETY: `reserve` has found so much room behind `pos`.
            self.end = unsafe { self.pos.add(wanted) };
        }
        has_room
    }

    /// Gives back what a field has reserved and not used; of no concern without redaction.
    fn end_reservation(&mut self) {
        if self.state != State::Takes {
            self.end = self.pos;
        }
    }

    /// Writes bytes; the caller has reserved room for them.
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(self.left() >= bytes.len());
        // SAFETY: room was reserved, and the borrowed bytes cannot overlap memory that only this
        // writer touches.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pos, bytes.len());
            self.pos = self.pos.add(bytes.len());
        }
    }

    /// As `put`, for texts, most of which are short: without a call of `memcpy` for those.
    #[inline(always)]
    fn put_text(&mut self, text: &[u8]) {
        let length = text.len();
        debug_assert!(self.left() >= length);
        let from = text.as_ptr();
        // SAFETY: room was reserved, the memory is this writer's alone, and each arm reads and
        // writes `length` bytes from the start: words or bytes that overlap where they have to.
        unsafe {
            match length {
                8..=16 => {
                    let head = from.cast::<u64>().read_unaligned();
                    let tail = from.add(length - 8).cast::<u64>().read_unaligned();
                    self.pos.cast::<u64>().write_unaligned(head);
                    self.pos.add(length - 8).cast::<u64>().write_unaligned(tail);
                }
                4..8 => {
                    let head = from.cast::<u32>().read_unaligned();
                    let tail = from.add(length - 4).cast::<u32>().read_unaligned();
                    self.pos.cast::<u32>().write_unaligned(head);
                    self.pos.add(length - 4).cast::<u32>().write_unaligned(tail);
                }
                1..4 => {
                    for at in [0, length / 2, length - 1] {
                        self.pos.add(at).write(from.add(at).read());
                    }
                }
                _ => std::ptr::copy_nonoverlapping(from, self.pos, length),
            }
            self.pos = self.pos.add(length);
        }
    }

    #[inline(always)]
    fn put_tag(&mut self, key: u16, value_type: u8, field_flags: u8) {
        let tag = u32::from(key) | u32::from(value_type) << 16 | u32::from(field_flags) << 24;
        self.put(&tag.to_le_bytes());
    }

    #[inline(always)]
    fn fixed<const N: usize>(&mut self, key: u16, value_type: u8, value: [u8; N]) {
        if self.reserve_field(key, 4 + N) {
            self.put_tag(key, value_type, 0);
            self.put(&value);
        }
    }

    /// Writes a signed integer.
    #[inline(always)]
    pub fn i64(&mut self, key: u16, value: i64) {
        self.fixed(key, value_type::I64, value.to_ne_bytes());
    }

    /// Writes an unsigned integer.
    #[inline(always)]
    pub fn u64(&mut self, key: u16, value: u64) {
        self.fixed(key, value_type::U64, value.to_ne_bytes());
    }

    /// Writes a float, NaN and infinities included.
    #[inline(always)]
    pub fn f64(&mut self, key: u16, value: f64) {
        self.fixed(key, value_type::F64, value.to_ne_bytes());
    }

    /// Writes a signed 128-bit integer.
    #[inline]
    pub fn i128(&mut self, key: u16, value: i128) {
        self.fixed(key, value_type::I128, value.to_ne_bytes());
    }

    /// Writes an unsigned 128-bit integer.
    #[inline]
    pub fn u128(&mut self, key: u16, value: u128) {
        self.fixed(key, value_type::U128, value.to_ne_bytes());
    }

    /// Writes a boolean.
    #[inline(always)]
    pub fn bool(&mut self, key: u16, value: bool) {
        if self.reserve_field(key, 4) {
            self.put_tag(key, value_type::BOOL, if value { field_flag::TRUE } else { 0 });
        }
    }

    /// Writes a text, cut at [`VALUE_BYTES_MAX`].
    #[inline(always)]
    pub fn str(&mut self, key: u16, value: &str) {
        if value.len() <= VALUE_BYTES_MAX && self.left() >= 8 + value.len() {
            self.put_tag(key, value_type::STR, 0);
            self.put(&(value.len() as u32).to_ne_bytes());
            self.put_text(value.as_bytes());
        } else {
            self.cut_text(key, value_type::STR, value);
        }
    }

    /// Writes bytes, cut at [`VALUE_BYTES_MAX`].
    pub fn bytes(&mut self, key: u16, value: &[u8]) {
        let Some(kept) = self.reserve_value(key, value.len()) else { return };
        let cut = if kept < value.len() { field_flag::CUT } else { 0 };
        self.put_tag(key, value_type::BYTES, cut);
        self.put(&(kept as u32).to_ne_bytes());
        self.put(&value[..kept]);
    }

    #[cold]
    #[inline(never)]
    fn cut_text(&mut self, key: u16, value_type: u8, value: &str) {
        let Some(room) = self.reserve_value(key, value.len()) else { return };
        let kept = floor(value, room);
        let cut = if kept.len() < value.len() { field_flag::CUT } else { 0 };
        self.put_tag(key, value_type, cut);
        self.put(&(kept.len() as u32).to_ne_bytes());
        self.put(kept.as_bytes());
        self.end_reservation();
    }

    /// Reserves tag, length and as many bytes of a value as the limits allow; `None` = none, or
    /// `[redacted]` was written instead.
    fn reserve_value(&mut self, key: u16, length: usize) -> Option<usize> {
        if self.has_redacted(key) {
            return None;
        }
        let wanted = length.min(VALUE_BYTES_MAX);
        if wanted < length {
            self.flags |= flag::CUT;
        }
        if self.reserve(8 + wanted) {
            return Some(wanted);
        }
        let room = self.left().checked_sub(8)?;
        Some(room.min(wanted))
    }

    /// Formats a value in place, cut at [`VALUE_BYTES_MAX`]; a panic of its `Debug` or `Display`
    /// is caught and shows as `<panic in Debug>`.
    pub fn formatted(&mut self, key: u16, value: &dyn fmt::Debug) {
        self.format_args(key, format_args!("{value:?}"));
    }

    /// Formats arguments in place, as [`Writer::formatted`] does.
    #[inline]
    pub fn format_args(&mut self, key: u16, value: fmt::Arguments<'_>) {
        if !self.reserve_field(key, 8) {
            return;
        }
        let tag_at = self.used();
        self.put_tag(key, value_type::FORMATTED, 0);
        self.put(&[0; 4]);
        let value_at = self.used();
        let mut text = Text { writer: self, left: VALUE_BYTES_MAX, cut: false };
        // A panic in a user's `Debug` must not reach the call site. Nothing of ours is left in a
        // broken state by it: the writer's position is valid after every write.
        let outcome = catch_unwind(AssertUnwindSafe(|| fmt::write(&mut text, value)));
        let cut = text.cut;
        if let Err(payload) = outcome {
            discard_panic(payload);
            self.back_to(value_at);
            let text = b"<panic in Debug>";
            if self.reserve(text.len()) {
                self.put(text);
            }
        }
        self.close_value(tag_at, value_at, cut);
    }

    fn back_to(&mut self, used: usize) {
        debug_assert!(used <= self.used());
        // SAFETY: `used` is a position that this record has already passed.
        self.pos = unsafe { self.start.add(used) };
        self.end_reservation();
    }

    /// Fills in the length of the value that began at `value_at`, and its cut mark.
    #[inline]
    fn close_value(&mut self, tag_at: usize, value_at: usize, cut: bool) {
        if self.state == State::Refused {
            return;
        }
        let length = (self.used() - value_at) as u32;
        // SAFETY: tag and length of this value were written at `tag_at` and `value_at - 4`.
        unsafe {
            self.start.add(value_at - 4).cast::<u32>().write_unaligned(length);
            if cut {
                self.start.add(tag_at + 3).write(field_flag::CUT);
            }
        }
        if cut {
            self.flags |= flag::CUT;
        }
    }

    /// Writes an error with its chain of sources, at most [`ERROR_SOURCES_MAX`] of them.
    pub fn error(&mut self, key: u16, error: &(dyn Error + 'static)) {
        if !self.reserve_field(key, 8) {
            return;
        }
        let tag_at = self.used();
        self.put_tag(key, value_type::ERROR, 0);
        self.put(&[0; 4]);
        let value_at = self.used();
        let mut cut = false;
        let mut next: Option<&dyn Error> = Some(error);
        for _ in 0..=ERROR_SOURCES_MAX {
            let Some(error) = next else { break };
            if !self.reserve(4) {
                cut = true;
                break;
            }
            cut |= self.error_text(error);
            // It is the user's code, as `Display` is.
            let source = catch_unwind(AssertUnwindSafe(|| error.source()));
            next = source.unwrap_or_else(|payload| {
                discard_panic(payload);
                None
            });
        }
        self.close_value(tag_at, value_at, cut);
    }

    fn error_text(&mut self, error: &dyn Error) -> bool {
        let length_at = self.used();
        self.put(&[0; 4]);
        let text_at = self.used();
        let left = VALUE_BYTES_MAX / 4;
        let mut text = Text { writer: self, left, cut: false };
        let outcome =
            catch_unwind(AssertUnwindSafe(|| fmt::write(&mut text, format_args!("{error}"))));
        let cut = text.cut;
        if let Err(payload) = outcome {
            discard_panic(payload);
            self.back_to(text_at);
            let text = b"<panic in Display>";
            if self.reserve(text.len()) {
                self.put(text);
            }
        }
        if self.state != State::Refused {
            let length = (self.used() - text_at) as u32;
            // SAFETY: the four bytes of this text's length were written at `length_at`.
            unsafe { self.start.add(length_at).cast::<u32>().write_unaligned(length) };
        }
        cut
    }

    /// Writes a value under a key that is not among the callsite's names; `[redacted]` where the
    /// key says that it is a secret ([`redaction`](crate::redaction)).
    pub fn inline(&mut self, key: &str, value: &dyn Encode) {
        let key = floor(key, KEY_BYTES_MAX);
        let is_secret = redaction::names().denies(key);
        self.inline_as_is(key, if is_secret { &REDACTED } else { value });
    }

    /// As [`inline`](Self::inline), of a key that was looked at before.
    pub(crate) fn inline_as_is(&mut self, key: &str, value: &dyn Encode) {
        let key = floor(key, KEY_BYTES_MAX);
        // The tag precedes the key and the key precedes the value, so the value is written first,
        // with its tag, and its bytes are then moved behind the key.
        let tag_at = self.used();
        if !self.reserve(6 + key.len() + 16) {
            return;
        }
        value.encode(INLINE_KEY, self);
        let value_at = tag_at + 4;
        let shift = 2 + key.len();
        if self.used() < value_at {
            return;
        }
        if !self.reserve(shift) {
            self.back_to(tag_at);
            return;
        }
        let value_bytes = self.used() - value_at;
        // SAFETY: `shift` more bytes were reserved; source and target lie within the record, and
        // the key's bytes are borrowed from elsewhere.
        unsafe {
            let at = self.start.add(value_at);
            std::ptr::copy(at, at.add(shift), value_bytes);
            at.cast::<u16>().write_unaligned(key.len() as u16);
            std::ptr::copy_nonoverlapping(key.as_ptr(), at.add(2), key.len());
            self.pos = self.pos.add(shift);
        }
        self.end_reservation();
    }

    /// Writes the payload's leading span id (the parent of a span that starts).
    #[inline(always)]
    pub(crate) fn leading_u64(&mut self, value: u64) {
        if self.reserve(8) {
            self.put(&value.to_ne_bytes());
        }
    }

    /// Writes the state of the trace behind the leading span id: that of every record which has the
    /// flag for it.
    pub(crate) fn trace_state(&mut self, state: &str) {
        if self.reserve(2 + state.len()) {
            self.put(&(state.len() as u16).to_ne_bytes());
            self.put(state.as_bytes());
        }
    }

    /// Writes where an event without a static callsite comes from, and marks the record so.
    pub(crate) fn origin(&mut self, target: &str, module: &str, file: &str, line: u32) {
        let (target, module, file) = (
            floor(target, KEY_BYTES_MAX),
            floor(module, KEY_BYTES_MAX),
            floor(file, KEY_BYTES_MAX),
        );
        if !self.reserve(10 + target.len() + module.len() + file.len()) {
            return;
        }
        self.flags |= flag::INLINE;
        for text in [target, module, file] {
            self.put(&(text.len() as u16).to_ne_bytes());
        }
        self.put(&line.to_ne_bytes());
        for text in [target, module, file] {
            self.put(text.as_bytes());
        }
    }

    /// Writes one record into a vector: for tests, and for what the pipeline itself has to say.
    pub(crate) fn to_vec(header: &Header, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        const FIRST_WORDS: usize = 64;
        let memory = Growing(RefCell::new(vec![0; FIRST_WORDS]));
        let start = memory.0.borrow_mut().as_mut_ptr();
        // SAFETY: the vector's memory is aligned to 8 and that long, and touched by nobody else
        // until the writer has finished; so is what `grow` returns.
        let mut writer =
            unsafe { Writer::begin(start.cast(), FIRST_WORDS * 8, Some(&memory), header) };
        write(&mut writer);
        match writer.finish() {
            // SAFETY: the record was written from `start` on, in the vector's memory.
            Some((start, length)) => unsafe { std::slice::from_raw_parts(start, length) }.to_vec(),
            None => Vec::new(),
        }
    }
}

/// Memory that grows with a record, up to the limit of records.
struct Growing(RefCell<Vec<u64>>);

impl Room for Growing {
    fn grow(&self, used: usize, wanted: usize) -> Option<(*mut u8, usize)> {
        let mut memory = self.0.borrow_mut();
        let words = wanted.max(2 * used).min(RECORD_BYTES_MAX).div_ceil(8);
        memory.resize(words, 0);
        Some((memory.as_mut_ptr().cast(), words * 8))
    }
}

/// The longest part of `text` that has at most `bytes` bytes and ends with a whole character.
pub(crate) fn floor(text: &str, bytes: usize) -> &str {
    if bytes >= text.len() {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Lets `fmt` write into the record, up to a limit.
struct Text<'w, 'a> {
    writer: &'w mut Writer<'a>,
    left: usize,
    cut: bool,
}

impl fmt::Write for Text<'_, '_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left && self.writer.left() >= text.len() {
            self.writer.put_text(text.as_bytes());
            self.left -= text.len();
            return Ok(());
        }
        self.write_slow(text)
    }
}

impl Text<'_, '_> {
    #[cold]
    #[inline(never)]
    fn write_slow(&mut self, text: &str) -> fmt::Result {
        let wanted = text.len().min(self.left);
        let room = if self.writer.reserve(wanted) { wanted } else { self.writer.left() };
        let kept = floor(text, room.min(wanted));
        self.writer.put(kept.as_bytes());
        self.writer.end_reservation();
        self.left -= kept.len();
        if kept.len() == text.len() {
            return Ok(());
        }
        self.cut = true;
        self.left = 0;
        // The formatter stops here: a value of a megabyte costs no more than what is kept of it.
        Err(fmt::Error)
    }
}
