//! The door to SQLite: statements of our own words over a connection.
//!
//! Every statement is prepared once a connection and kept ([`Db::prepare`]). Columns are read by their names
//! ([`Row::get`]); the few loops over millions of rows count them ([`Row::at`]) and say so.

use std::cell::Cell;
use std::rc::Rc;

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef as SqliteRef};
use rusqlite::vtab::array::Array;
use rusqlite::{CachedStatement, Connection};

use crate::store::value::{Fault, FromValue, Mismatch, Parameters, ValueRef};

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
    /// The place where the next column is looked for first: most are read in the order in which they stand.
    next: Cell<usize>,
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

    /// Prepares a statement, or takes it from those that are kept.
    pub(in crate::store) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        Ok(Statement {
            statement: self.connection.prepare_cached(sql)?,
            db: self,
        })
    }

    /// Runs a statement that gives no rows. Returns how many it changed.
    pub(in crate::store) fn execute(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<usize, Fault> {
        self.prepare(sql)?.execute(parameters)
    }

    /// Runs a statement for one new row. Returns that row's number.
    pub(in crate::store) fn insert(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<i64, Fault> {
        self.prepare(sql)?.insert(parameters)
    }

    /// Returns every row.
    pub(in crate::store) fn query<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        self.prepare(sql)?.query(parameters, read)
    }

    /// Returns the first row; a fault if there is none.
    pub(in crate::store) fn query_one<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.prepare(sql)?.query_one(parameters, read)
    }

    /// Returns the first row, if there is one.
    pub(in crate::store) fn query_first<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.prepare(sql)?.query_first(parameters, read)
    }

    /// Returns the only column of every row.
    pub(in crate::store) fn values<T: FromValue>(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<Vec<T>, Fault> {
        self.prepare(sql)?.query(parameters, |row| row.at(0))
    }

    /// Returns the only column of the first row; a fault if there is no row.
    pub(in crate::store) fn value<T: FromValue>(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<T, Fault> {
        self.prepare(sql)?.value(parameters)
    }

    /// Returns the only column of the first row, if there is a row.
    pub(in crate::store) fn first_value<T: FromValue>(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<Option<T>, Fault> {
        self.prepare(sql)?.first_value(parameters)
    }

    /// Runs a statement that writes and returns at most one row. Unlike [`Db::query_first`] this runs it to its end:
    /// only there a statement that is a transaction of its own is committed, and says so if it cannot be.
    pub(in crate::store) fn write_returning<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(parameters)?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let value = read(&row)?;
        while rows.next()?.is_some() {}
        Ok(Some(value))
    }

    /// [`Db::write_returning`] of a statement that always returns a row.
    pub(in crate::store) fn write_returning_one<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.write_returning(sql, parameters, read)?
            .ok_or_else(Fault::no_row)
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

    /// Runs it for one new row. Returns that row's number.
    pub(in crate::store) fn insert(&mut self, parameters: impl Parameters) -> Result<i64, Fault> {
        self.execute(parameters)?;
        Ok(self.db.connection.last_insert_rowid())
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

    /// Returns every row.
    pub(in crate::store) fn query<T>(
        &mut self,
        parameters: impl Parameters,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut rows = self.rows(parameters)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(&row)?);
        }
        Ok(all)
    }

    /// Returns the first row; a fault if there is none.
    pub(in crate::store) fn query_one<T>(
        &mut self,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.query_first(parameters, read)?
            .ok_or_else(Fault::no_row)
    }

    /// Returns the first row, if there is one.
    pub(in crate::store) fn query_first<T>(
        &mut self,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match self.rows(parameters)?.next()? {
            Some(row) => read(&row).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the only column of the first row; a fault if there is no row.
    pub(in crate::store) fn value<T: FromValue>(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<T, Fault> {
        self.query_one(parameters, |row| row.at(0))
    }

    /// Returns the only column of the first row, if there is a row.
    pub(in crate::store) fn first_value<T: FromValue>(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<Option<T>, Fault> {
        self.query_first(parameters, |row| row.at(0))
    }
}

impl Rows<'_> {
    /// Returns the next row.
    pub(in crate::store) fn next(&mut self) -> Result<Option<Row<'_>>, Fault> {
        let row = self.rows.next()?;
        Ok(row.map(|row| Row {
            row,
            next: Cell::new(0),
        }))
    }
}

impl Row<'_> {
    /// Returns the value in a column.
    pub(in crate::store) fn get<T: FromValue>(&self, column: &str) -> Result<T, Fault> {
        self.at(self.place_of(column)?)
    }

    /// Returns the value at a place, counted from 0. For statements with one column, and loops in which looking for a
    /// name was measured.
    pub(in crate::store) fn at<T: FromValue>(&self, place: usize) -> Result<T, Fault> {
        let read = self.value_at(place)?;
        T::from_value(read).map_err(|mismatch| self.fault(place, mismatch))
    }

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

    /// Returns the text at a place without a copy of it.
    pub(in crate::store) fn text_at(&self, place: usize) -> Result<&str, Fault> {
        match self.value_at(place)? {
            ValueRef::Text(text) => Ok(text),
            other => Err(self.fault(place, Mismatch::Type(other.type_name()))),
        }
    }

    /// Returns the place of a column.
    fn place_of(&self, column: &str) -> Result<usize, Fault> {
        let statement = self.row.as_ref();
        let (count, first) = (statement.column_count(), self.next.get());
        let places = (first..count).chain(0..first.min(count));
        for place in places {
            if statement.column_name(place)? == column {
                self.next.set(place + 1);
                return Ok(place);
            }
        }
        let there: Vec<&str> = statement.column_names().collect();
        let there = there.join(", ");
        Err(Fault::other(format!("no column {column} among {there}")))
    }

    /// Returns the fault of a value that cannot be read.
    #[cold]
    fn fault(&self, place: usize, mismatch: Mismatch) -> Fault {
        let name = self.row.as_ref().column_name(place);
        mismatch.of_column(name.unwrap_or("?"))
    }
}
