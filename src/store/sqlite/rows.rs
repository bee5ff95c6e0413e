//! What statements share: lists as parameters, writing statements that return rows.

use std::rc::Rc;

use rusqlite::types::Value;
use rusqlite::vtab::array::Array;
use rusqlite::{Params, Row, Statement};

/// Gives numbers as what SQL's `rarray` reads.
pub(in crate::store) fn array(numbers: impl Iterator<Item = i64>) -> Array {
    Rc::new(numbers.map(Value::Integer).collect())
}

/// How many rows are written with one statement.
pub(in crate::store) const ROWS_A_STATEMENT: usize = 64;

/// Runs a statement that writes and returns at most one row. Unlike `query_row` this runs it to its end: only there a
/// statement that is a transaction of its own is committed, and says so if it cannot be.
pub(in crate::store) fn write_returning<T>(
    statement: &mut Statement<'_>,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let mut rows = statement.query(parameters)?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let value = read(row)?;
    while rows.next()?.is_some() {}
    Ok(Some(value))
}

/// [`write_returning`] of a statement that always returns a row.
pub(in crate::store) fn write_returning_one<T>(
    statement: &mut Statement<'_>,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    write_returning(statement, parameters, read)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}
