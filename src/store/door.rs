//! The one door to the database: every statement of the wings goes through [`Db`], which engine it is.
//!
//! A wing writes its statements in words that both engines take, and names of `sqlite/dialect.rs` for the few that have
//! no common form; PostgreSQL's side says those in its own words when it prepares a statement.
//!
//! Every statement is prepared once a connection and kept ([`Db::prepare`]). Columns are read by their names
//! ([`Row::get`]); the few loops over millions of rows count them ([`Row::at`]) and say so.

use std::cell::Cell;

use crate::store::{postgres, sqlite};

pub(super) use crate::store::sets::{Counts, Table};
pub(super) use crate::store::value::{
    Each, Fault, FromValue, IntoValue, Mismatch, Numbers, Parameters, Texts, Value, ValueRef,
    params,
};

/// An open database, as statements see it.
pub(super) enum Db {
    Sqlite(sqlite::db::Db),
    Postgres(Box<postgres::db::Db>),
}

/// A statement that is prepared.
pub(super) enum Statement<'a> {
    Sqlite(sqlite::db::Statement<'a>),
    Postgres(postgres::db::Statement<'a>),
}

/// The rows of a statement, one after the other.
pub(super) enum Rows<'a> {
    Sqlite(sqlite::db::Rows<'a>),
    Postgres(postgres::db::Rows<'a>),
}

/// One row, until the next is read.
pub(super) struct Row<'a> {
    row: EngineRow<'a>,
    /// The place where the next column is looked for first: most are read in the order in which they stand.
    next: Cell<usize>,
}

/// A row of an engine.
enum EngineRow<'a> {
    Sqlite(sqlite::db::Row<'a>),
    Postgres(&'a postgres::db::Row),
}

/// Does the same with whichever engine it is.
macro_rules! either {
    ($it:expr, $name:pat => $do:expr) => {
        match $it {
            Self::Sqlite($name) => $do,
            Self::Postgres($name) => $do,
        }
    };
}

impl Db {
    /// Returns how many statements and sets were sent since it was opened.
    pub(super) fn call_count(&self) -> u64 {
        either!(self, db => db.call_count())
    }

    /// Returns SQLite's side of it, for what only a file has.
    pub(super) fn sqlite(&self) -> Option<&sqlite::db::Db> {
        match self {
            Self::Sqlite(db) => Some(db),
            Self::Postgres(_) => None,
        }
    }

    /// Returns whether a transaction is open.
    pub(super) fn is_in_transaction(&self) -> bool {
        either!(self, db => db.is_in_transaction())
    }

    /// Begins a transaction that writes, when it is this connection's turn.
    pub(super) fn begin_writing(&self) -> Result<(), Fault> {
        either!(self, db => db.begin_writing())
    }

    /// Begins a transaction that writes, for parts that are small: what takes one of them back is kept in memory.
    pub(super) fn begin_writing_parts(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(db) => db.begin_writing_parts(),
            Self::Postgres(db) => db.begin_writing(),
        }
    }

    /// Begins a transaction that reads one state. With `checks_schema` its first question fails if a server's tables are
    /// of another schema than this program's; of a file that is looked at before.
    pub(super) fn begin_reading(&self, checks_schema: bool) -> Result<(), Fault> {
        match self {
            Self::Sqlite(db) => db.begin_reading(),
            Self::Postgres(db) => db.begin_reading(checks_schema),
        }
    }

    /// Returns whether it is of use to tell what is asked next: a server is then waited for once. A file is asked when it
    /// is asked.
    pub(super) fn asks_ahead(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(db) => db.asks_ahead(),
        }
    }

    /// Tells a server what is asked next, within a reading: it is sent with the next question that is waited for.
    pub(super) fn ask_ahead(&self, sql: &str, parameters: impl Parameters) -> Result<(), Fault> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(db) => db.ask_ahead(sql, parameters),
        }
    }

    /// Makes what was written durable and ends the transaction.
    pub(super) fn commit(&self) -> Result<(), Fault> {
        either!(self, db => db.commit())
    }

    /// Takes back what was written and ends the transaction.
    pub(super) fn roll_back(&self) -> Result<(), Fault> {
        either!(self, db => db.roll_back())
    }

    /// Begins a part of a transaction.
    pub(super) fn begin_part(&self) -> Result<(), Fault> {
        either!(self, db => db.run("savepoint part"))
    }

    /// Makes a part of a transaction one with it.
    pub(super) fn keep_part(&self) -> Result<(), Fault> {
        either!(self, db => db.run("release savepoint part"))
    }

    /// Takes a part of a transaction back.
    pub(super) fn drop_part(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(db) => db.run("rollback to savepoint part; release savepoint part"),
            Self::Postgres(db) => db.drop_part(),
        }
    }

    /// Runs statements that take nothing and give nothing, for a test.
    #[cfg(test)]
    pub(super) fn run(&self, sql: &str) -> Result<(), Fault> {
        either!(self, db => db.run(sql))
    }

    /// Prepares a statement, or takes it from those that are kept.
    pub(super) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        Ok(match self {
            Self::Sqlite(db) => Statement::Sqlite(db.prepare(sql)?),
            Self::Postgres(db) => Statement::Postgres(db.prepare(sql)?),
        })
    }

    /// Runs a statement that gives no rows. Returns how many it changed.
    pub(super) fn execute(&self, sql: &str, parameters: impl Parameters) -> Result<usize, Fault> {
        self.prepare(sql)?.execute(parameters)
    }

    /// Runs a statement that writes, of which nobody asks how many rows it changed. Within a transaction a server is not
    /// waited for: its fault is that of what is asked next, or of the commit.
    pub(super) fn write(&self, sql: &str, parameters: impl Parameters) -> Result<(), Fault> {
        match self {
            Self::Sqlite(db) => db.prepare(sql)?.execute(parameters).map(|_| ()),
            Self::Postgres(db) => db.write(sql, parameters),
        }
    }

    /// Runs a statement for one new row. Returns that row's number.
    pub(super) fn insert(&self, sql: &str, parameters: impl Parameters) -> Result<i64, Fault> {
        either!(self, db => db.insert(sql, parameters))
    }

    /// Inserts rows, whose values stand one row after the other.
    pub(super) fn insert_rows(&self, into: &Table, values: &[ValueRef<'_>]) -> Result<(), Fault> {
        self.insert_set(into.name, into.columns, into.on_conflict, values)
    }

    /// Inserts rows that have the values of the last columns in common: those of the others stand one row after the
    /// other.
    pub(super) fn insert_rows_sharing(
        &self,
        into: &Table,
        values: &[ValueRef<'_>],
        shared: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        either!(self, db => {
            db.insert_rows_sharing(into.name, into.columns, into.on_conflict, (values, shared))
        })
    }

    /// Adds to counts: the key, then what is added, which may be below 0, one row after the other and each key once. A
    /// count of nothing is deleted.
    pub(super) fn add_counts(&self, to: &Counts, values: &[ValueRef<'_>]) -> Result<(), Fault> {
        either!(self, db => db.add_counts(to, values))
    }

    /// Begins to write many records, which may be the first of all: a server then makes indexes at the end.
    pub(super) fn begin_load(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(db) => db.begin_load(),
        }
    }

    /// Ends what [`Db::begin_load`] began.
    pub(super) fn end_load(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(db) => db.end_load(),
        }
    }

    /// [`Db::insert_rows`] into a table that is known when the program runs.
    pub(super) fn insert_set(
        &self,
        table: &str,
        columns: &[&str],
        on_conflict: &str,
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        either!(self, db => db.insert_rows(table, columns, on_conflict, values))
    }

    /// Returns the columns of a table that are written.
    pub(super) fn columns_of(&self, table: &str) -> Result<Vec<String>, Fault> {
        either!(self, db => db.columns_of(table))
    }

    /// Deletes the rows with these keys, whose values stand one key after the other.
    pub(super) fn delete_rows(
        &self,
        from: &str,
        key: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        either!(self, db => db.delete_rows(from, key, values))
    }

    /// Gives one column of the rows with these keys a new value: it, then the key, one row after the other.
    pub(super) fn update_rows(
        &self,
        table: &str,
        column: &str,
        key: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        either!(self, db => db.update_rows(table, column, key, values))
    }

    /// Returns every row.
    pub(super) fn query<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        self.prepare(sql)?.query(parameters, read)
    }

    /// Returns the first row; a fault if there is none.
    pub(super) fn query_one<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.prepare(sql)?.query_one(parameters, read)
    }

    /// Returns the first row, if there is one.
    pub(super) fn query_first<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.prepare(sql)?.query_first(parameters, read)
    }

    /// Returns the only column of every row.
    pub(super) fn values<T: FromValue>(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<Vec<T>, Fault> {
        self.prepare(sql)?.query(parameters, |row| row.at(0))
    }

    /// Returns the only column of the first row; a fault if there is no row.
    pub(super) fn value<T: FromValue>(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<T, Fault> {
        self.prepare(sql)?.value(parameters)
    }

    /// Returns the only column of the first row, if there is a row.
    pub(super) fn first_value<T: FromValue>(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<Option<T>, Fault> {
        self.prepare(sql)?.first_value(parameters)
    }

    /// Runs a statement that writes and returns at most one row. Unlike [`Db::query_first`] this runs it to its end:
    /// only there a statement that is a transaction of its own is committed, and says so if it cannot be.
    pub(super) fn write_returning<T>(
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
    pub(super) fn write_returning_one<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.write_returning(sql, parameters, read)?
            .ok_or_else(Fault::no_row)
    }
}

impl Statement<'_> {
    /// Runs it. Returns how many rows it changed.
    pub(super) fn execute(&mut self, parameters: impl Parameters) -> Result<usize, Fault> {
        either!(self, statement => statement.execute(parameters))
    }

    /// Begins to read its rows.
    pub(super) fn rows(&mut self, parameters: impl Parameters) -> Result<Rows<'_>, Fault> {
        Ok(match self {
            Self::Sqlite(statement) => Rows::Sqlite(statement.rows(parameters)?),
            Self::Postgres(statement) => Rows::Postgres(statement.rows(parameters)?),
        })
    }

    /// Begins to read its rows where they may be millions: a server sends them some thousands at a time. Within a
    /// transaction; outside of one it is [`Statement::rows`].
    pub(super) fn scan(&mut self, parameters: impl Parameters) -> Result<Rows<'_>, Fault> {
        Ok(match self {
            Self::Sqlite(statement) => Rows::Sqlite(statement.rows(parameters)?),
            Self::Postgres(statement) => Rows::Postgres(statement.scan(parameters)?),
        })
    }

    /// Returns every row.
    pub(super) fn query<T>(
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
    pub(super) fn query_one<T>(
        &mut self,
        parameters: impl Parameters,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.query_first(parameters, read)?
            .ok_or_else(Fault::no_row)
    }

    /// Returns the first row, if there is one.
    pub(super) fn query_first<T>(
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
    pub(super) fn value<T: FromValue>(&mut self, parameters: impl Parameters) -> Result<T, Fault> {
        self.query_one(parameters, |row| row.at(0))
    }

    /// Returns the only column of the first row, if there is a row.
    pub(super) fn first_value<T: FromValue>(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<Option<T>, Fault> {
        self.query_first(parameters, |row| row.at(0))
    }
}

impl Rows<'_> {
    /// Returns the next row.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, Fault> {
        let row = match self {
            Self::Sqlite(rows) => rows.next()?.map(EngineRow::Sqlite),
            Self::Postgres(rows) => rows.next()?.map(EngineRow::Postgres),
        };
        Ok(row.map(|row| Row {
            row,
            next: Cell::new(0),
        }))
    }
}

impl Row<'_> {
    /// Returns the value in a column.
    pub(super) fn get<T: FromValue>(&self, column: &str) -> Result<T, Fault> {
        self.at(self.place_of(column)?)
    }

    /// Returns the value at a place, counted from 0. For statements with one column, and loops in which looking for a
    /// name was measured.
    pub(super) fn at<T: FromValue>(&self, place: usize) -> Result<T, Fault> {
        let read = self.value_at(place)?;
        T::from_value(read).map_err(|mismatch| self.fault(place, mismatch))
    }

    /// Returns the value at a place without a copy of it.
    pub(super) fn value_at(&self, place: usize) -> Result<ValueRef<'_>, Fault> {
        match &self.row {
            EngineRow::Sqlite(row) => row.value_at(place),
            EngineRow::Postgres(row) => row.value_at(place),
        }
    }

    /// Returns the text at a place without a copy of it.
    pub(super) fn text_at(&self, place: usize) -> Result<&str, Fault> {
        match self.value_at(place)? {
            ValueRef::Text(text) => Ok(text),
            other => Err(self.fault(place, Mismatch::Type(other.type_name()))),
        }
    }

    /// Returns how many columns it has.
    fn width(&self) -> usize {
        match &self.row {
            EngineRow::Sqlite(row) => row.width(),
            EngineRow::Postgres(row) => row.width(),
        }
    }

    /// Returns the name of the column at a place that is there.
    fn column_name(&self, place: usize) -> &str {
        match &self.row {
            EngineRow::Sqlite(row) => row.column_name(place),
            EngineRow::Postgres(row) => row.column_name(place),
        }
    }

    /// Returns the place of a column.
    fn place_of(&self, column: &str) -> Result<usize, Fault> {
        let (count, first) = (self.width(), self.next.get());
        let mut places = (first..count).chain(0..first.min(count));
        if let Some(place) = places.find(|place| self.column_name(*place) == column) {
            self.next.set(place + 1);
            return Ok(place);
        }
        let there: Vec<&str> = (0..count).map(|place| self.column_name(place)).collect();
        let there = there.join(", ");
        Err(Fault::other(format!("no column {column} among {there}")))
    }

    /// Returns the fault of a value that cannot be read.
    #[cold]
    fn fault(&self, place: usize, mismatch: Mismatch) -> Fault {
        mismatch.of_column(self.column_name(place))
    }
}
