//! The one door to the database: every statement of the wings goes through [`Db`].
//!
//! A wing writes statements with the names of this file and of `sqlite/dialect.rs`. A second engine is another `Db` and
//! another dialect with the same names.
//!
//! That is not all it takes: the file, its lock, its log and its pages are used by `open`, `handle`, `upkeep` and
//! `ledger/digests` too. See "Another engine" in docs/developers/architecture.md.

pub(super) use crate::store::sqlite::db::{Db, Row, Rows, Statement};
pub(super) use crate::store::sqlite::sets::Table;
pub(super) use crate::store::value::{
    Each, Fault, IntoValue, Numbers, Texts, Value, ValueRef, params,
};
