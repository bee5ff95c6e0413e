//! The pages of the file: whether they are sound, what is in them, which are free.

use crate::store::sqlite::db::Db;
use crate::store::value::Fault;

/// The most faults that are told of at a time.
const FAULTS_MAX: u32 = 100;

/// How many pages are in the file, and how many octets a page has.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Pages {
    pub all: i64,
    pub free: i64,
    pub octets_each: i64,
}

/// A table or an index.
pub(in crate::store) struct Tree {
    pub name: String,
    pub octets: i64,
    pub is_table: bool,
}

/// Counts the pages.
pub(in crate::store) fn count_pages(db: &Db) -> Result<Pages, Fault> {
    Ok(Pages {
        all: db.value("pragma page_count", ())?,
        free: count_free(db)?,
        octets_each: db.value("pragma page_size", ())?,
    })
}

/// Sets how many KiB of pages a connection keeps in memory.
pub(in crate::store) fn limit_cache(db: &Db, kib: u32) -> Result<(), Fault> {
    db.execute(&format!("pragma cache_size = -{kib}"), ())
        .map(|_| ())
}

/// Counts the pages that hold nothing.
pub(in crate::store) fn count_free(db: &Db) -> Result<i64, Fault> {
    db.value("pragma freelist_count", ())
}

/// Gives so many free pages back to the file system.
pub(in crate::store) fn give_back(db: &Db, pages: i64) -> Result<(), Fault> {
    let mut statement = db.prepare(&format!("pragma incremental_vacuum({pages})"))?;
    let mut rows = statement.rows(())?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Has SQLite check its structures. Returns what is wrong, in its words.
pub(in crate::store) fn check_pages(db: &Db) -> Result<Vec<String>, Fault> {
    let sql = format!("pragma integrity_check({FAULTS_MAX})");
    let mut lines: Vec<String> = db.values(&sql, ())?;
    lines.retain(|line| line != "ok");
    Ok(lines)
}

/// Returns the tables with rows that refer to one that is not there, and the tables that it should be in.
pub(in crate::store) fn broken_references(db: &Db) -> Result<Vec<(String, String)>, Fault> {
    let sql = format!(
        "select \"table\" as of_table, parent from pragma_foreign_key_check limit {FAULTS_MAX}"
    );
    db.query(&sql, (), |row| {
        Ok((row.get("of_table")?, row.get("parent")?))
    })
}

/// Returns every table and index with its octets, the largest first. Reads every page.
pub(in crate::store) fn measure_trees(db: &Db) -> Result<Vec<Tree>, Fault> {
    let sql = "select d.name, d.pgsize, s.type = 'table' as is_table
                 from dbstat d join sqlite_schema s on s.name = d.name
                where d.aggregate = true
                order by d.pgsize desc";
    db.query(sql, (), |row| {
        Ok(Tree {
            name: row.get("name")?,
            octets: row.get("pgsize")?,
            is_table: row.get("is_table")?,
        })
    })
}
