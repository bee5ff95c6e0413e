//! How the database is opened, locked, moved to a newer schema and kept healthy.

pub(in crate::store) mod connection;
pub(in crate::store) mod db;
pub(in crate::store) mod dialect;
pub(in crate::store) mod faults;
pub(in crate::store) mod file;
pub(in crate::store) mod frozen;
pub(in crate::store) mod lock;
pub(in crate::store) mod log;
pub(in crate::store) mod migrate;
pub(in crate::store) mod pages;
pub(in crate::store) mod reading;
pub(in crate::store) mod sets;
pub(in crate::store) mod turn;
