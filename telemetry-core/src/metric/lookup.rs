//! Label values as they are borrowed at a call site, and their hash.
//!
//! # Invariants
//!
//! - A [`LabelSet`] has its keys in ascending order, each once: equal sets are equal pair by pair.
//! - Equal sets have equal hashes, borrowed or not. The hash is of the values only, for the series of
//!   a metric mostly have the same keys. It is seeded, once a process: values come from outside, and
//!   must not be able to choose where they are put.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::labels::{Labels, Value};
use crate::redaction::{REDACTED, Secret};

/// One label value, borrowed.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// Text.
    Str(&'a str),
    /// A signed integer.
    I64(i64),
    /// A float.
    F64(f64),
    /// A boolean.
    Bool(bool),
}

impl PartialEq for ValueRef<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::I64(a), Self::I64(b)) => a == b,
            // As `total_cmp` has it.
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            _ => false,
        }
    }
}

impl ValueRef<'_> {
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Str(text) => Value::from(text.to_owned()),
            Self::I64(value) => value.into(),
            Self::F64(value) => value.into(),
            Self::Bool(value) => value.into(),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    #[inline]
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Str(text) => Self::Str(text),
            Value::I64(value) => Self::I64(*value),
            Value::F64(value) => Self::F64(*value),
            Value::Bool(value) => Self::Bool(*value),
        }
    }
}

/// What can stand as the value of a label in a macro.
#[doc(hidden)]
pub trait AsLabel {
    fn as_label(&self) -> ValueRef<'_>;
}

impl<T: AsLabel + ?Sized> AsLabel for &T {
    #[inline]
    fn as_label(&self) -> ValueRef<'_> {
        (**self).as_label()
    }
}

impl<T> AsLabel for Secret<T> {
    fn as_label(&self) -> ValueRef<'_> {
        ValueRef::Str(REDACTED)
    }
}

macro_rules! as_label {
    ($($type:ty: |$value:ident| $label:expr;)*) => {$(
        impl AsLabel for $type {
            #[inline]
            fn as_label(&self) -> ValueRef<'_> {
                let $value = self;
                $label
            }
        }
    )*};
}

as_label! {
    str: |text| ValueRef::Str(text);
    String: |text| ValueRef::Str(text);
    std::borrow::Cow<'_, str>: |text| ValueRef::Str(text);
    std::sync::Arc<str>: |text| ValueRef::Str(text);
    Box<str>: |text| ValueRef::Str(text);
    bool: |value| ValueRef::Bool(*value);
    f64: |value| ValueRef::F64(*value);
    f32: |value| ValueRef::F64(f64::from(*value));
    i8: |value| ValueRef::I64(i64::from(*value));
    i16: |value| ValueRef::I64(i64::from(*value));
    i32: |value| ValueRef::I64(i64::from(*value));
    i64: |value| ValueRef::I64(*value);
    isize: |value| ValueRef::I64(*value as i64);
    u8: |value| ValueRef::I64(i64::from(*value));
    u16: |value| ValueRef::I64(i64::from(*value));
    u32: |value| ValueRef::I64(i64::from(*value));
    // Attributes have signed integers: what is larger than all of them counts as the largest.
    u64: |value| ValueRef::I64(i64::try_from(*value).unwrap_or(i64::MAX));
    usize: |value| ValueRef::I64(i64::try_from(*value).unwrap_or(i64::MAX));
}

/// Labels, owned or borrowed.
pub(crate) trait LabelSet {
    fn len(&self) -> usize;

    /// Returns the pair at `at`, which is below the length.
    fn pair(&self, at: usize) -> (&str, ValueRef<'_>);

    fn to_labels(&self) -> Labels;
}

impl LabelSet for Labels {
    #[inline]
    fn len(&self) -> usize {
        self.pairs().len()
    }

    #[inline]
    fn pair(&self, at: usize) -> (&str, ValueRef<'_>) {
        let (key, value) = &self.pairs()[at];
        (key, value.into())
    }

    fn to_labels(&self) -> Labels {
        self.clone()
    }
}

/// Labels of a call site, whose keys ascend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borrowed<'a, const N: usize>(pub(crate) [(&'static str, ValueRef<'a>); N]);

impl<const N: usize> LabelSet for Borrowed<'_, N> {
    #[inline]
    fn len(&self) -> usize {
        N
    }

    #[inline]
    fn pair(&self, at: usize) -> (&str, ValueRef<'_>) {
        self.0[at]
    }

    fn to_labels(&self) -> Labels {
        self.0.iter().map(|(key, value)| (*key, value.to_value())).collect()
    }
}

/// Returns whether two sets have the same pairs.
#[inline]
pub(super) fn are_equal(a: &impl LabelSet, b: &impl LabelSet) -> bool {
    let equal = |at| {
        let ((key, value), (other_key, other_value)) = (a.pair(at), b.pair(at));
        // Mostly the very same text: the series was made by this call site.
        (std::ptr::eq(key, other_key) || key == other_key) && value == other_value
    };
    a.len() == b.len() && (0..a.len()).all(equal)
}

/// Returns the hash of a set.
#[inline]
pub(super) fn hash(labels: &impl LabelSet) -> u64 {
    let mut state = seed();
    for at in 0..labels.len() {
        state = match labels.pair(at).1 {
            ValueRef::Str(text) => hash_text(state, text.as_bytes()),
            ValueRef::I64(value) => fold(state, value.cast_unsigned()),
            ValueRef::F64(value) => fold(state, value.to_bits()),
            ValueRef::Bool(value) => fold(state, u64::from(value)),
        };
    }
    // A hash table takes the upper bits for one choice and the lower ones for another.
    state ^ state >> 32
}

/// An odd number with about as many ones as zeros, in no order (the fraction of the golden ratio).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one(0_u64))
}

/// Folds a word into the state, by the two halves of a product.
#[inline]
fn fold(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word) * u128::from(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Folds a text, eight bytes at a time; the last eight may overlap with those before.
#[inline]
fn hash_text(mut state: u64, text: &[u8]) -> u64 {
    // Spread over all bits: a byte of the text must not undo it.
    state ^= (text.len() as u64).wrapping_mul(MULTIPLIER);
    if let Some((_, last)) = text.split_last_chunk::<8>() {
        let (words, _) = text[..text.len() - 1].as_chunks::<8>();
        for word in words {
            state = fold(state, u64::from_le_bytes(*word));
        }
        return fold(state, u64::from_le_bytes(*last));
    }
    let word = match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    fold(state, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_texts_have_different_hashes() {
        let hash = |text: &str| hash_text(7, text.as_bytes());
        let mut hashes: Vec<u64> = (0..20_000).map(|n| hash(&format!("/users/{n}"))).collect();
        hashes.extend((0..40).map(|n| hash(&"\0".repeat(n))));
        hashes.extend((0..40).flat_map(|n| (0..n).map(move |at| (n, at))).map(|(n, at)| {
            let mut text = vec![b'a'; n];
            text[at] = b'b';
            hash_text(7, &text)
        }));
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
