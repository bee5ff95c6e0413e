//! The settings of a connection, and what a database tells of itself.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use crate::zone::DigestKey;

/// A log that has grown to this is moved into the database by the commit that filled it. Measured in docs/design.md,
/// "The write-ahead log".
pub(in crate::store) const WAL_OCTETS_WANTED: u64 = 16 << 20;

/// A log that one version made longer than this is cut back when it is begun anew.
pub(in crate::store) const WAL_OCTETS_MAX: u64 = 64 << 20;

/// The writer's page cache, in KiB.
const CACHE_KIB: i64 = 64 << 10;

/// Octets of a page, as a new database has them.
const PAGE_OCTETS: u64 = 4096;

/// How long a desk command waits for the poller's transaction.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes a copy of a database to a file that is empty or not there.
pub(in crate::store) fn copy_into(connection: &Connection, to: &Path) -> rusqlite::Result<()> {
    // SQLite takes the copy for something that is written.
    let is_held: bool = connection.query_row("pragma query_only", [], |row| row.get(0))?;
    connection.execute_batch("pragma query_only = off")?;
    let copied = connection.execute("vacuum into ?", [to.to_string_lossy()]);
    if is_held {
        connection.execute_batch("pragma query_only = on")?;
    }
    copied.map(|_| ())
}

/// Applies the settings of docs/design.md, "Store".
pub(in crate::store) fn configure(connection: &Connection) -> rusqlite::Result<()> {
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
pub(in crate::store) fn configure_connection(connection: &Connection) -> rusqlite::Result<()> {
    // Without it, every use of a cached join is prepared anew (measured: 24 us instead of 3.8 us).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_prepared_statement_cache_capacity(64);
    rusqlite::vtab::array::load_module(connection)?;
    connection.execute_batch(&format!(
        "pragma cache_size = -{CACHE_KIB}; pragma mmap_size = 0;"
    ))
}

/// Reads the database's id and digest key, or makes them of SQLite's random octets.
pub(in crate::store) fn load_secrets(
    connection: &Connection,
) -> rusqlite::Result<([u8; 16], DigestKey)> {
    let read = || {
        let sql = "select (select value from meta where key = 'database_id'), (select value from meta where key = 'digest_key')";
        connection.query_row(sql, [], |row| {
            let values: (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            Ok(values.0.zip(values.1))
        })
    };
    let (database_id, key) = match read()? {
        Some(known) => known,
        None => {
            let sql = "insert or ignore into meta (key, value) values ('database_id', randomblob(16)), ('digest_key', randomblob(32))";
            connection.execute(sql, params![])?;
            read()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?
        }
    };
    let fit = |_| rusqlite::Error::InvalidQuery;
    let database_id: [u8; 16] = database_id.try_into().map_err(fit)?;
    let key: [u8; 32] = key.try_into().map_err(fit)?;
    Ok((database_id, DigestKey::new(key)))
}
