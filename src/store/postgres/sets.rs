//! Many rows with one statement: PostgreSQL's way to write sets.
//!
//! Each column of a set is one parameter, a list; so a set of any size is one round trip and one plan. Many rows that are
//! all new are copied (`copy … from stdin`): the server then writes a page of them at a time.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_sink::Sink;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::store::postgres::db::{Db, Kept};
use crate::store::postgres::dialect::translate;
use crate::store::postgres::plan::Plan;
use crate::store::postgres::values::Element;
use crate::store::sets::Counts;
use crate::store::value::{Fault, ValueRef};

/// How many rows are sent with one statement: some megabytes.
const ROWS_A_STATEMENT: usize = 50_000;
/// So many rows or more are copied, which takes a round trip more.
const ROWS_COPIED_MIN: usize = 200;
/// How many octets of copied rows are sent at a time: each time the thread that drives the socket is woken, which for 4 KiB
/// took longer than sending them.
const COPIED_OCTETS: usize = 128 << 10;
/// What a copy begins with: its signature, no flags, nothing more.
const COPY_BEGINS: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with, in the place of a row's number of columns.
const COPY_ENDS: i16 = -1;

impl Db {
    /// Inserts rows, whose values stand one row after the other.
    pub(in crate::store) fn insert_rows(
        &self,
        table: &str,
        columns: &[&str],
        on_conflict: &str,
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        if on_conflict.is_empty() && self.copies(values.len() / columns.len()) {
            let rows = values.chunks_exact(columns.len());
            return self.copy_rows(table, columns, rows.map(|row| row.iter()));
        }
        let (names, on_conflict) = (columns.join(", "), translate(on_conflict));
        let sql = |lists: &str| {
            format!("insert into {table} ({names}) select * from unnest({lists}) {on_conflict}")
        };
        self.send_set(table, columns, values, &sql)
    }

    /// Inserts rows that have the values of the last columns in common: those of the others stand one row after the
    /// other.
    pub(in crate::store) fn insert_rows_sharing(
        &self,
        table: &str,
        columns: &[&str],
        on_conflict: &str,
        (values, shared): (&[ValueRef<'_>], &[ValueRef<'_>]),
    ) -> Result<(), Fault> {
        let own = columns.len() - shared.len();
        if on_conflict.is_empty() && self.copies(values.len() / own) {
            let rows = values.chunks_exact(own);
            return self.copy_rows(table, columns, rows.map(|row| row.iter().chain(shared)));
        }
        let mut all = Vec::with_capacity(values.len() / own * columns.len());
        for row in values.chunks_exact(own) {
            all.extend(row.iter().chain(shared));
        }
        self.insert_rows(table, columns, on_conflict, &all)
    }

    /// Returns whether so many new rows are copied. Behind a pooler nothing is: a copy is of a prepared statement.
    fn copies(&self, rows: usize) -> bool {
        rows >= ROWS_COPIED_MIN && !self.is_pooled()
    }

    /// Copies rows that are all new.
    fn copy_rows<'v, R: Iterator<Item = &'v ValueRef<'v>>>(
        &self,
        table: &str,
        columns: &[&str],
        rows: impl Iterator<Item = R>,
    ) -> Result<(), Fault> {
        let types = self.types_of(table, columns)?;
        let sql = format!(
            "copy {table} ({}) from stdin (format binary)",
            columns.join(", ")
        );
        let kept = self.kept_or_keep(&sql)?;
        let parts = encode_rows(rows, &types)?;
        let octets = parts.iter().map(Bytes::len).sum();
        self.alone(|db| {
            let (client, Plan::Prepared(statement)) = db.prepared(&kept)? else {
                return Err(Fault::other("a copy of a statement that is not prepared"));
            };
            db.send_on((octets, true), async move {
                let mut sink = pin!(client.copy_in::<_, Bytes>(&statement).await?);
                for part in parts {
                    poll_fn(|context| sink.as_mut().poll_ready(context)).await?;
                    sink.as_mut().start_send(part)?;
                }
                sink.finish().await.map(|_| ())
            })
        })
    }

    /// Adds to counts: the key, then what is added, one row after the other and each key once. A count of nothing is
    /// deleted.
    pub(in crate::store) fn add_counts(
        &self,
        to: &Counts,
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        let (table, [one, other], count) = (to.table, to.key, to.count);
        // Each count is looked for once: whoever writes holds the writers' lock, so that it stays where it is.
        let sql = |lists: &str| {
            format!(
                "with k as materialized (
                     select u.{one}, u.{other}, u.added, t.ctid as place, t.{count} + u.added as sum
                       from unnest({lists}) as u ({one}, {other}, added)
                            left join {table} t on t.{one} = u.{one} and t.{other} = u.{other}),
                      changed as (
                     update {table} t set {count} = k.sum from k where t.ctid = k.place and k.sum <> 0),
                      gone as (
                     delete from {table} t using k where t.ctid = k.place and k.sum = 0)
                 insert into {table} ({one}, {other}, {count})
                 select {one}, {other}, added from k where place is null and added <> 0"
            )
        };
        self.send_set(table, &[one, other, count], values, &sql)
    }

    /// Returns the columns of a table that are written: those that are computed are not.
    pub(in crate::store) fn columns_of(&self, table: &str) -> Result<Vec<String>, Fault> {
        let sql = "select column_name::text from information_schema.columns
                    where table_schema = current_schema() and table_name = ?
                          and is_generated = 'NEVER'
                    order by ordinal_position";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([table])?;
        let mut names = Vec::new();
        while let Some(row) = rows.next()? {
            match row.value_at(0)? {
                ValueRef::Text(name) => names.push(name.to_owned()),
                other => return Err(Fault::other(format!("a name is {}", other.type_name()))),
            }
        }
        Ok(names)
    }

    /// Deletes the rows with these keys, whose values stand one key after the other.
    pub(in crate::store) fn delete_rows(
        &self,
        from: &str,
        key: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        let (columns, equal) = (key.join(", "), equal_to_each(key));
        let sql = |lists: &str| {
            format!("delete from {from} t using unnest({lists}) as k ({columns}) where {equal}")
        };
        self.send_set(from, key, values, &sql)
    }

    /// Gives one column of the rows with these keys a new value: it, then the key, one row after the other.
    pub(in crate::store) fn update_rows(
        &self,
        table: &str,
        column: &str,
        key: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        let all: Vec<&str> = [column].iter().chain(key).copied().collect();
        let (columns, equal) = (key.join(", "), equal_to_each(key));
        let sql = |lists: &str| {
            format!(
                "update {table} t set {column} = k.new_value
                   from unnest({lists}) as k (new_value, {columns}) where {equal}"
            )
        };
        self.send_set(table, &all, values, &sql)
    }

    /// Sends a set of rows as a list for each column.
    fn send_set(
        &self,
        table: &str,
        columns: &[&str],
        values: &[ValueRef<'_>],
        sql: &dyn Fn(&str) -> String,
    ) -> Result<(), Fault> {
        if values.is_empty() {
            return Ok(());
        }
        let types = self.types_of(table, columns)?;
        let mut lists = String::new();
        for (place, ty) in types.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            // Writing to a text cannot fail.
            let _ = write!(lists, "{comma}${}::{}[]", place + 1, ty.name());
        }
        let kept = self.kept_or_keep(&sql(&lists))?;
        let width = columns.len();
        for rows in values.chunks(width * ROWS_A_STATEMENT) {
            let lists = (kept.plan.parameters().iter().enumerate())
                .map(|(place, ty)| {
                    let column = rows.iter().skip(place).step_by(width);
                    List::of(column.map(|value| Element(*value)).collect(), ty)
                })
                .collect::<Result<Vec<List>, Fault>>()?;
            let octets = lists.iter().map(|it| it.0.len()).sum();
            self.alone(|db| db.send_unanswered(&kept, octets, lists))?;
        }
        Ok(())
    }

    /// Returns a statement in PostgreSQL's words, prepared.
    fn kept_or_keep(&self, sql: &str) -> Result<Kept, Fault> {
        match self.kept(sql) {
            Some(kept) => Ok(kept),
            None => self.keep(sql, sql),
        }
    }

    /// Returns the types of columns.
    fn types_of(&self, table: &str, columns: &[&str]) -> Result<Arc<[Type]>, Fault> {
        let sql = format!("select {} from {table}", columns.join(", "));
        if let Some(types) = self.types.borrow().get(&sql) {
            return Ok(Arc::clone(types));
        }
        let types = match self.is_pooled() {
            true => self.column_types(table, columns)?,
            false => match self.keep(&sql, &sql)?.plan {
                Plan::Prepared(statement) => {
                    let columns = statement.columns().iter();
                    columns.map(|it| it.type_().clone()).collect()
                }
                Plan::Whole(_) => return Err(Fault::other("columns without types")),
            },
        };
        let mut known: std::cell::RefMut<'_, HashMap<_, _>> = self.types.borrow_mut();
        known.insert(sql, Arc::clone(&types));
        Ok(types)
    }
}

/// A list of values as it is sent.
#[derive(Debug)]
struct List(Bytes);

impl List {
    /// Writes values as a list of this type.
    fn of(values: Vec<Element<'_>>, ty: &Type) -> Result<Self, Fault> {
        let mut octets = BytesMut::new();
        let written = values.to_sql(ty, &mut octets);
        written.map_err(|fault| Fault::other(fault.to_string()))?;
        Ok(Self(octets.freeze()))
    }
}

impl ToSql for List {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Returns rows as they are copied, in parts of about [`COPIED_OCTETS`].
fn encode_rows<'v, R: Iterator<Item = &'v ValueRef<'v>>>(
    rows: impl Iterator<Item = R>,
    types: &[Type],
) -> Result<Vec<Bytes>, Fault> {
    let mut parts = Vec::new();
    let mut octets = BytesMut::with_capacity(COPIED_OCTETS);
    octets.put_slice(COPY_BEGINS);
    for row in rows {
        put_row(row.map(|it| Element(*it)), types, &mut octets)?;
        if octets.len() >= COPIED_OCTETS {
            parts.push(octets.split().freeze());
            octets.reserve(COPIED_OCTETS);
        }
    }
    octets.put_i16(COPY_ENDS);
    parts.push(octets.freeze());
    Ok(parts)
}

/// Returns a condition on the columns of a key.
fn equal_to_each(key: &[&str]) -> String {
    let equal = key.iter().map(|column| format!("t.{column} = k.{column}"));
    equal.collect::<Vec<_>>().join(" and ")
}

/// Appends a row as it is copied: how many values it has, then each with its length.
fn put_row<'v>(
    row: impl Iterator<Item = Element<'v>>,
    types: &[Type],
    octets: &mut BytesMut,
) -> Result<(), Fault> {
    let width = i16::try_from(types.len()).map_err(|_| Fault::other("too many columns"))?;
    octets.put_i16(width);
    for (value, ty) in row.zip(types) {
        let begin = octets.len();
        octets.put_i32(0);
        let written = value.to_sql(ty, octets);
        let length = match written.map_err(|fault| Fault::other(fault.to_string()))? {
            IsNull::Yes => -1,
            IsNull::No => i32::try_from(octets.len() - begin - 4)
                .map_err(|_| Fault::other("a value of more than 2 GiB"))?,
        };
        octets[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
