//! A pooler that gives each transaction another session of the server (PgBouncer, `pool_mode = transaction`).
//!
//! Nothing may then be left in a session for what comes later. So each transaction begins with the settings, as its own;
//! what is asked outside of one is asked in one of its own; statements are not kept prepared, only the types of their
//! parameters are found out and kept here; rows are not copied, since a copy needs a prepared statement; and the pollers'
//! lock is one of a transaction that stays open. The pooler may also be sent to another server while its clients stay:
//! each transaction that writes looks which one it is on.

use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::store::postgres::db::Db;
use crate::store::postgres::plan::{Plan, read_types};
use crate::store::value::Fault;

/// The name under which a statement is prepared for as long as it is asked what types it has.
const ASKED: &str = "fluxwatch_asked";

impl Db {
    /// Returns whether a pooler gives each transaction another session.
    pub(in crate::store) fn is_pooled(&self) -> bool {
        self.local.is_some()
    }

    /// Begins a transaction that writes, in SQL: of the kind that it is for whatever a session was left with.
    pub(super) fn begin_to_write(&self) -> String {
        match self.is_pooled() {
            true => format!(
                "begin isolation level read committed, read write{}",
                self.after_begin()
            ),
            false => "begin".to_owned(),
        }
    }

    /// Returns what a transaction begins with, behind its `begin`.
    pub(super) fn after_begin(&self) -> String {
        match &self.local {
            Some(local) => format!("; {local}"),
            None => String::new(),
        }
    }

    /// Returns what a message begins with: the settings, unless the session has them, or the transaction that is open.
    pub(super) fn before_message(&self) -> String {
        let is_open = self.is_in_transaction() && !self.ahead.is_unsent.get();
        match &self.local {
            Some(local) if !is_open && !self.is_trial.get() => format!("{local}; "),
            _ => String::new(),
        }
    }

    /// [`Db::before_message`] of one that may write.
    pub(super) fn before_writing(&self) -> String {
        match self.before_message() {
            settings if settings.is_empty() => settings,
            settings => {
                format!("set transaction isolation level read committed, read write; {settings}")
            }
        }
    }

    /// Asks the types of the parameters of statements, in PostgreSQL's words. All of it in one message: it is done in one
    /// session, and leaves nothing there.
    pub(super) fn describe(&self, texts: &[String]) -> Result<Vec<Plan>, Fault> {
        let mut sql = self.before_message();
        for text in texts {
            // Writing to a text cannot fail.
            let _ = write!(
                sql,
                "prepare {ASKED} as {text}\n;
                 select parameter_types::oid[]::text from pg_prepared_statements where name = '{ASKED}';
                 deallocate {ASKED};"
            );
        }
        let words = self.words(&sql)?;
        let described = words.len().checked_sub(texts.len());
        let described = words.iter().skip(described.ok_or_else(Fault::no_row)?);
        described
            .map(|oids| read_types(oids).map(Plan::Whole))
            .collect()
    }

    /// Returns the types of columns of a table.
    pub(super) fn column_types(&self, table: &str, columns: &[&str]) -> Result<Arc<[Type]>, Fault> {
        let sql = format!(
            "{}select array(select a.atttypid
                              from unnest('{{{}}}'::text[]) with ordinality as c (name, place)
                                   join pg_attribute a on a.attrelid = '{table}'::regclass and a.attname = c.name
                             order by c.place)::text",
            self.before_message(),
            columns.join(",")
        );
        let words = self.words(&sql)?;
        let types = read_types(words.last().ok_or_else(Fault::no_row)?)?;
        match types.len() == columns.len() {
            true => Ok(types),
            false => Err(Fault::other(format!(
                "{table} lacks one of the columns {}",
                columns.join(", ")
            ))),
        }
    }

    /// Returns the first word of each row that statements in one message give.
    fn words(&self, sql: &str) -> Result<Vec<String>, Fault> {
        self.count_call();
        let client = self.client()?;
        let answer = self.answer(client.simple_query(sql))?;
        let words = answer.iter().filter_map(|it| match it {
            SimpleQueryMessage::Row(row) => Some(row.try_get(0).ok()??.to_owned()),
            _ => None,
        });
        Ok(words.collect())
    }

    /// Asks outside of a transaction: in one of its own, if the session has not the settings. One round trip.
    pub(super) fn ask_alone<T>(
        &self,
        client: &Client,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Fault> {
        if !self.is_pooled() || self.is_in_transaction() || self.is_trial.get() {
            return self.answer(asked);
        }
        let begin = format!("begin{}", self.after_begin());
        self.answer(async {
            let mut begun = pin!(client.batch_execute(&begin));
            let mut asked = pin!(asked);
            let mut ended = pin!(client.batch_execute("commit"));
            let (mut at_begin, mut answer, mut at_end) = (None, None, None);
            // The first time sends them, in this order.
            poll_fn(|context| {
                if at_begin.is_none()
                    && let Poll::Ready(it) = begun.as_mut().poll(context)
                {
                    at_begin = Some(it);
                }
                if answer.is_none()
                    && let Poll::Ready(it) = asked.as_mut().poll(context)
                {
                    answer = Some(it);
                }
                if at_end.is_none()
                    && let Poll::Ready(it) = ended.as_mut().poll(context)
                {
                    at_end = Some(it);
                }
                if at_begin.is_none() || at_end.is_none() {
                    return Poll::Pending;
                }
                match (answer.take(), at_begin.take()) {
                    (Some(_), Some(Err(fault))) => Poll::Ready(Err(fault)),
                    (Some(answer), _) => Poll::Ready(answer),
                    (None, begun) => {
                        at_begin = begun;
                        Poll::Pending
                    }
                }
            })
            .await
        })
    }
}
