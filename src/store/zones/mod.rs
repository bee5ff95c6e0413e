//! What is watched: zones, their sources, the positions of feeds, catalogs.

use crate::store::handle::Store;

pub(in crate::store) mod attempts;
pub(in crate::store) mod catalogs;
pub(in crate::store) mod enclosing;
pub(in crate::store) mod feeds;
pub(in crate::store) mod sights;
pub(in crate::store) mod status;
pub(in crate::store) mod unwatched;
pub(in crate::store) mod watched;

/// What is watched.
#[derive(Clone, Copy)]
pub struct Zones<'a> {
    store: &'a Store,
}

impl<'a> Zones<'a> {
    /// Returns this wing of a store.
    fn of(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Store {
    /// What is watched.
    pub fn zones(&self) -> Zones<'_> {
        Zones::of(self)
    }
}
