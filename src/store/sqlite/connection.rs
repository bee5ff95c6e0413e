//! The settings of a connection, and what a database tells of itself.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::error::StoreError;
use crate::store::sqlite::db::Db;
use crate::store::value::Fault;

/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL when a checkpoint and a writer race
/// (sqlite.org/wal.html, section 11).
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// A log that has grown to this is moved into the database by the commit that filled it. Measured in docs/developers/decisions.md,
/// "The write-ahead log".
pub(in crate::store) const WAL_OCTETS_WANTED: u64 = 16 << 20;

/// A log that one version made longer than this is cut back when it is begun anew.
pub(in crate::store) const WAL_OCTETS_MAX: u64 = 64 << 20;

/// The writer's page cache, in KiB.
const CACHE_KIB: i64 = 64 << 10;

/// How many statements are kept prepared, at some 10 KiB each. A pass that ingests, judges and tells uses about 150: with
/// fewer kept, each of them is prepared anew whenever it is its turn.
const STATEMENTS_KEPT: usize = 256;

/// Octets of a page, as a new database has them.
const PAGE_OCTETS: u64 = 4096;

/// How long a desk command waits for the poller's transaction.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Checks that the library does not damage databases.
pub(in crate::store) fn check_library() -> Result<(), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::OldSqlite(rusqlite::version().to_owned()));
    }
    Ok(())
}

/// Writes a copy of a database to a file that is empty or not there.
pub(in crate::store) fn copy_into(db: &Db, to: &Path) -> Result<(), Fault> {
    // SQLite takes the copy for something that is written.
    let is_held: bool = db.value("pragma query_only")?;
    db.run("pragma query_only = off")?;
    let copied = db
        .connection()
        .execute("vacuum into ?", [to.to_string_lossy().as_ref()]);
    if is_held {
        db.run("pragma query_only = on")?;
    }
    Ok(copied.map(|_| ())?)
}

/// Applies the settings of docs/developers/decisions.md, "Store".
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    configure_connection(connection)?;
    let version: i32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
    if version == 0 {
        // Of the file, before its first table.
        connection.execute_batch(&format!(
            "pragma page_size = {PAGE_OCTETS}; pragma auto_vacuum = incremental;"
        ))?;
    }
    let mode: String = connection.query_row("pragma journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        // A new file, or a copy that `vacuum into` made, which has no log: its readers would wait for the writer.
        connection.query_row("pragma journal_mode = wal", [], |_| Ok(()))?;
    }
    let wal_pages = WAL_OCTETS_WANTED / PAGE_OCTETS;
    connection.execute_batch(&format!(
        "pragma synchronous = full; pragma wal_autocheckpoint = {wal_pages}; pragma journal_size_limit = {WAL_OCTETS_MAX};
         pragma foreign_keys = on;"
    ))
}

/// Applies the settings of every connection, also of one that only reads.
pub(super) fn configure_connection(connection: &Connection) -> rusqlite::Result<()> {
    // Without it, every use of a cached join is prepared anew (measured: 24 us instead of 3.8 us).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A schema that somebody else wrote into the file must not be able to damage it, nor run functions.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    rusqlite::vtab::array::load_module(connection)?;
    connection.execute_batch(&format!(
        "pragma cache_size = -{CACHE_KIB}; pragma mmap_size = 0;"
    ))
}
