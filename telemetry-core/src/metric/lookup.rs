//! Finds a series by labels that are borrowed: no allocation for labels that a series has already.
//!
//! # Invariants
//!
//! - A [`LabelSet`] has its keys in ascending order, each once: equal sets are equal pair by pair.
//! - Equal sets have equal hashes, borrowed or not. The hash is seeded, once a process: label values
//!   come from outside, and must not be able to choose where they are put.

use crate::redaction::{REDACTED, Secret};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

use super::labels::{Labels, Value};

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

impl Hash for ValueRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Str(text) => state.write(text.as_bytes()),
            Self::I64(value) => state.write_i64(*value),
            Self::F64(value) => state.write_u64(value.to_bits()),
            Self::Bool(value) => state.write_u64(u64::from(*value)),
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
pub(super) trait LabelSet {
    fn len(&self) -> usize;

    /// Returns the pair at `at`, which is below the length.
    fn pair(&self, at: usize) -> (&str, ValueRef<'_>);
}

impl LabelSet for Labels {
    fn len(&self) -> usize {
        self.len()
    }

    fn pair(&self, at: usize) -> (&str, ValueRef<'_>) {
        let (key, value) = &self.pairs()[at];
        (key, value.into())
    }
}

/// Labels of a call site, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sorted<'a>(&'a [(&'a str, ValueRef<'a>)]);

impl<'a> Sorted<'a> {
    /// Takes pairs that are sorted by key; `None` if a key comes twice.
    pub(crate) fn new(pairs: &'a [(&'a str, ValueRef<'a>)]) -> Option<Self> {
        pairs.windows(2).all(|two| two[0].0 < two[1].0).then_some(Self(pairs))
    }

    pub(super) fn to_labels(self) -> Labels {
        self.0.iter().map(|(key, value)| ((*key).to_owned(), value.to_value())).collect()
    }
}

impl LabelSet for Sorted<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn pair(&self, at: usize) -> (&str, ValueRef<'_>) {
        self.0[at]
    }
}

impl<'a> Borrow<dyn LabelSet + 'a> for Labels {
    fn borrow(&self) -> &(dyn LabelSet + 'a) {
        self
    }
}

impl Hash for dyn LabelSet + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for at in 0..self.len() {
            let (key, value) = self.pair(at);
            state.write(key.as_bytes());
            value.hash(state);
        }
    }
}

impl PartialEq for dyn LabelSet + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|at| self.pair(at) == other.pair(at))
    }
}

impl Eq for dyn LabelSet + '_ {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let set: &dyn LabelSet = self;
        set.hash(state);
    }
}

/// Makes hashers with the seed of the process.
#[derive(Clone, Debug)]
pub(super) struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        Self(*SEED.get_or_init(|| RandomState::new().hash_one(0_u64)))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(self.0)
    }
}

/// Folds eight bytes at a time into the state, by the two halves of a product.
#[derive(Debug)]
pub(super) struct Folding(u64);

impl Folding {
    #[inline]
    fn fold(&mut self, word: u64) {
        // An odd number with as many ones as zeros, in no order (the fraction of the golden ratio).
        const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word) * MULTIPLIER;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Folding {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.fold(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length keeps `ab` `c` apart from `a` `bc`, and a short rest from zeros.
        self.fold(u64::from_le_bytes(last).rotate_left(8) ^ bytes.len() as u64);
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    #[inline]
    fn write_i64(&mut self, value: i64) {
        self.fold(value.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        // The upper bits choose within a group of a hash table, the lower ones the group.
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[a-c]{0,9}".prop_map(Value::from),
            (-2..2_i64).prop_map(Value::from),
            prop::sample::select(vec![0.0, -0.0, f64::NAN, 1.0]).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn borrowed_labels_find_what_equal_owned_ones_are_under(
            sets in vec(vec(("[ab]{1,2}", value()), 0..4), 1..20),
        ) {
            let mut map = HashMap::<Labels, usize, Seeded>::default();
            let mut by_comparison: Vec<Labels> = Vec::new();
            for set in &sets {
                let labels: Labels = set.iter().cloned().collect();
                let at = by_comparison.iter().position(|known| *known == labels);
                let at = at.unwrap_or_else(|| {
                    by_comparison.push(labels.clone());
                    by_comparison.len() - 1
                });
                map.insert(labels.clone(), at);
                let pairs: Vec<_> = labels.iter().map(|(k, v)| (k, v.into())).collect();
                let sorted = Sorted::new(&pairs).expect("keys ascend");
                prop_assert_eq!(map.get::<dyn LabelSet>(&sorted), Some(&at));
            }
            prop_assert_eq!(map.len(), by_comparison.len());
        }
    }

    #[test]
    fn key_that_comes_twice_is_not_a_set() {
        assert!(Sorted::new(&[("a", ValueRef::I64(1)), ("a", ValueRef::I64(2))]).is_none());
    }

    #[test]
    fn similar_texts_have_different_hashes() {
        let hash = |text: String| Seeded(7).hash_one(ValueRef::Str(&text));
        let mut hashes: Vec<u64> = (0..20_000).map(|n| hash(format!("/users/{n}"))).collect();
        hashes.extend((0..16).map(|n| hash("\0".repeat(n))));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 20_016);
    }
}
