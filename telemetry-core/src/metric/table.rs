//! The series of a metric, by their labels.
//!
//! # Invariants
//!
//! - A set of labels has one series at most, however it is given.
//! - Looking one up allocates nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::labels::Labels;
use super::lookup::{LabelSet, are_equal, hash};
use super::series::Series;

/// Series by the hash of their labels; two with the same hash are a rare chance.
#[derive(Default)]
pub(super) struct Table {
    by_hash: HashMap<u64, Vec<(Labels, Series)>, BuildHasherDefault<Ready>>,
    len: usize,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, labels: &impl LabelSet) -> Option<&Series> {
        let alike = self.by_hash.get(&hash(labels))?;
        let found = alike.iter().find(|(known, _)| are_equal(known, labels));
        found.map(|(_, series)| series)
    }

    /// Puts a series in; the labels have none yet.
    pub(super) fn insert(&mut self, labels: Labels, series: Series) {
        debug_assert!(self.get(&labels).is_none(), "{labels:?} have a series");
        self.by_hash.entry(hash(&labels)).or_default().push((labels, series));
        self.len += 1;
    }

    pub(super) fn remove(&mut self, labels: &Labels) -> Option<Series> {
        let hash = hash(labels);
        let alike = self.by_hash.get_mut(&hash)?;
        let at = alike.iter().position(|(known, _)| known == labels)?;
        let (_, series) = alike.swap_remove(at);
        if alike.is_empty() {
            self.by_hash.remove(&hash);
        }
        self.len -= 1;
        Some(series)
    }

    /// Keeps the series that `keep` accepts, and gives the room of the others back.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Series) -> bool) {
        self.by_hash.retain(|_, alike| {
            alike.retain_mut(|(_, series)| keep(series));
            !alike.is_empty()
        });
        self.len = self.by_hash.values().map(Vec::len).sum();
        if self.by_hash.len() < self.by_hash.capacity() / 4 {
            self.by_hash.shrink_to_fit();
        }
    }

    /// Iterates in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Labels, &Series)> {
        self.by_hash.values().flatten().map(|(labels, series)| (labels, series))
    }

    /// Iterates in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Labels, &mut Series)> {
        self.by_hash.values_mut().flatten().map(|(labels, series)| (&*labels, series))
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are integers")
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::labels::Value;
    use super::super::lookup::{Borrowed, ValueRef};
    use super::*;
    use crate::metric::Counter;
    use crate::metric::series::Instrument;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn series(n: u64) -> Series {
        let counter = Counter::detached();
        counter.add(n);
        Series::new(0, Labels::new(), counter.into_cell())
    }

    fn number(series: &Series) -> u64 {
        series.handle::<Counter>().expect("a counter").value()
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[a-c]{0,9}".prop_map(Value::from),
            (-2..2_i64).prop_map(Value::from),
            prop::sample::select(vec![0.0, -0.0, f64::NAN, 1.0]).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ]
    }

    proptest! {
        /// Beside a list that is searched by comparison.
        #[test]
        fn set_has_one_series_however_it_is_given(
            steps in vec((vec(("[ab]{1,2}", value()), 0..4), 0..4_u8), 1..60),
        ) {
            let (mut table, mut list) = (Table::default(), Vec::<(Labels, u64)>::new());
            for (n, (pairs, step)) in (1..).zip(steps) {
                let labels: Labels = pairs.into_iter().collect();
                let at = list.iter().position(|(known, _)| *known == labels);
                prop_assert_eq!(table.get(&labels).map(number), at.map(|at| list[at].1));
                match (step, at) {
                    (0, Some(at)) => {
                        let removed = table.remove(&labels);
                        let (_, expected) = list.remove(at);
                        prop_assert_eq!(removed.as_ref().map(number), Some(expected));
                    }
                    (1, _) => {
                        table.retain(|series| number(series) % 3 != n % 3);
                        list.retain(|(_, number)| number % 3 != n % 3);
                    }
                    (_, None) => {
                        table.insert(labels.clone(), series(n));
                        list.push((labels, n));
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), list.len());
                let mut all: Vec<_> = table.iter().map(|(l, s)| (l.clone(), number(s))).collect();
                all.sort();
                let mut expected = list.clone();
                expected.sort();
                prop_assert_eq!(all, expected);
            }
        }
    }

    #[test]
    fn borrowed_labels_find_what_equal_owned_ones_are_under() {
        let mut table = Table::default();
        let labels = Labels::new().with("a", "text").with("b", 7).with("c", true).with("d", -0.0);
        table.insert(labels, series(1));
        let with = |b: ValueRef<'static>| {
            let (a, c, d) = (ValueRef::Str("text"), ValueRef::Bool(true), ValueRef::F64(-0.0));
            Borrowed([("a", a), ("b", b), ("c", c), ("d", d)])
        };
        assert_eq!(table.get(&with(ValueRef::I64(7))).map(number), Some(1));
        assert!(table.get(&with(ValueRef::F64(7.0))).is_none());
        assert!(table.get(&Borrowed([("a", ValueRef::Str("text"))])).is_none());
    }
}
