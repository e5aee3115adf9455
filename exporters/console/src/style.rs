//! How a record is laid out.

/// How a record is laid out; the [crate's documentation](crate) shows each.
///
/// No style lets a text act on a terminal, or look like the begin of another record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// A line a record: time, level, spans, target, message, fields.
    Compact,
    /// For eyes: the message first, what is less than it dimmed; spans on a line of their own
    /// where they change, and the sources of an error on a line each. Every line that does not
    /// begin a record is indented by two spaces.
    Pretty,
    /// `key=value` pairs, a line a record, no key twice: for programs. Never coloured.
    Logfmt,
    /// As [`Style::Compact`], with the priority that the journal reads (`<6>`, sd-daemon(3)) in
    /// place of the time, which the journal has itself. Never coloured.
    Journald,
}

impl Style {
    /// May it have colours?
    pub(crate) fn has_colours(self) -> bool {
        matches!(self, Self::Compact | Self::Pretty)
    }
}
