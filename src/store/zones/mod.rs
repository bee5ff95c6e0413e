//! What is watched: zones, their sources, the positions of feeds, catalogs.

pub(in crate::store) mod catalogs;
pub(in crate::store) mod enclosing;
pub(in crate::store) mod watched;
