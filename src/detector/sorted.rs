//! Small sets, in order, each in one piece of memory.
//!
//! A replay keeps and compares the sets before and after each instant. These have a few values, for which a tree costs
//! several times as much as a list; and most are as the instant before left them, so that copies share their values until
//! one of them is changed.

use std::rc::Rc;

/// A set of values, in order, each once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sorted<T>(Rc<Vec<T>>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Rc::new(Vec::new()))
    }
}

impl<T> Sorted<T> {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the values in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Returns the values in order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Returns whether two sets share their values, and so are equal.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: Ord + Copy> Sorted<T> {
    /// Returns whether a value is there.
    pub fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }

    /// Puts values in, which are in order.
    pub fn insert_all(&mut self, came: &[T]) {
        let [first, ..] = came else { return };
        let known = Rc::make_mut(&mut self.0);
        if known.last().is_none_or(|last| last < first) {
            known.extend_from_slice(came);
            return;
        }
        // Two runs: cheaper than as many insertions.
        known.extend_from_slice(came);
        known.sort();
        known.dedup();
    }

    /// Takes values away, which are in order. Takes time for the set, however many these are.
    pub fn remove_all(&mut self, gone: &[T]) {
        if !gone.is_empty() {
            Rc::make_mut(&mut self.0).retain(|value| gone.binary_search(value).is_err());
        }
    }

    /// Returns the values from a first one to before a last one, in order.
    pub fn range(&self, [first, end]: [T; 2]) -> std::slice::Iter<'_, T> {
        let from = self.0.partition_point(|value| *value < first);
        let to = self.0.partition_point(|value| *value < end);
        self.0[from..to].iter()
    }

    /// Returns the values that are not in `other`, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        // Nothing is to be looked for in a set that is this one.
        let own: &[T] = match self.is_shared_with(other) {
            true => &[],
            false => &self.0,
        };
        let mut rest = other.as_slice();
        own.iter().filter(move |value| {
            while let [first, others @ ..] = rest
                && first < *value
            {
                rest = others;
            }
            rest.first() != Some(value)
        })
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        if !values.is_sorted_by(|one, next| one < next) {
            values.sort_unstable();
            values.dedup();
        }
        Self(Rc::new(values))
    }
}

impl<'a, T> IntoIterator for &'a Sorted<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorted_values_are_those_of_a_tree(
            steps in prop::collection::vec((0..3_u8, prop::collection::vec(0..20_u8, 0..9)), 0..12),
        ) {
            let (mut sorted, mut tree) = (Sorted::default(), BTreeSet::new());
            for (kind, values) in steps {
                let (before, tree_before) = (sorted.clone(), tree.clone());
                let other = Sorted::from_iter(values.iter().copied());
                let other_tree = BTreeSet::from_iter(values.iter().copied());
                match kind {
                    0 => sorted.insert_all(other.as_slice()),
                    1 => sorted.remove_all(other.as_slice()),
                    _ => {}
                }
                match kind {
                    0 => tree.extend(values.iter().copied()),
                    1 => tree.retain(|it| !values.contains(it)),
                    _ => {}
                }
                prop_assert!(sorted.iter().eq(&tree));
                prop_assert!(before.iter().eq(&tree_before), "what shared its values is as it was");
                prop_assert!(other.iter().eq(&other_tree));
                prop_assert_eq!(sorted.is_empty(), tree.is_empty());
                prop_assert_eq!(sorted == before, tree == tree_before);
                prop_assert!(sorted.difference(&other).eq(tree.difference(&other_tree)));
                prop_assert!(sorted.difference(&before).eq(tree.difference(&tree_before)));
                prop_assert!(sorted.range([3, 12]).eq(tree.range(3..=11)));
                prop_assert!((0..20).all(|it| sorted.contains(&it) == tree.contains(&it)));
            }
        }
    }
}
