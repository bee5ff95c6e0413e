//! PostgreSQL's side of the door: statements of our own words over a session.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::place::ServerUrl;
use crate::store::postgres::answers::Ahead;
use crate::store::postgres::plan::{Plan, settings_of_transactions, typed};
use crate::store::postgres::session::{
    Driver, GREETING_TIMEOUT, connect, settings_of_sessions, wait, wait_at_most, wait_for_task,
};
use crate::store::postgres::unanswered::Unanswered;
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

/// Asks which schema the tables have.
pub(super) const SCHEMA_FOUND: &str =
    "select value::bit(31)::integer from meta where key = 'schema'";

/// After how long the server ends a transaction that writes whose program says nothing: one that is stopped, or whose
/// way to the server is cut, keeps everybody else from writing.
const IDLE_WRITER: &str = "30s";
/// How long it is asked whether a commit was done whose answer was lost.
const ASKED_FOR: Duration = Duration::from_secs(30);
/// How long to wait between two questions.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Tells the lives of servers apart: the server's number and its timeline, which a promotion and a restore to a point in
/// time change.
pub(in crate::store) type Life = [u8; 16];

/// A server, as a session meets it.
struct Server {
    life: Life,
    /// The numbers of its own processes: a crash of one of its processes begins all of them anew.
    own_processes: Vec<String>,
}

/// Asks which server it is. A standby has no timeline here: it is never written.
const SERVER: &str = "lpad(to_hex((select system_identifier from pg_control_system())), 16, '0')
        || lpad(case when pg_is_in_recovery() then '0'
                else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end, 16, '0')
        || coalesce((select string_agg(' ' || pid, '') from pg_stat_activity
                      where datid is null and usesysid is null), '')";

impl Server {
    /// Reads what was answered to [`SERVER`].
    fn read(answer: Option<&str>) -> Result<Self, Fault> {
        let mut words = answer.unwrap_or_default().split(' ');
        let life = words.next();
        let life = life.and_then(|word| u128::from_str_radix(word, 16).ok());
        Ok(Self {
            life: life.map(u128::to_be_bytes).ok_or_else(Fault::no_row)?,
            own_processes: words.map(str::to_owned).collect(),
        })
    }

    /// Returns whether it is the same one, without a crash or a promotion between them. If not, numbers of transactions
    /// may have come again.
    fn is_still(&self, before: &Self) -> bool {
        let mut all = self.own_processes.iter();
        self.life == before.life && all.any(|it| before.own_processes.contains(it))
    }
}

/// An open session, as statements see it.
pub(in crate::store) struct Db {
    /// How the server is reached again when the session was lost; `None` if it must not be.
    again: Option<ServerUrl>,
    /// What each transaction begins with, where a pooler gives each another session of the server.
    pub(super) local: Option<Box<str>>,
    client: RefCell<Arc<Client>>,
    /// Drives the session's socket.
    driver: Cell<Option<Driver>>,
    /// How often the session was opened.
    sessions: Cell<u64>,
    /// The server that the session is of.
    server: RefCell<Server>,
    /// Whether the server is another one than before, and nobody who writes has heard of it.
    is_elsewhere: Cell<bool>,
    /// The server's number of the transaction that writes.
    writing: Cell<Option<u64>>,
    /// Statements that are prepared, or whose types are known, by their texts.
    kept: RefCell<HashMap<String, Kept>>,
    /// The types of the columns of sets, by the texts that ask for them.
    pub(super) types: RefCell<HashMap<String, Arc<[Type]>>>,
    is_in_transaction: Cell<bool>,
    /// Everything is taken back in the end: transactions are savepoints of one that is never committed.
    pub(super) is_trial: Cell<bool>,
    /// Whether our tables were found.
    pub(super) has_tables: Cell<bool>,
    /// The schema of the tables as the transaction that writes began with: nobody changes it meanwhile.
    pub(super) schema: Cell<Option<i32>>,
    /// Whether keys are to be made at the end of what is being written, and whether the indexes from data to owners are.
    pub(super) loading: Cell<Option<bool>>,
    /// Whether a reading found tables of another schema than this program's.
    pub(super) is_of_other_schema: Cell<bool>,
    /// What goes with the next question.
    pub(super) ahead: Ahead,
    /// What was sent and is not answered yet.
    pub(super) unanswered: Unanswered,
    call_count: Cell<u64>,
    cursor_count: Cell<u64>,
}

/// A statement that is kept prepared.
#[derive(Clone)]
pub(super) struct Kept {
    /// In PostgreSQL's words.
    pub(super) sql: Arc<str>,
    /// The session that has it.
    session: u64,
    pub(super) plan: Plan,
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
        let (client, driver) = connect(server)?;
        let local = settings_of_transactions(server);
        let met = greet(&client, local.is_some())?;
        Ok(Self {
            again: None,
            local,
            client: RefCell::new(Arc::new(client)),
            driver: Cell::new(Some(driver)),
            sessions: Cell::new(1),
            server: RefCell::new(met),
            is_elsewhere: Cell::new(false),
            writing: Cell::new(None),
            kept: RefCell::default(),
            types: RefCell::default(),
            is_in_transaction: Cell::new(false),
            is_trial: Cell::new(false),
            has_tables: Cell::new(false),
            schema: Cell::new(None),
            loading: Cell::new(None),
            is_of_other_schema: Cell::new(false),
            ahead: Ahead::default(),
            unanswered: Unanswered::default(),
            call_count: Cell::new(0),
            cursor_count: Cell::new(0),
        })
    }

    /// Returns the session; opens another if it was lost and nothing hangs on it.
    pub(super) fn client(&self) -> Result<Arc<Client>, Fault> {
        let client = self.open_client();
        if !client.is_closed() || self.is_in_transaction() || self.is_trial.get() {
            return Ok(client);
        }
        let Some(server) = &self.again else {
            return Ok(client);
        };
        let (client, driver) = connect(server)?;
        let met = greet(&client, self.is_pooled())?;
        Ok(self.take_over(client, driver, met))
    }

    /// Returns the session as it is, open or lost.
    pub(super) fn open_client(&self) -> Arc<Client> {
        Arc::clone(&self.client.borrow())
    }

    /// Returns whether a reading found tables of another schema than this program's.
    pub(in crate::store) fn is_of_other_schema(&self) -> bool {
        self.is_of_other_schema.get()
    }

    /// Goes on with another session.
    fn take_over(&self, client: Client, driver: Driver, met: Server) -> Arc<Client> {
        let client = Arc::new(client);
        self.driver.set(Some(driver));
        self.client.replace(Arc::clone(&client));
        self.kept.borrow_mut().clear();
        self.sessions.set(self.sessions.get() + 1);
        if met.life != self.life() {
            self.is_elsewhere.set(true);
        }
        self.server.replace(met);
        client
    }

    /// Returns the life of the server that the session is of.
    pub(in crate::store) fn life(&self) -> Life {
        self.server.borrow().life
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

    /// Returns whether the session was lost.
    pub(in crate::store) fn is_closed(&self) -> bool {
        self.client.borrow().is_closed()
    }

    /// Returns whether the session was lost within a transaction.
    pub(in crate::store) fn is_lost(&self) -> bool {
        self.is_in_transaction() && self.is_closed()
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
        // One message: its answers come with the turn. What is read is as whoever had the turn before left it: a
        // statement of its own.
        let sql = format!(
            "{};
             select set_config('idle_in_transaction_session_timeout', '{IDLE_WRITER}', true),
                    pg_advisory_xact_lock({});
             select pg_current_xact_id(), {}, {}",
            self.begin_to_write(),
            lock_key(WRITERS),
            match self.has_tables.get() {
                true => format!("({SCHEMA_FOUND})"),
                false => "null".to_owned(),
            },
            match self.is_pooled() {
                true => SERVER,
                false => "null",
            }
        );
        let client = self.client()?;
        if self.is_elsewhere.take() {
            // What was committed before may be gone here, while whoever writes goes on from it: of a feed, lines that
            // were read would never be read again. He hears of it once, and begins anew with what is there.
            return Err(Fault::elsewhere());
        }
        self.count_call();
        self.is_in_transaction.set(true);
        let begun = self.answer(client.simple_query(&sql));
        if begun.is_err() {
            let _ = self.roll_back();
        }
        let begun = begun?;
        self.writing.set(number_at(0, &begun));
        self.schema.set(number_at(1, &begun));
        match self.is_pooled() {
            true => self.look_where(&begun),
            false => Ok(()),
        }
    }

    /// Looks which server a pooler has given the transaction that was begun: another one than before, or one that has
    /// crashed meanwhile, is noted as it is with a session that is opened anew.
    fn look_where(&self, begun: &[SimpleQueryMessage]) -> Result<(), Fault> {
        let met = Server::read(last_row(begun).and_then(|row| row.try_get(2).ok()?))?;
        let is_elsewhere = met.life != self.life();
        if !met.is_still(&self.server.borrow()) {
            self.sessions.set(self.sessions.get() + 1);
        }
        self.server.replace(met);
        if is_elsewhere {
            let _ = self.roll_back();
            return Err(Fault::elsewhere());
        }
        Ok(())
    }

    /// Begins a trial: what is done from now on is taken back when the session ends. It does not wait for its turn, and
    /// who writes the same rows meanwhile waits for it.
    pub(in crate::store) fn begin_trial(&self) -> Result<(), Fault> {
        // Meanwhile primaries are asked, which takes what they take.
        let begin = format!(
            "{}; set local idle_in_transaction_session_timeout = '1h'",
            self.begin_to_write()
        );
        self.count_call();
        self.answer(self.client()?.batch_execute(&begin))?;
        self.is_trial.set(true);
        Ok(())
    }

    /// Notes that a transaction is open, or that one is of which the server is yet to hear.
    pub(super) fn begin_unsent(&self) {
        self.is_in_transaction.set(true);
    }

    /// Begins a transaction.
    pub(super) fn begin(&self, sql: &str) -> Result<(), Fault> {
        self.run(sql)?;
        self.is_in_transaction.set(true);
        Ok(())
    }

    /// Makes what was written durable and ends the transaction.
    pub(in crate::store) fn commit(&self) -> Result<(), Fault> {
        if self.asks_ahead() {
            return self.roll_back();
        }
        let writing = self.writing.take();
        self.schema.set(None);
        let done = match self.is_trial.get() {
            true => self.run("release savepoint trial"),
            // Of a transaction in which a statement failed a server makes a rollback of a commit, and says that it is done:
            // it fails instead.
            false => self.run("select 1; commit"),
        };
        self.is_in_transaction.set(false);
        self.unanswered.take_fault();
        match (done, writing) {
            (Err(fault), Some(number)) if is_of_lost_session(&fault) => {
                self.find_out(number, fault)
            }
            (Err(fault), _) => {
                let _ = self.roll_back();
                Err(fault)
            }
            (Ok(()), _) => Ok(()),
        }
    }

    /// Asks whether a transaction was committed whose answer was lost. It is never done again on a guess.
    fn find_out(&self, number: u64, fault: Fault) -> Result<(), Fault> {
        let Some(server) = &self.again else {
            return Err(fault.of_unknown_commit());
        };
        let until = Instant::now() + ASKED_FOR;
        loop {
            if let Ok(outcome) = self.ask_for(number, server) {
                match outcome {
                    Outcome::Done => return Ok(()),
                    Outcome::TakenBack => return Err(fault.taken_back()),
                    Outcome::NobodyKnows => return Err(fault.of_unknown_commit()),
                    Outcome::NotYet => {}
                }
            }
            if Instant::now() >= until {
                return Err(fault.of_unknown_commit());
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// Asks in a new session what became of a transaction, and goes on with that session.
    fn ask_for(&self, number: u64, server: &ServerUrl) -> Result<Outcome, Fault> {
        let (client, driver) = connect(server)?;
        let met = greet(&client, self.is_pooled())?;
        let is_same = met.is_still(&self.server.borrow());
        let sql = format!("select pg_xact_status('{number}'::xid8)");
        let answer = wait_at_most(GREETING_TIMEOUT, client.simple_query(&sql));
        let outcome = match &answer {
            // SQLSTATE of a number that no transaction has had: what had it before the crash is gone.
            Err(fault) if fault.state() == Some("22023") => Outcome::TakenBack,
            Err(fault) => return Err(fault.clone()),
            Ok(answer) => match (word_in(answer), is_same) {
                (Some("committed"), true) => Outcome::Done,
                (Some("aborted"), _) | (Some("in progress"), false) => Outcome::TakenBack,
                // The session that was lost has not noticed, or waits for a standby.
                (Some("in progress"), true) => return Ok(Outcome::NotYet),
                // After a crash or a promotion another transaction may have the number.
                _ => Outcome::NobodyKnows,
            },
        };
        self.take_over(client, driver, met);
        Ok(outcome)
    }

    /// Takes back what was written and ends the transaction.
    pub(in crate::store) fn roll_back(&self) -> Result<(), Fault> {
        self.is_in_transaction.set(false);
        self.loading.set(None);
        self.schema.set(None);
        self.writing.set(None);
        if self.end_reading() {
            return Ok(());
        }
        self.forget_unanswered();
        if self.client.borrow().is_closed() {
            // The server takes it back.
            return Ok(());
        }
        self.count_call();
        let sql = match self.is_trial.get() {
            true => "rollback to savepoint trial; release savepoint trial",
            false => "rollback",
        };
        self.answer(self.client()?.batch_execute(sql))
    }

    /// Runs statements that take nothing and give nothing.
    pub(in crate::store) fn run(&self, sql: &str) -> Result<(), Fault> {
        self.send_begin()?;
        self.count_call();
        let sql = format!("{}{sql}", self.before_writing());
        self.answer(self.client()?.batch_execute(&sql))
    }

    /// Runs statements that are answered at once. Returns the first word of the last row.
    pub(super) fn ask_quickly(&self, sql: &str) -> Result<Option<String>, Fault> {
        self.send_begin()?;
        self.count_call();
        let sql = format!("{}{sql}", self.before_message());
        let answer = wait_at_most(GREETING_TIMEOUT, self.client()?.simple_query(&sql));
        let answer = self.waited_for(answer)?;
        Ok(word_in(&answer).map(str::to_owned))
    }

    /// Prepares a statement, or takes it from those that are kept.
    pub(in crate::store) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        // A session that is opened anew has none prepared.
        self.client()?;
        let kept = match self.kept(sql) {
            Some(kept) => kept,
            None => self
                .keep_together(sql)
                .map_err(|fault| self.explain(fault))?,
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
        let plan = self.plan(sql).map_err(|fault| fault.in_statement(sql))?;
        self.keep_plan(key, sql, plan);
        self.kept(key).ok_or_else(Fault::no_row)
    }

    /// Prepares a statement in PostgreSQL's words, or finds out its types.
    fn plan(&self, sql: &str) -> Result<Plan, Fault> {
        if self.is_pooled() && is_of_tables(sql) {
            // It has no parameters, and `prepare` in SQL does not take it.
            return Ok(Plan::Whole(Arc::from([])));
        }
        if self.is_pooled() {
            let mut plans = self.describe(&[sql.to_owned()])?;
            return plans.pop().ok_or_else(Fault::no_row);
        }
        let prepared = wait(self.client()?.prepare(sql));
        self.waited_for(prepared).map(Plan::Prepared)
    }

    /// Keeps a statement under a text.
    pub(super) fn keep_plan(&self, key: &str, sql: &str, plan: Plan) {
        let made = Kept {
            sql: sql.into(),
            session: self.sessions.get(),
            plan,
        };
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key.to_owned(), made);
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

    /// Returns a statement as the session has it: one that was opened anew since has to prepare it again.
    pub(super) fn prepared(&self, kept: &Kept) -> Result<(Arc<Client>, Plan), Fault> {
        let client = self.client()?;
        let plan = match &kept.plan {
            Plan::Prepared(_) if kept.session != self.sessions.get() => {
                Plan::Prepared(self.answer(client.prepare(&kept.sql))?)
            }
            plan => plan.clone(),
        };
        Ok((client, plan))
    }

    /// Runs a prepared statement. Returns how many rows it changed.
    pub(super) fn send(&self, kept: &Kept, sent: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        self.send_begin()?;
        self.count_call();
        let (client, plan) = self.prepared(kept)?;
        self.answer(plan.execute(&client, &kept.sql, sent))
    }
}

impl Db {
    /// Waits for an answer. What was sent before is answered then, too; its fault is the cause of what fails after it.
    pub(super) fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Fault> {
        self.waited_for(wait(answer))
    }

    /// [`Db::answer`] of an answer that is there.
    fn waited_for<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        self.in_order(self.unanswered.settle()).and(answer)
    }

    /// Sends a statement of so many octets, whether a copy, whose answer nobody waits for now. Within a transaction that
    /// writes.
    pub(super) fn send_on(
        &self,
        (octets, is_copy): (usize, bool),
        sending: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    ) -> Result<(), Fault> {
        self.count_call();
        self.in_order(self.unanswered.send((octets, is_copy), sending))
    }

    /// Ends the session where its answers can no longer be told apart. What is open in it is taken back by the server.
    fn in_order(&self, settled: Result<(), Fault>) -> Result<(), Fault> {
        if self.unanswered.is_confused()
            && let Some(driver) = self.driver.take()
        {
            driver.abort();
            // It is closed as soon as that has ended.
            let _ = wait_for_task(driver);
        }
        settled
    }

    /// Waits for all that was sent and forgets its faults: it is about to be taken back.
    fn forget_unanswered(&self) {
        let _ = self.in_order(self.unanswered.settle());
        self.unanswered.take_fault();
    }

    /// Sends a prepared statement whose answer nobody waits for now.
    pub(super) fn send_unanswered<T: ToSql + Sync + Send + 'static>(
        &self,
        kept: &Kept,
        octets: usize,
        sent: Vec<T>,
    ) -> Result<(), Fault> {
        self.send_begin()?;
        let (client, plan) = self.prepared(kept)?;
        let sql = Arc::clone(&kept.sql);
        self.send_on((octets, false), async move {
            let sent: Vec<_> = sent.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
            plan.execute(&client, &sql, &sent).await.map(|_| ())
        })
    }

    /// Runs a statement that writes, and that nobody waits for: its fault is one of what comes next.
    pub(in crate::store) fn write(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<(), Fault> {
        let statement = self.prepare(sql)?;
        let sent = Statement::bound(parameters)?;
        statement.check(&sent)?;
        let octets = size_of_val(&sent[..]) + sent.iter().map(Sent::octets).sum::<usize>();
        self.alone(|db| db.send_unanswered(&statement.kept, octets, sent))
    }

    /// Takes a part of a transaction back. Where that fails nothing of the transaction can be committed.
    pub(in crate::store) fn drop_part(&self) -> Result<(), Fault> {
        let _ = self.in_order(self.unanswered.settle());
        let first = self.unanswered.take_fault();
        let done = self.run("rollback to savepoint part; release savepoint part");
        if let Err(fault) = &done {
            let first = first.unwrap_or_else(|| fault.clone());
            self.unanswered.keep_fault(first);
        }
        done
    }
}

/// What became of a transaction.
enum Outcome {
    /// It was committed.
    Done,
    /// Nothing of it was stored.
    TakenBack,
    /// It is not over.
    NotYet,
    /// The server does not know it any more, or is another one now.
    NobodyKnows,
}

/// Returns whether a fault ended the session.
fn is_of_lost_session(fault: &Fault) -> bool {
    let state = fault.state();
    fault.is_away() || state.is_some_and(|it| it.starts_with("57P") || it.starts_with("08"))
}

/// Returns whether a statement makes a table or takes one away.
fn is_of_tables(sql: &str) -> bool {
    let words = ["create", "drop"];
    words.iter().any(|word| sql.trim_start().starts_with(word))
}

/// Returns the first value of the last row of an answer.
fn word_in(answer: &[SimpleQueryMessage]) -> Option<&str> {
    last_row(answer)?.try_get(0).ok().flatten()
}

/// Returns the last row of an answer.
fn last_row(answer: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    let rows = answer.iter().filter_map(|it| match it {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.last()
}

/// Returns the number at a place of the last row of an answer.
pub(super) fn number_at<T: FromStr>(place: usize, answer: &[SimpleQueryMessage]) -> Option<T> {
    let row = last_row(answer).filter(|row| place < row.len())?;
    row.try_get(place).ok().flatten()?.parse().ok()
}

/// Gives a session its settings, unless it is another one at each transaction, and returns the server that it is of.
fn greet(client: &Client, is_pooled: bool) -> Result<Server, Fault> {
    let settings = match is_pooled {
        true => String::new(),
        false => settings_of_sessions(),
    };
    let sql = format!("{settings}select {SERVER}");
    let answer = wait_at_most(GREETING_TIMEOUT, client.simple_query(&sql))?;
    Server::read(word_in(&answer))
}

impl Kept {
    /// Returns whether it is this statement.
    pub(super) fn is(&self, other: &Self) -> bool {
        *self.sql == *other.sql
    }
}

impl Statement<'_> {
    /// Collects the parameters.
    pub(super) fn bound(parameters: impl Parameters) -> Result<Vec<Sent>, Fault> {
        let mut all = Vec::new();
        parameters.bind(&mut |value| {
            all.push(Sent::from(value));
            Ok(())
        })?;
        Ok(all)
    }

    /// Checks that there are as many parameters as it has.
    fn check(&self, sent: &[Sent]) -> Result<(), Fault> {
        let (there, wanted) = (sent.len(), self.kept.plan.parameters().len());
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
        let changed = self.db.alone(|db| db.send(&self.kept, &as_sent(&sent)))?;
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
            let (client, plan) = db.prepared(&self.kept)?;
            db.ask_alone(
                &client,
                plan.query(&client, &self.kept.sql, &as_sent(&sent)),
            )
        };
        let rows = match self.writes {
            true => self.db.alone(query)?,
            false if self.db.asks_ahead() => self.db.ask(&self.kept, sent)?,
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
        self.db.send_begin()?;
        let number = self.db.cursor_count.get() + 1;
        self.db.cursor_count.set(number);
        let name = format!("rows_{number}");
        let sql = format!("declare {name} no scroll cursor for {}", self.kept.sql);
        self.db.count_call();
        let client = self.db.client()?;
        let sent = as_sent(&sent);
        let sent = typed(self.kept.plan.parameters(), &sent);
        self.db.answer(client.query_typed(&sql, &sent))?;
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
pub(super) fn as_sent(sent: &[Sent]) -> Vec<&(dyn ToSql + Sync)> {
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
        let answer = cursor.db.client()?;
        let rows = cursor.db.answer(answer.query_typed(&sql, &[]))?;
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
