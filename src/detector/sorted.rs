//! Small sets, in order, each in one piece of memory.
//!
//! A replay copies and compares the sets before and after each instant. These have a few values, for which a tree costs
//! several times as much as a list.

/// A set of values, in order, each once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sorted<T>(Vec<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
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

    /// Keeps the values of which `is_kept` says so.
    pub fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        self.0.retain(is_kept);
    }
}

impl<T: Ord> Sorted<T> {
    /// Returns whether a value is there.
    pub fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }

    /// Puts a value in.
    pub fn insert(&mut self, value: T) {
        if let Err(place) = self.0.binary_search(&value) {
            self.0.insert(place, value);
        }
    }

    /// Takes values away. Takes time for the set, however many these are.
    pub fn remove_all(&mut self, gone: impl IntoIterator<Item = T>) {
        let gone = Self::from_iter(gone);
        if !gone.is_empty() {
            self.0.retain(|value| !gone.contains(value));
        }
    }

    /// Returns the values from a first to a last one, in order.
    pub fn range(&self, first: T, last: T) -> std::slice::Iter<'_, T> {
        let from = self.0.partition_point(|value| *value < first);
        let to = self.0.partition_point(|value| *value <= last);
        self.0[from..to].iter()
    }

    /// Returns the values that are not in `other`, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.0.iter().filter(|value| !other.contains(value))
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        if !values.is_sorted_by(|one, next| one < next) {
            values.sort_unstable();
            values.dedup();
        }
        Self(values)
    }
}

impl<T: Ord> Extend<T> for Sorted<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let known = self.0.len();
        self.0.extend(values);
        if !self.0.is_sorted_by(|one, next| one < next) {
            // Two runs, or nearly: cheaper than as many insertions.
            self.0[known..].sort_unstable();
            self.0.sort();
            self.0.dedup();
        }
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
            steps in prop::collection::vec((0..4_u8, prop::collection::vec(0..20_u8, 0..9)), 0..12),
        ) {
            let (mut sorted, mut tree) = (Sorted::default(), BTreeSet::new());
            for (kind, values) in steps {
                let other = Sorted::from_iter(values.iter().copied());
                let other_tree = BTreeSet::from_iter(values.iter().copied());
                match kind {
                    0 => values.iter().for_each(|it| sorted.insert(*it)),
                    1 => sorted.extend(values.iter().copied()),
                    2 => sorted.remove_all(values.iter().copied()),
                    _ => sorted.retain(|it| !values.contains(it)),
                }
                match kind {
                    0 | 1 => tree.extend(values.iter().copied()),
                    _ => tree.retain(|it| !values.contains(it)),
                }
                prop_assert!(sorted.iter().eq(&tree));
                prop_assert!(other.iter().eq(&other_tree));
                prop_assert_eq!(sorted.is_empty(), tree.is_empty());
                prop_assert!(sorted.difference(&other).eq(tree.difference(&other_tree)));
                prop_assert!(sorted.range(3, 11).eq(tree.range(3..=11)));
                prop_assert!((0..20).all(|it| sorted.contains(&it) == tree.contains(&it)));
            }
        }
    }
}
