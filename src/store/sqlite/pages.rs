//! The pages of the file: whether they are sound, what is in them, which are free.

use crate::store::sqlite::db::Db;
use crate::store::trees::{Pages, Tree};
use crate::store::value::Fault;

/// The most faults that are told of at a time.
const FAULTS_MAX: u32 = 100;

/// Counts the pages.
pub(in crate::store) fn count_pages(db: &Db) -> Result<Pages, Fault> {
    Ok(Pages {
        all: db.value("pragma page_count")?,
        free: count_free(db)?,
        octets_each: db.value("pragma page_size")?,
    })
}

/// Sets how many KiB of pages a connection keeps in memory.
pub(in crate::store) fn limit_cache(db: &Db, kib: u32) -> Result<(), Fault> {
    db.run(&format!("pragma cache_size = -{kib}"))
}

/// Counts the pages that hold nothing.
pub(in crate::store) fn count_free(db: &Db) -> Result<i64, Fault> {
    db.value("pragma freelist_count")
}

/// Gives so many free pages back to the file system.
pub(in crate::store) fn give_back(db: &Db, pages: i64) -> Result<(), Fault> {
    let sql = format!("pragma incremental_vacuum({pages})");
    let _: Vec<()> = read(db, &sql, |_| Ok(()))?;
    Ok(())
}

/// Has SQLite check its structures. Returns what is wrong, in its words.
pub(in crate::store) fn check_pages(db: &Db) -> Result<Vec<String>, Fault> {
    let sql = format!("pragma integrity_check({FAULTS_MAX})");
    let mut lines: Vec<String> = read(db, &sql, |row| row.get(0))?;
    lines.retain(|line| line != "ok");
    Ok(lines)
}

/// Returns the tables with rows that refer to one that is not there, and the tables that it should be in.
pub(in crate::store) fn broken_references(db: &Db) -> Result<Vec<(String, String)>, Fault> {
    let sql = format!(
        "select \"table\" as of_table, parent from pragma_foreign_key_check limit {FAULTS_MAX}"
    );
    read(db, &sql, |row| {
        Ok((row.get("of_table")?, row.get("parent")?))
    })
}

/// Returns every table and index with its octets, the largest first. Reads every page.
pub(in crate::store) fn measure_trees(db: &Db) -> Result<Vec<Tree>, Fault> {
    let sql = "select d.name, d.pgsize, s.type = 'table' as is_table
                 from dbstat d join sqlite_schema s on s.name = d.name
                where d.aggregate = true
                order by d.pgsize desc";
    read(db, sql, |row| {
        Ok(Tree {
            name: row.get("name")?,
            octets: row.get("pgsize")?,
            is_table: row.get("is_table")?,
        })
    })
}

/// Returns every row of a statement.
fn read<T>(
    db: &Db,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = db.connection().prepare_cached(sql)?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
