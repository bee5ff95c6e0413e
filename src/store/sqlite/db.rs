//! SQLite's side of the door: statements of our own words over a connection.

use std::cell::Cell;
use std::rc::Rc;

use rusqlite::types::{FromSql, ToSqlOutput, Value as SqliteValue, ValueRef as SqliteRef};
use rusqlite::vtab::array::Array;
use rusqlite::{CachedStatement, Connection};

use crate::store::value::{Fault, Parameters, ValueRef};

/// An open database, as statements see it.
pub(in crate::store) struct Db {
    connection: Connection,
    /// Statements and sets that were sent since it was opened: each would be a round trip to a server.
    call_count: Cell<u64>,
}

/// A statement that is prepared.
pub(in crate::store) struct Statement<'a> {
    statement: CachedStatement<'a>,
    db: &'a Db,
}

/// The rows of a statement, one after the other.
pub(in crate::store) struct Rows<'a> {
    rows: rusqlite::Rows<'a>,
}

/// One row, until the next is read.
pub(in crate::store) struct Row<'a> {
    row: &'a rusqlite::Row<'a>,
}

impl From<rusqlite::Error> for Fault {
    fn from(fault: rusqlite::Error) -> Self {
        let text = fault.to_string();
        match fault {
            rusqlite::Error::SqliteFailure(code, _) => Self::of_engine(code.extended_code, text),
            _ => Self::other(text),
        }
    }
}

impl Db {
    /// Takes a connection that is configured.
    pub(in crate::store) fn new(connection: Connection) -> Self {
        Self {
            connection,
            call_count: Cell::new(0),
        }
    }

    /// Returns how many statements and sets were sent since it was opened.
    pub(in crate::store) fn call_count(&self) -> u64 {
        self.call_count.get()
    }

    /// Counts a statement or a set that is sent.
    pub(super) fn count_call(&self) {
        self.call_count.set(self.call_count.get() + 1);
    }

    /// Returns the connection, for what only SQLite has.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the connection, to change how it works.
    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns whether a transaction is open.
    pub(in crate::store) fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs statements that take nothing and give nothing.
    pub(in crate::store) fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.connection.execute_batch(sql)?)
    }

    /// Begins a transaction that writes, when it is this connection's turn.
    pub(in crate::store) fn begin_writing(&self) -> Result<(), Fault> {
        self.run("begin immediate")
    }

    /// Begins a transaction that writes, for parts that are small: what takes one of them back is kept in memory, where
    /// SQLite would write it to a file.
    pub(in crate::store) fn begin_writing_parts(&self) -> Result<(), Fault> {
        // SQLite asks for this when a transaction begins, and for all else that is temporary when it is needed.
        self.run("pragma temp_store = memory")?;
        let begun = self.begin_writing();
        // Nothing that could fail: it is noted of the connection.
        self.run("pragma temp_store = default").and(begun)
    }

    /// Begins a transaction that reads one state.
    pub(in crate::store) fn begin_reading(&self) -> Result<(), Fault> {
        self.run("begin")
    }

    /// Makes what was written durable and ends the transaction.
    pub(in crate::store) fn commit(&self) -> Result<(), Fault> {
        self.run("commit")
    }

    /// Takes back what was written and ends the transaction.
    pub(in crate::store) fn roll_back(&self) -> Result<(), Fault> {
        self.run("rollback")
    }

    /// Prepares a statement, or takes it from those that are kept.
    pub(in crate::store) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        Ok(Statement {
            statement: self.connection.prepare_cached(sql)?,
            db: self,
        })
    }

    /// Runs a statement for one new row. Returns that row's number.
    pub(in crate::store) fn insert(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<i64, Fault> {
        self.prepare(sql)?.execute(parameters)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Returns the only column of the first row: what only SQLite is asked.
    pub(super) fn value<T: FromSql>(&self, sql: &str) -> Result<T, Fault> {
        Ok(self.connection.query_row(sql, [], |row| row.get(0))?)
    }
}

/// Returns a value of a column as SQLite takes it.
pub(super) fn in_sqlite(value: ValueRef<'_>) -> Result<ToSqlOutput<'_>, Fault> {
    Ok(ToSqlOutput::Borrowed(match value {
        ValueRef::Null => SqliteRef::Null,
        ValueRef::Integer(number) => SqliteRef::Integer(number),
        ValueRef::Real(number) => SqliteRef::Real(number),
        ValueRef::Text(text) => SqliteRef::Text(text.as_bytes()),
        ValueRef::Octets(octets) => SqliteRef::Blob(octets),
        ValueRef::Numbers(_) | ValueRef::Texts(_) => {
            return Err(Fault::other("a list is no value of a column"));
        }
    }))
}

impl Statement<'_> {
    /// Binds each parameter.
    fn bind(&mut self, parameters: impl Parameters) -> Result<(), Fault> {
        let mut place = 0;
        parameters.bind(&mut |value| {
            place += 1;
            let list: Array = match value {
                ValueRef::Numbers(numbers) => {
                    Rc::new(numbers.iter().copied().map(SqliteValue::Integer).collect())
                }
                ValueRef::Texts(texts) => {
                    Rc::new(texts.iter().cloned().map(SqliteValue::Text).collect())
                }
                value => {
                    return Ok(self
                        .statement
                        .raw_bind_parameter(place, in_sqlite(value)?)?);
                }
            };
            Ok(self.statement.raw_bind_parameter(place, list)?)
        })?;
        let wanted = self.statement.parameter_count();
        if place == wanted {
            Ok(())
        } else {
            Err(rusqlite::Error::InvalidParameterCount(place, wanted).into())
        }
    }

    /// Runs it. Returns how many rows it changed.
    pub(in crate::store) fn execute(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<usize, Fault> {
        self.db.count_call();
        self.bind(parameters)?;
        Ok(self.statement.raw_execute()?)
    }

    /// Begins to read its rows.
    pub(in crate::store) fn rows(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<Rows<'_>, Fault> {
        self.db.count_call();
        self.bind(parameters)?;
        let rows = self.statement.raw_query();
        Ok(Rows { rows })
    }
}

impl Rows<'_> {
    /// Returns the next row.
    pub(in crate::store) fn next(&mut self) -> Result<Option<Row<'_>>, Fault> {
        let row = self.rows.next()?;
        Ok(row.map(|row| Row { row }))
    }
}

impl Row<'_> {
    /// Returns the value at a place without a copy of it.
    pub(in crate::store) fn value_at(&self, place: usize) -> Result<ValueRef<'_>, Fault> {
        Ok(match self.row.get_ref(place)? {
            SqliteRef::Null => ValueRef::Null,
            SqliteRef::Integer(number) => ValueRef::Integer(number),
            SqliteRef::Real(number) => ValueRef::Real(number),
            SqliteRef::Blob(octets) => ValueRef::Octets(octets),
            SqliteRef::Text(octets) => {
                let text = std::str::from_utf8(octets);
                ValueRef::Text(text.map_err(|fault| Fault::other(fault.to_string()))?)
            }
        })
    }

    /// Returns how many columns it has.
    pub(in crate::store) fn width(&self) -> usize {
        self.row.as_ref().column_count()
    }

    /// Returns the name of the column at a place that is there.
    pub(in crate::store) fn column_name(&self, place: usize) -> &str {
        self.row.as_ref().column_name(place).unwrap_or("?")
    }
}
