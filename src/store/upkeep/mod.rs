//! Keeping the database sound: verification, retention, clocks that were set.

use crate::store::handle::Store;

pub(in crate::store) mod checkpoint;
pub(in crate::store) mod clock;
pub(in crate::store) mod integrity;
pub(in crate::store) mod moving;
pub(in crate::store) mod retention;

/// Keeping the database sound.
#[derive(Clone, Copy)]
pub struct Upkeep<'a> {
    store: &'a Store,
}

impl<'a> Upkeep<'a> {
    /// Returns this wing of a store.
    fn of(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Store {
    /// Keeping the database sound.
    pub fn upkeep(&self) -> Upkeep<'_> {
        Upkeep::of(self)
    }
}
