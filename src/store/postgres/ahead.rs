//! Questions of one reading that are sent together, so that a server far away is waited for once and not for each.
//!
//! Whoever reads may tell what is asked next ([`Db::ask_ahead`]). The next question that is waited for takes all of it
//! along, and what begins the transaction too. The answers are kept until they are asked for, and no longer than the
//! reading: all are of one state of the database. A question that nobody asks in the end costs its answer, nothing else.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio_postgres::{Error, Row};

use crate::store::migrations::SCHEMA;
use crate::store::postgres::answers::{Answer, Asked};
use crate::store::postgres::db::{Db, Kept, SCHEMA_FOUND, Statement, as_sent, number_at};
use crate::store::postgres::dialect::translate;
use crate::store::postgres::plan::Plan;
use crate::store::postgres::schema::{NUMBER, SCHEMA_KEY};
use crate::store::postgres::session::wait;
use crate::store::postgres::values::{Read, Sent};
use crate::store::value::{Fault, Parameters, ValueRef};

/// Begins a transaction that reads one state.
const BEGIN: &str = "begin isolation level repeatable read, read only";

/// An answer that is waited for beside others.
type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

impl Db {
    /// Begins a transaction that reads one state: the server hears of it with the first question. With `checks_schema`
    /// that one fails if a newer program has changed the tables.
    pub(in crate::store) fn begin_reading(&self, checks_schema: bool) -> Result<(), Fault> {
        if self.is_trial.get() {
            return self.begin("savepoint trial");
        }
        // A session that was lost is opened anew here, as long as nothing hangs on it.
        self.client()?;
        self.begin_unsent();
        self.ahead.is_reading.set(true);
        self.ahead.is_unsent.set(true);
        self.ahead.checks_schema.set(checks_schema);
        if checks_schema {
            self.ask_ahead(NUMBER, [SCHEMA_KEY])?;
        }
        Ok(())
    }

    /// Ends a transaction that reads, if one is open. Nobody waits for that: it fails only where the session is lost,
    /// and then it has ended.
    pub(super) fn end_reading(&self) -> bool {
        if !self.ahead.is_reading.take() {
            return false;
        }
        let was_sent = !self.ahead.is_unsent.take();
        self.ahead.asked.borrow_mut().clear();
        self.ahead.answers.borrow_mut().clear();
        let client = self.open_client();
        if was_sent && !client.is_closed() {
            let sending = pin!(client.batch_execute("rollback"));
            let _ = sending.poll(&mut Context::from_waker(Waker::noop()));
        }
        true
    }

    /// Returns whether what is asked next may be told.
    pub(in crate::store) fn asks_ahead(&self) -> bool {
        self.ahead.is_reading.get()
    }

    /// Has statements be prepared with the next one that has to be.
    pub(in crate::store) fn prepare_ahead(&self, texts: &[&str]) {
        let texts = texts.iter().filter(|sql| self.kept(sql).is_none());
        let mut waiting = self.ahead.texts.borrow_mut();
        waiting.extend(texts.map(|sql| (*sql).to_owned()));
    }

    /// Has a question go with the next one that is waited for; it is answered at once when it is asked itself. Does
    /// nothing outside of a reading.
    pub(in crate::store) fn ask_ahead(
        &self,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<(), Fault> {
        if !self.asks_ahead() {
            return Ok(());
        }
        let sent = Statement::bound(parameters)?;
        let is_known = self.kept(sql).is_some_and(|kept| {
            let answers = self.ahead.answers.borrow();
            answers.iter().any(|it| it.is_of(&kept.sql, &sent))
        });
        let mut asked = self.ahead.asked.borrow_mut();
        if !is_known && !asked.iter().any(|it| it.sql == sql && it.sent == sent) {
            let sql = sql.to_owned();
            asked.push(Asked { sql, sent });
        }
        Ok(())
    }

    /// Tells the server of the transaction that was begun, if it has not heard of it.
    pub(super) fn send_begin(&self) -> Result<(), Fault> {
        match self.ahead.is_unsent.take() {
            true => {
                let begin = format!("{BEGIN}{}", self.after_begin());
                self.answer(self.client()?.batch_execute(&begin))
            }
            false => Ok(()),
        }
    }

    /// Prepares a statement, and with it those that are soon to be.
    pub(super) fn keep_together(&self, sql: &str) -> Result<Kept, Fault> {
        let mut texts = self.ahead.texts.take();
        let asked = self.ahead.asked.borrow();
        texts.extend(asked.iter().map(|it| it.sql.clone()));
        drop(asked);
        texts.retain(|it| it != sql && self.kept(it).is_none());
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return self.keep(sql, &translate(sql));
        }
        // The one that is needed comes last: what is kept may be forgotten while others are noted.
        texts.push(sql.to_owned());
        let client = self.client()?;
        let translated: Vec<String> = texts.iter().map(|it| translate(it)).collect();
        if self.is_pooled() {
            return self.keep_described(sql, texts.iter().zip(&translated), &translated);
        }
        let mut waiting: Vec<Waiting<'_, _>> = Vec::new();
        for sql in &translated {
            waiting.push(Box::pin(client.prepare(sql)));
        }
        let prepared = self.answer(async { Ok(together(waiting).await) })?;
        for ((text, its_sql), prepared) in texts.iter().zip(translated).zip(prepared) {
            match prepared {
                Ok(prepared) => self.keep_plan(text, &its_sql, Plan::Prepared(prepared)),
                Err(fault) if text == sql => {
                    return Err(Fault::from(fault).in_statement(&its_sql));
                }
                // It tells what is wrong when it is asked itself, if that ever happens.
                Err(_) => {}
            }
        }
        self.kept(sql).ok_or_else(Fault::no_row)
    }

    /// [`Db::keep_together`] of statements that are not kept prepared.
    fn keep_described<'t>(
        &self,
        sql: &str,
        texts: impl Iterator<Item = (&'t String, &'t String)>,
        translated: &[String],
    ) -> Result<Kept, Fault> {
        match self.describe(translated) {
            Ok(plans) => {
                for ((text, its_sql), plan) in texts.zip(plans) {
                    self.keep_plan(text, its_sql, plan);
                }
                self.kept(sql).ok_or_else(Fault::no_row)
            }
            Err(fault) if self.is_in_transaction() && !self.ahead.is_unsent.get() => Err(fault),
            // One of them cannot be prepared: it tells what is wrong when it is asked itself, if that ever happens.
            Err(_) => self.keep(sql, &translate(sql)),
        }
    }

    /// Asks a question within a reading, with all that goes along; or returns its answer, which came with an earlier one.
    pub(super) fn ask(&self, kept: &Kept, sent: Vec<Sent>) -> Result<Vec<Row>, Fault> {
        if let Some(rows) = self.take_answer(kept, &sent) {
            return Ok(rows);
        }
        let unprepared = |it: &Asked| self.kept(&it.sql).is_none();
        let missing = self
            .ahead
            .asked
            .borrow()
            .iter()
            .find(|it| unprepared(it))
            .map(|it| it.sql.clone());
        if let Some(sql) = missing {
            // All of them; one that cannot be prepared is left out below.
            let _ = self.keep_together(&sql);
        }
        let asked = self.ahead.asked.take().into_iter();
        let known = asked.filter_map(|it| Some((self.kept(&it.sql)?, it.sent)));
        let mut all: Vec<(Kept, Vec<Sent>)> = known
            .filter(|(its, with)| !its.is(kept) || *with != sent)
            .collect();
        all.push((kept.clone(), sent));
        let mut done = self.ask_all(&all)?;
        // Of tables that a newer program changed the questions fail, and this is why.
        self.check_schema(&all, &done)?;
        let rows = done.pop().ok_or_else(Fault::no_row)??;
        let mut answers = self.ahead.answers.borrow_mut();
        for ((kept, sent), rows) in all.into_iter().zip(done) {
            let (sql, rows) = (kept.sql, rows?);
            answers.push(Answer { sql, sent, rows });
        }
        Ok(rows)
    }

    /// Asks questions at once, in their order, and begins the transaction before them if the server has not heard of it.
    fn ask_all(&self, all: &[(Kept, Vec<Sent>)]) -> Result<Vec<Result<Vec<Row>, Error>>, Fault> {
        let client = self.client()?;
        let begin = format!("{BEGIN}{}", self.after_begin());
        let (mut plans, mut bound) = (Vec::new(), Vec::new());
        for (kept, sent) in all {
            plans.push((self.prepared(kept)?.1, &kept.sql));
            bound.push(as_sent(sent));
        }
        let mut waiting: Vec<Waiting<'_, Vec<Row>>> = Vec::with_capacity(all.len() + 1);
        if self.ahead.is_unsent.take() {
            let begin = async { client.batch_execute(&begin).await.map(|()| Vec::new()) };
            waiting.push(Box::pin(begin));
        }
        let begins = waiting.len();
        for ((plan, sql), sent) in plans.iter().zip(&bound) {
            waiting.push(Box::pin(plan.query(&client, sql, sent)));
        }
        self.count_call();
        let mut done = wait(async { Ok(together(waiting).await) })?;
        for begun in done.drain(..begins) {
            begun?;
        }
        Ok(done)
    }

    /// Returns what a question was answered with before it was asked.
    fn take_answer(&self, kept: &Kept, sent: &[Sent]) -> Option<Vec<Row>> {
        let mut answers = self.ahead.answers.borrow_mut();
        let place = answers.iter().position(|it| it.is_of(&kept.sql, sent))?;
        Some(answers.swap_remove(place).rows)
    }

    /// Checks that the tables that are read are those that this program knows, once a reading: whether the schema is
    /// among what was asked first.
    fn check_schema(
        &self,
        all: &[(Kept, Vec<Sent>)],
        done: &[Result<Vec<Row>, Error>],
    ) -> Result<(), Fault> {
        if !self.ahead.checks_schema.take() {
            return Ok(());
        }
        let number = translate(NUMBER);
        let key = Statement::bound([SCHEMA_KEY])?;
        let mut asked = all.iter().zip(done);
        let answer = asked.find(|((kept, sent), _)| *kept.sql == *number && *sent == key);
        let found = match answer {
            // What was asked first says what is wrong.
            Some((_, Err(_))) => return Ok(()),
            Some((_, Ok(rows))) => {
                let row = rows.first().ok_or_else(Fault::no_row)?;
                match row.try_get::<_, Read<'_>>(0)?.0 {
                    ValueRef::Integer(number) => i32::try_from(number).unwrap_or(i32::MAX),
                    _ => return Err(Fault::no_row()),
                }
            }
            None => {
                let answer = wait(self.client()?.simple_query(SCHEMA_FOUND))?;
                number_at(0, &answer).ok_or_else(Fault::no_row)?
            }
        };
        self.take_schema(found)
    }

    /// Looks why a statement cannot be prepared: a newer program may have changed the tables. Within a reading that has
    /// yet to begin.
    pub(super) fn explain(&self, fault: Fault) -> Fault {
        if !self.ahead.checks_schema.get() || !self.ahead.is_unsent.get() {
            return fault;
        }
        let found = self.client().and_then(|client| {
            let sql = format!("{}{SCHEMA_FOUND}", self.before_message());
            wait(client.simple_query(&sql))
        });
        match found.ok().and_then(|it| number_at(0, &it)) {
            Some(found) => self.take_schema(found).err().unwrap_or(fault),
            None => fault,
        }
    }

    /// Returns the fault of tables of another schema than this program's.
    fn take_schema(&self, found: i32) -> Result<(), Fault> {
        if found == SCHEMA {
            return Ok(());
        }
        self.is_of_other_schema.set(true);
        Err(Fault::of_schema(found))
    }
}

/// Waits for answers to what is sent in this order, all at once.
async fn together<T>(mut waiting: Vec<Waiting<'_, T>>) -> Vec<Result<T, Error>> {
    let mut done: Vec<Option<Result<T, Error>>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_over = true;
        for (answer, waiting) in done.iter_mut().zip(&mut waiting) {
            if answer.is_none() {
                match waiting.as_mut().poll(context) {
                    Poll::Ready(it) => *answer = Some(it),
                    Poll::Pending => is_over = false,
                }
            }
        }
        match is_over {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
