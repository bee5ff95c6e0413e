//! Reading: the history of a name, of a name server, the window that the detector judges.

use crate::store::handle::Store;

pub(in crate::store) mod aliases;
pub(in crate::store) mod answer;
pub(in crate::store) mod bundle;
pub(in crate::store) mod export;
pub(in crate::store) mod history;
pub(in crate::store) mod host_users;
pub(in crate::store) mod judged;
pub(in crate::store) mod kept;
pub(in crate::store) mod kinds;
pub(in crate::store) mod pages;
pub(in crate::store) mod question;
pub(in crate::store) mod replay;
pub(in crate::store) mod reverse;
pub(in crate::store) mod rrsets;
pub(in crate::store) mod sieve;
pub(in crate::store) mod sight;
pub(in crate::store) mod spans;
pub(in crate::store) mod window;

/// Reading history.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    store: &'a Store,
}

impl<'a> Lookup<'a> {
    /// Returns this wing of a store.
    fn of(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Store {
    /// Reading history.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup::of(self)
    }
}
