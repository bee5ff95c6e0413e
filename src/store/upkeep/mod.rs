//! Keeping the database sound: verification, retention, clocks that were set.

pub(in crate::store) mod checkpoint;
pub(in crate::store) mod clock;
pub(in crate::store) mod integrity;
pub(in crate::store) mod retention;
