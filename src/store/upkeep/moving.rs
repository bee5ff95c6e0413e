//! A database is moved from one engine to the other: every row of every table, so that history, chain and cases go on.

use crate::store::door::{Each, Value, ValueRef};
use crate::store::error::StoreError;
use crate::store::handle::{LIFE, Store};
use crate::store::postgres;
use crate::store::postgres::schema::LAYOUT;
use crate::store::upkeep::Upkeep;

/// How many rows are read and written at a time.
const ROWS_AT_A_TIME: usize = 5_000;

/// The rows of `meta` that are of a server and not of what it holds: which schema its tables have, which a file keeps
/// elsewhere, how they lie, and which of its lives it was last written in.
const OF_A_SERVER: [&str; 3] = ["schema", LAYOUT, LIFE];

impl Upkeep<'_> {
    /// Copies every row to another database, which must hold nothing but its tables. Calls `progress` with each table
    /// and how many of its rows are there. Returns how many rows there are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] if the other holds zones or cases already; nothing is changed there then. Any other error
    /// leaves it as it was, too.
    pub fn move_to(
        &self,
        other: &Store,
        mut progress: impl FnMut(&str, u64),
    ) -> Result<u64, StoreError> {
        let _reading = self.store.begin_reading()?;
        let tx = other.begin_batch()?;
        let sql = "select exists (select 1 from zone) or exists (select 1 from abuse_case)
                          or exists (select 1 from exemption)";
        if other.run(|db| db.value(sql, ()))? {
            return Err(StoreError::Taken(other.path.clone()));
        }
        let sql = "delete from meta where key not in (?, ?, ?)";
        other.run(|db| db.execute(sql, OF_A_SERVER))?;
        let mut all = 0;
        for table in postgres::db::Db::table_names() {
            let mut count = 0;
            self.copy_table(other, table, &mut |rows| {
                count += rows;
                progress(table, count);
            })?;
            all += count;
        }
        tx.commit()?;
        Ok(all)
    }

    /// Copies every row of a table.
    fn copy_table(
        &self,
        other: &Store,
        table: &str,
        copied: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let columns = other.run(|db| db.columns_of(table))?;
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        // In the order of the first column: a row that refers to one of its own table comes after it.
        let sql = format!(
            "select {0} from {table} order by {1}",
            columns.join(", "),
            columns[0]
        );
        let engine = |fault| self.store.engine(fault);
        let mut statement = self.store.db.prepare(&sql).map_err(engine)?;
        let none: [Value; 0] = [];
        let mut rows = statement.scan(Each(none)).map_err(engine)?;
        let mut values: Vec<Value> = Vec::new();
        let write = |values: &mut Vec<Value>| {
            let there: Vec<ValueRef<'_>> = values.iter().map(ValueRef::from).collect();
            let rows = there.len() / columns.len();
            let done = other.run(|db| db.insert_set(table, &columns, "", &there));
            values.clear();
            done.map(|()| rows as u64)
        };
        while let Some(row) = rows.next().map_err(engine)? {
            if table == "meta" && row.text_at(0).is_ok_and(|key| OF_A_SERVER.contains(&key)) {
                continue;
            }
            for place in 0..columns.len() {
                values.push(row.at(place).map_err(engine)?);
            }
            if values.len() >= ROWS_AT_A_TIME * columns.len() {
                copied(write(&mut values)?);
            }
        }
        if !values.is_empty() {
            copied(write(&mut values)?);
        }
        Ok(())
    }
}
