//! The one door to the database: every statement of the wings goes through [`Db`].
//!
//! The names of this file are all that a wing knows of the engine. A second engine is another `Db` behind the same
//! names; what it cannot say in the same SQL stands in `sqlite/dialect.rs`.

pub(super) use crate::store::sqlite::db::{Db, Row, Rows, Statement};
pub(super) use crate::store::value::{Each, Fault, IntoValue, Numbers, Value, ValueRef, params};

/// How many rows are written with one statement.
pub(super) const ROWS_A_STATEMENT: usize = 64;
