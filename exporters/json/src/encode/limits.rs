//! What is left out of a line that would be too long.

/// How much of a record a line may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of each text; fields with a longer key are left out.
    pub(crate) text_bytes_max: usize,
    /// Fields of the record and of each span; links, buckets.
    pub(crate) items_max: usize,
    /// Are the spans around the record told?
    pub(crate) spans: Spans,
}

/// Are the spans around a record told?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spans {
    Told,
    LeftOut,
}

impl Limits {
    /// All of it.
    pub(crate) const NONE: Self =
        Self { text_bytes_max: usize::MAX, items_max: usize::MAX, spans: Spans::Told };

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Ever closer limits to try for a line of `line_bytes_max` bytes. With the last ones every
    /// record fits into [`LINE_BYTES_MIN`](super::LINE_BYTES_MIN).
    pub(crate) fn ladder(line_bytes_max: usize) -> impl Iterator<Item = Self> {
        let halves = move |spans| {
            std::iter::successors(Some(line_bytes_max / 2), |bytes| Some(bytes / 2))
                .take_while(|bytes| *bytes >= 64)
                .map(move |text_bytes_max| Self { text_bytes_max, spans, ..Self::NONE })
        };
        let few = [64, 16, 4, 1].map(|items_max| Self {
            text_bytes_max: 64,
            items_max,
            spans: Spans::LeftOut,
        });
        let last = Self { text_bytes_max: 16, items_max: 0, spans: Spans::LeftOut };
        halves(Spans::Told).chain(halves(Spans::LeftOut)).chain(few).chain([last])
    }
}
