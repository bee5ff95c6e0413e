//! The desk: cases, exemptions, notices, the outbox, alerts and statistics.

use crate::store::handle::Store;

pub(in crate::store) mod alerts;
pub(in crate::store) mod cases;
pub(in crate::store) mod exemptions;
pub(in crate::store) mod log;
pub(in crate::store) mod notices;
pub(in crate::store) mod outbox;
pub(in crate::store) mod queue;
pub(in crate::store) mod related;
pub(in crate::store) mod sessions;
pub(in crate::store) mod statistics;
pub(in crate::store) mod tokens;

/// What the desk keeps: cases, exemptions, notices, the outbox.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    store: &'a Store,
}

impl<'a> Desk<'a> {
    /// Returns this wing of a store.
    fn of(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Store {
    /// What the desk keeps: cases, exemptions, notices, the outbox.
    pub fn desk(&self) -> Desk<'_> {
        Desk::of(self)
    }
}
