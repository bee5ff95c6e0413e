//! Writing: a version of a zone, its intervals, its hash, what is counted of it.

use crate::store::handle::Store;

pub(in crate::store) mod chain;
pub(in crate::store) mod changes;
pub(in crate::store) mod digests;
pub(in crate::store) mod draft;
pub(in crate::store) mod first;
pub(in crate::store) mod first_hosts;
pub(in crate::store) mod moves;
pub(in crate::store) mod names;
pub(in crate::store) mod open_row;
pub(in crate::store) mod passive;
pub(in crate::store) mod popularity;
pub(in crate::store) mod probe;
pub(in crate::store) mod recorders;
pub(in crate::store) mod shared;
pub(in crate::store) mod states;
pub(in crate::store) mod tally;
pub(in crate::store) mod version;
pub(in crate::store) mod writing;

/// Writing history.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    store: &'a Store,
}

impl<'a> Ledger<'a> {
    /// Returns this wing of a store.
    fn of(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Store {
    /// Writing history.
    pub fn ledger(&self) -> Ledger<'_> {
        Ledger::of(self)
    }
}
