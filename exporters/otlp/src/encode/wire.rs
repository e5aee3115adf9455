//! The protobuf wire format, as far as OTLP needs it.
//!
//! # Invariants
//!
//! - Lengths are minimal (canonical) varints: some decoders dislike padded ones.
//! - Writing appends to the caller's vector and allocates nothing else.
//! - [`Reader`] never panics, whatever the bytes: they come from a peer.
//!
//! Source: protobuf.dev, "Encoding".

/// The key of a varint field below 16.
pub(crate) const fn varint_key(field: u8) -> u8 {
    field << 3
}

/// The key of a 64-bit field below 16.
pub(crate) const fn fixed64_key(field: u8) -> u8 {
    field << 3 | 1
}

/// The key of a length-delimited field below 16.
pub(crate) const fn bytes_key(field: u8) -> u8 {
    field << 3 | 2
}

/// The key of a 32-bit field below 16.
pub(crate) const fn fixed32_key(field: u8) -> u8 {
    field << 3 | 5
}

/// How many bytes a varint takes.
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    // 7 bits a byte: 9/64 is close enough to 1/7 for all 64 widths.
    (((value | 1).leading_zeros() ^ 63) * 9 + 73) as usize / 64
}

/// How many bytes a length-delimited field takes, its one-byte key included.
#[inline]
pub(crate) const fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Appends a varint.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the key and length of a length-delimited field.
#[inline]
pub(crate) fn header(out: &mut Vec<u8>, key: u8, length: usize) {
    if length < 0x80 {
        out.extend_from_slice(&[key, length as u8]);
    } else {
        out.push(key);
        varint(out, length as u64);
    }
}

/// Appends a length-delimited field.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, key: u8, content: &[u8]) {
    header(out, key, content.len());
    out.extend_from_slice(content);
}

/// Appends a text unless it is empty, which is proto3's default.
#[inline]
pub(crate) fn text(out: &mut Vec<u8>, key: u8, content: &str) {
    if !content.is_empty() {
        bytes(out, key, content.as_bytes());
    }
}

/// Appends a 64-bit field, 0 included.
#[inline]
pub(crate) fn fixed64(out: &mut Vec<u8>, key: u8, value: u64) {
    let mut field = [key; 9];
    field[1..].copy_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&field);
}

/// Appends a time unless it is 0, which is proto3's default and means unknown.
#[inline]
pub(crate) fn time(out: &mut Vec<u8>, key: u8, unix_ns: u64) {
    if unix_ns != 0 {
        fixed64(out, key, unix_ns);
    }
}

/// How many bytes [`begin`] keeps free: enough for 128 to 16,383 bytes, most records.
const RESERVED: usize = 2;

/// Begins a message whose length is not known yet; [`end`] takes what it returns.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>, key: u8) -> usize {
    out.extend_from_slice(&[key, 0, 0]);
    out.len()
}

/// Ends a message: writes its length in front of it.
#[inline]
pub(crate) fn end(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if (0x80..0x4000).contains(&length) {
        out[start - 2] = length as u8 | 0x80;
        out[start - 1] = (length >> 7) as u8;
    } else {
        end_elsewhere(out, start, length);
    }
}

/// Moves the content, because its length takes more or fewer bytes than were reserved.
#[cold]
fn end_elsewhere(out: &mut Vec<u8>, start: usize, length: usize) {
    let at = start - RESERVED;
    let width = varint_len(length as u64);
    if width > RESERVED {
        out.resize(start + length + width - RESERVED, 0);
    }
    out.copy_within(start..start + length, at + width);
    out.truncate(at + width + length);
    let mut left = length;
    for byte in &mut out[at..at + width] {
        *byte = left as u8 | 0x80;
        left >>= 7;
    }
    out[at + width - 1] &= 0x7f;
}

/// One field that a [`Reader`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// A varint.
    Varint(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
    /// A 32-bit or 64-bit number, which no answer of OTLP has.
    Fixed,
}

/// Reads the fields of a message that a peer sent.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(usize::try_from(length).ok()?)?;
        self.bytes = rest;
        Some(taken)
    }

    /// The next field and its number; `Err` where the bytes are no protobuf.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, Malformed> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        self.field().map(Some).ok_or(Malformed)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        (key >> 3 != 0).then_some((key >> 3, field))
    }
}

/// The bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_length_is_what_is_written() {
        for bits in 0..64 {
            for value in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits] {
                let mut out = Vec::new();
                varint(&mut out, value);
                assert_eq!(varint_len(value), out.len(), "{value}");
            }
        }
    }

    #[test]
    fn lengths_are_minimal_at_every_width() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let content: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut patched = vec![9];
            let start = begin(&mut patched, 0x0a);
            patched.extend_from_slice(&content);
            end(&mut patched, start);
            let mut exact = vec![9];
            bytes(&mut exact, 0x0a, &content);
            assert!(patched == exact, "{length}");
        }
    }

    #[test]
    fn reader_refuses_what_is_no_message() {
        for junk in [&b"<html>"[..], &[0x0a], &[0x0a, 5, 1], &[0xff; 12], &[0x08], &[0x0f]] {
            let mut reader = Reader::new(junk);
            let end =
                std::iter::from_fn(|| Some(reader.next())).find(|r| !matches!(r, Ok(Some(_))));
            assert_eq!(end, Some(Err(Malformed)), "{junk:?}");
        }
    }
}
