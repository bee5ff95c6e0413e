//! Many rows with one call: SQLite's way to write sets.
//!
//! An insert of 64 rows costs it two thirds of what 64 inserts cost. Deletes and updates of single rows gain nothing
//! by being put together (a list of pairs makes it read the whole table), so their statement is prepared once and run
//! for each row. For whoever calls, each is one call; another engine sends the whole set at once.

use crate::store::sets::Counts;
use crate::store::sqlite::db::{Db, in_sqlite};
use crate::store::sqlite::dialect::OR_FAIL;
use crate::store::value::{Fault, ValueRef};

/// How many rows are inserted with one statement.
const ROWS_A_STATEMENT: usize = 64;

impl Db {
    /// Inserts rows, whose values stand one row after the other.
    pub(in crate::store) fn insert_rows(
        &self,
        table: &str,
        columns: &[&str],
        on_conflict: &str,
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        self.insert_rows_sharing(table, columns, on_conflict, (values, &[]))
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
        let width = columns.len() - shared.len();
        let columns = columns.join(", ");
        let sql = |rows: usize| {
            let row = |number: usize| {
                let own = (0..width).map(|at| shared.len() + number * width + at + 1);
                let marks = own.chain(1..=shared.len()).map(|place| format!("?{place}"));
                format!("({})", marks.collect::<Vec<_>>().join(", "))
            };
            let rows: Vec<String> = (0..rows).map(row).collect();
            format!(
                "insert {OR_FAIL} into {table} ({columns}) values {} {on_conflict}",
                rows.join(", ")
            )
        };
        let full = values.len() - values.len() % (width * ROWS_A_STATEMENT);
        let (full, rest) = values.split_at(full);
        if !full.is_empty() {
            self.run_each(
                &sql(ROWS_A_STATEMENT),
                width * ROWS_A_STATEMENT,
                full,
                shared,
            )?;
        }
        if !rest.is_empty() {
            self.run_each(&sql(1), width, rest, shared)?;
        }
        Ok(())
    }

    /// Deletes the rows with these keys, whose values stand one key after the other.
    pub(in crate::store) fn delete_rows(
        &self,
        from: &str,
        key: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        let sql = format!("delete from {from} where {}", equal_to_each(key));
        self.run_each(&sql, key.len(), values, &[])
    }

    /// Gives one column of the rows with these keys a new value: it, then the key, one row after the other.
    pub(in crate::store) fn update_rows(
        &self,
        table: &str,
        column: &str,
        key: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        let sql = format!(
            "update {table} set {column} = ? where {}",
            equal_to_each(key)
        );
        self.run_each(&sql, key.len() + 1, values, &[])
    }

    /// Adds to counts: the key, then what is added, one row after the other. A count of nothing is deleted.
    pub(in crate::store) fn add_counts(
        &self,
        to: &Counts,
        values: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        let (table, [one, other], count) = (to.table, to.key, to.count);
        let added = format!(
            "on conflict ({one}, {other}) do update set {count} = {table}.{count} + excluded.{count}"
        );
        self.insert_rows(table, &[one, other, count], &added, values)?;
        let takes = |row: &[ValueRef<'_>]| matches!(row.last(), Some(ValueRef::Integer(..0)));
        if values.chunks_exact(3).any(takes) {
            // By an index of those that are nothing.
            let mut delete = self.prepare(&format!("delete from {table} where {count} = 0"))?;
            delete.execute(())?;
        }
        Ok(())
    }

    /// Runs a statement for every `width` values, which stand behind those that are the same each time.
    fn run_each(
        &self,
        sql: &str,
        width: usize,
        values: &[ValueRef<'_>],
        shared: &[ValueRef<'_>],
    ) -> Result<(), Fault> {
        if values.is_empty() {
            return Ok(());
        }
        self.count_call();
        let mut statement = self.connection().prepare_cached(sql)?;
        for (place, value) in shared.iter().enumerate() {
            statement.raw_bind_parameter(place + 1, in_sqlite(*value)?)?;
        }
        for row in values.chunks_exact(width) {
            for (place, value) in row.iter().enumerate() {
                statement.raw_bind_parameter(shared.len() + place + 1, in_sqlite(*value)?)?;
            }
            statement.raw_execute()?;
        }
        Ok(())
    }
}

impl Db {
    /// Returns the columns of a table that are written: those that are computed are not.
    pub(in crate::store) fn columns_of(&self, table: &str) -> Result<Vec<String>, Fault> {
        let mut statement = self
            .connection()
            .prepare("select name from pragma_table_xinfo(?) where hidden = 0 order by cid")?;
        let names = statement.query_map([table], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }
}

/// Returns a condition on the columns of a key.
fn equal_to_each(key: &[&str]) -> String {
    let equal = key.iter().map(|column| format!("{column} = ?"));
    equal.collect::<Vec<_>>().join(" and ")
}
