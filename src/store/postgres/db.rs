//! PostgreSQL's side of the door: statements of our own words over a session.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::place::ServerUrl;
use crate::store::postgres::dialect::translate;
use crate::store::postgres::session::{connect, wait};
use crate::store::postgres::values::{Read, Sent};
use crate::store::value::{Fault, Parameters, ValueRef};

/// How many statements are kept prepared.
const KEPT_MAX: usize = 512;

/// The lock that whoever writes holds until the end of his transaction: one at a time, as with a file.
const WRITERS: i32 = 0x666c_7501;

/// Returns the two numbers of a lock, in SQL: a server's locks are of a database, and ours of a schema in it.
pub(super) fn lock_key(number: i32) -> String {
    format!("{number}, hashtext(current_schema())")
}

/// An open session, as statements see it.
pub(in crate::store) struct Db {
    /// How the server is reached again when the session was lost; `None` if it must not be.
    again: Option<ServerUrl>,
    client: RefCell<Arc<Client>>,
    /// How often the session was opened.
    sessions: Cell<u64>,
    /// Statements that are prepared, by their texts.
    kept: RefCell<HashMap<String, Kept>>,
    /// The types of the columns of sets, by the texts that ask for them.
    pub(super) types: RefCell<HashMap<String, Arc<[Type]>>>,
    is_in_transaction: Cell<bool>,
    /// Everything is taken back in the end: transactions are savepoints of one that is never committed.
    is_trial: Cell<bool>,
    call_count: Cell<u64>,
    cursor_count: Cell<u64>,
}

/// A statement that is kept prepared.
#[derive(Clone)]
pub(super) struct Kept {
    /// In PostgreSQL's words.
    sql: Arc<str>,
    pub(super) prepared: tokio_postgres::Statement,
}

/// A statement that is prepared.
pub(in crate::store) struct Statement<'a> {
    db: &'a Db,
    kept: Kept,
    /// Whether it writes, and returns what it wrote.
    writes: bool,
}

/// The rows of a statement, one after the other.
pub(in crate::store) struct Rows<'a> {
    rows: std::vec::IntoIter<tokio_postgres::Row>,
    current: Option<Row>,
    /// Where more come from.
    cursor: Option<Cursor<'a>>,
}

/// A cursor of the server, which is closed when this is dropped.
struct Cursor<'a> {
    db: &'a Db,
    name: String,
}

/// How many rows a cursor gives at a time.
const ROWS_A_FETCH: usize = 5_000;

/// One row.
pub(in crate::store) struct Row {
    row: tokio_postgres::Row,
}

impl Db {
    /// Opens a session, and another where that is lost between two transactions.
    pub(in crate::store) fn open(server: &ServerUrl) -> Result<Self, Fault> {
        let mut db = Self::open_once(server)?;
        db.again = Some(server.clone());
        Ok(db)
    }

    /// Opens a session that ends for good when it is lost.
    pub(super) fn open_once(server: &ServerUrl) -> Result<Self, Fault> {
        Ok(Self {
            again: None,
            client: RefCell::new(Arc::new(connect(server)?)),
            sessions: Cell::new(1),
            kept: RefCell::default(),
            types: RefCell::default(),
            is_in_transaction: Cell::new(false),
            is_trial: Cell::new(false),
            call_count: Cell::new(0),
            cursor_count: Cell::new(0),
        })
    }

    /// Returns the session; opens another if it was lost and nothing hangs on it.
    fn client(&self) -> Result<Arc<Client>, Fault> {
        let client = Arc::clone(&self.client.borrow());
        if !client.is_closed() || self.is_in_transaction() || self.is_trial.get() {
            return Ok(client);
        }
        let Some(server) = &self.again else {
            return Ok(client);
        };
        let client = Arc::new(connect(server)?);
        self.client.replace(Arc::clone(&client));
        self.kept.borrow_mut().clear();
        self.sessions.set(self.sessions.get() + 1);
        Ok(client)
    }

    /// Returns how often the session was opened: what was kept in memory of an earlier one may be gone.
    pub(in crate::store) fn session_count(&self) -> u64 {
        self.sessions.get()
    }

    /// Returns how many statements and sets were sent since it was opened.
    pub(in crate::store) fn call_count(&self) -> u64 {
        self.call_count.get()
    }

    /// Counts a statement or a set that is sent.
    pub(super) fn count_call(&self) {
        self.call_count.set(self.call_count.get() + 1);
    }

    /// Returns whether the session was lost within a transaction.
    pub(in crate::store) fn is_lost(&self) -> bool {
        self.is_in_transaction() && self.client.borrow().is_closed()
    }

    /// Returns whether a transaction is open.
    pub(in crate::store) fn is_in_transaction(&self) -> bool {
        self.is_in_transaction.get()
    }

    /// Begins a transaction that writes, when it is this session's turn.
    pub(in crate::store) fn begin_writing(&self) -> Result<(), Fault> {
        if self.is_trial.get() {
            return self.begin("savepoint trial");
        }
        self.begin("begin")?;
        let turn = self.run(&format!(
            "select pg_advisory_xact_lock({})",
            lock_key(WRITERS)
        ));
        if turn.is_err() {
            let _ = self.roll_back();
        }
        turn
    }

    /// Begins a transaction that reads one state.
    pub(in crate::store) fn begin_reading(&self) -> Result<(), Fault> {
        if self.is_trial.get() {
            return self.begin("savepoint trial");
        }
        self.begin("begin isolation level repeatable read, read only")
    }

    /// Begins a trial: what is done from now on is taken back when the session ends. It does not wait for its turn, and
    /// who writes the same rows meanwhile waits for it.
    pub(in crate::store) fn begin_trial(&self) -> Result<(), Fault> {
        self.run("begin")?;
        self.is_trial.set(true);
        Ok(())
    }

    /// Begins a transaction.
    fn begin(&self, sql: &str) -> Result<(), Fault> {
        self.run(sql)?;
        self.is_in_transaction.set(true);
        Ok(())
    }

    /// Makes what was written durable and ends the transaction.
    pub(in crate::store) fn commit(&self) -> Result<(), Fault> {
        let done = match self.is_trial.get() {
            true => self.run("release savepoint trial"),
            false => self.run("commit"),
        };
        self.is_in_transaction.set(false);
        done.map_err(Fault::of_commit)
    }

    /// Takes back what was written and ends the transaction.
    pub(in crate::store) fn roll_back(&self) -> Result<(), Fault> {
        self.is_in_transaction.set(false);
        match self.is_trial.get() {
            true => self.run("rollback to savepoint trial; release savepoint trial"),
            false => self.run("rollback"),
        }
    }

    /// Runs statements that take nothing and give nothing.
    pub(in crate::store) fn run(&self, sql: &str) -> Result<(), Fault> {
        self.count_call();
        wait(self.client()?.batch_execute(sql))
    }

    /// Prepares a statement, or takes it from those that are kept.
    pub(in crate::store) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        // A session that is opened anew has none prepared.
        self.client()?;
        let kept = match self.kept(sql) {
            Some(kept) => kept,
            None => self.keep(sql, &translate(sql))?,
        };
        let words = ["insert", "update", "delete"];
        Ok(Statement {
            db: self,
            kept,
            writes: words.iter().any(|word| sql.trim_start().starts_with(word)),
        })
    }

    /// Prepares a statement in PostgreSQL's words and keeps it under a text.
    pub(super) fn keep(&self, key: &str, sql: &str) -> Result<Kept, Fault> {
        let prepared =
            wait(self.client()?.prepare(sql)).map_err(|fault| fault.in_statement(sql))?;
        let made = Kept {
            sql: sql.into(),
            prepared,
        };
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key.to_owned(), made.clone());
        Ok(made)
    }

    /// Returns a statement that is kept under a text.
    pub(super) fn kept(&self, key: &str) -> Option<Kept> {
        self.kept.borrow().get(key).cloned()
    }

    /// Runs a statement for one new row. Returns that row's number.
    pub(in crate::store) fn insert(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<i64, Fault> {
        let mut statement = self.prepare(&format!("{sql} returning id"))?;
        let mut rows = statement.rows(parameters)?;
        let row = rows.next()?.ok_or_else(Fault::no_row)?;
        match row.value_at(0)? {
            ValueRef::Integer(id) => Ok(id),
            other => {
                let name = other.type_name();
                Err(Fault::other(format!("a row's number is {name}")))
            }
        }
    }

    /// Does what writes: in a transaction of its own where none is open, so that it waits for its turn.
    pub(super) fn alone<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.is_in_transaction() {
            return work(self);
        }
        self.begin_writing()?;
        match work(self) {
            Ok(done) => self.commit().map(|()| done),
            Err(fault) => {
                let _ = self.roll_back();
                Err(fault)
            }
        }
    }

    /// Runs a prepared statement. Returns how many rows it changed.
    pub(super) fn send(
        &self,
        statement: &tokio_postgres::Statement,
        sent: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Fault> {
        self.count_call();
        wait(self.client()?.execute(statement, sent))
    }
}

impl Statement<'_> {
    /// Collects the parameters.
    fn bound(parameters: impl Parameters) -> Result<Vec<Sent>, Fault> {
        let mut all = Vec::new();
        parameters.bind(&mut |value| {
            all.push(Sent::from(value));
            Ok(())
        })?;
        Ok(all)
    }

    /// Checks that there are as many parameters as it has.
    fn check(&self, sent: &[Sent]) -> Result<(), Fault> {
        let (there, wanted) = (sent.len(), self.kept.prepared.params().len());
        match there == wanted {
            true => Ok(()),
            false => Err(Fault::other(format!(
                "{there} parameters where {wanted} are wanted"
            ))),
        }
    }

    /// Runs it. Returns how many rows it changed.
    pub(in crate::store) fn execute(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<usize, Fault> {
        let sent = Self::bound(parameters)?;
        self.check(&sent)?;
        let changed = self
            .db
            .alone(|db| db.send(&self.kept.prepared, &as_sent(&sent)))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Begins to read its rows.
    pub(in crate::store) fn rows(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<Rows<'_>, Fault> {
        let sent = Self::bound(parameters)?;
        self.check(&sent)?;
        let query = |db: &Db| {
            db.count_call();
            wait(db.client()?.query(&self.kept.prepared, &as_sent(&sent)))
        };
        let rows = match self.writes {
            true => self.db.alone(query)?,
            false => query(self.db)?,
        };
        Ok(Rows {
            rows: rows.into_iter(),
            current: None,
            cursor: None,
        })
    }

    /// Begins to read its rows, some thousands at a time.
    pub(in crate::store) fn scan(
        &mut self,
        parameters: impl Parameters,
    ) -> Result<Rows<'_>, Fault> {
        if !self.db.is_in_transaction() {
            return self.rows(parameters);
        }
        let sent = Self::bound(parameters)?;
        self.check(&sent)?;
        let number = self.db.cursor_count.get() + 1;
        self.db.cursor_count.set(number);
        let name = format!("rows_{number}");
        let sql = format!("declare {name} no scroll cursor for {}", self.kept.sql);
        self.db.count_call();
        let client = self.db.client()?;
        let types: Vec<(&(dyn ToSql + Sync), Type)> = as_sent(&sent)
            .into_iter()
            .zip(self.kept.prepared.params().iter().cloned())
            .collect();
        wait(client.query_typed(&sql, &types))?;
        let mut rows = Rows {
            rows: Vec::new().into_iter(),
            current: None,
            cursor: Some(Cursor { db: self.db, name }),
        };
        rows.fetch()?;
        Ok(rows)
    }
}

/// Returns parameters as tokio-postgres takes them.
fn as_sent(sent: &[Sent]) -> Vec<&(dyn ToSql + Sync)> {
    sent.iter().map(|it| it as &(dyn ToSql + Sync)).collect()
}

impl Rows<'_> {
    /// Returns the next row.
    pub(in crate::store) fn next(&mut self) -> Result<Option<&Row>, Fault> {
        let mut next = self.rows.next();
        if next.is_none() && self.cursor.is_some() {
            self.fetch()?;
            next = self.rows.next();
        }
        self.current = next.map(|row| Row { row });
        Ok(self.current.as_ref())
    }

    /// Has the cursor give some rows; closes it where these are the last.
    fn fetch(&mut self) -> Result<(), Fault> {
        let Some(cursor) = &self.cursor else {
            return Ok(());
        };
        let sql = format!("fetch {ROWS_A_FETCH} from {}", cursor.name);
        cursor.db.count_call();
        let rows = wait(cursor.db.client()?.query_typed(&sql, &[]))?;
        if rows.len() < ROWS_A_FETCH {
            self.cursor = None;
        }
        self.rows = rows.into_iter();
        Ok(())
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // It ends with its transaction at the latest.
        let _ = self.db.run(&format!("close {}", self.name));
    }
}

impl Row {
    /// Returns the value at a place without a copy of it.
    pub(in crate::store) fn value_at(&self, place: usize) -> Result<ValueRef<'_>, Fault> {
        Ok(self.row.try_get::<_, Read<'_>>(place)?.0)
    }

    /// Returns how many columns it has.
    pub(in crate::store) fn width(&self) -> usize {
        self.row.len()
    }

    /// Returns the name of the column at a place that is there.
    pub(in crate::store) fn column_name(&self, place: usize) -> &str {
        self.row.columns().get(place).map_or("?", |it| it.name())
    }
}
