//! The schema: its migrations, whether a file has it, and the indexes that are there as configured.

use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use crate::store::error::StoreError;
use crate::store::frozen::{Part, SharedPacker};
use crate::store::migrations::{BEFORE, PACKS_SHARED, SCHEMA, SHARED};
use crate::store::sqlite::connection::configure;
use crate::store::sqlite::db::Db;
use crate::store::sqlite::frozen::{ChangeCounts, begin_operators, begin_popularity, pack};
use crate::store::sqlite::lock::keep_open;
use crate::store::sqlite::turn;
use crate::store::trees::{LAST_REVERSE_INDEX, REVERSE_INDEXES};
use crate::store::value::Fault;

/// The migrations of a file alone, in order; those of both engines follow. The database's `user_version` is how many have
/// run.
const OWN: [Migration; BEFORE as usize] = [
    Migration::sql(include_str!("migrations/0001_history.sql")),
    Migration::sql(include_str!("migrations/0002_arrivals.sql")),
    Migration {
        sql: include_str!("migrations/0003_years.sql"),
        finish: pack_changes,
    },
    Migration::sql(include_str!("migrations/0004_findings.sql")),
    Migration::sql(include_str!("migrations/0005_desk.sql")),
    Migration {
        sql: include_str!("migrations/0006_popularity.sql"),
        finish: begin_operators,
    },
    Migration {
        sql: include_str!("migrations/0007_cuts.sql"),
        finish: begin_popularity,
    },
    Migration::sql(include_str!("migrations/0008_seen.sql")),
    Migration::sql(include_str!("migrations/0009_drift.sql")),
    Migration::sql(include_str!("migrations/0010_mail.sql")),
    Migration::sql(include_str!("migrations/0011_lanes.sql")),
    Migration::sql(include_str!("migrations/0012_console.sql")),
    Migration::sql(include_str!("migrations/0013_audit.sql")),
];

/// A step from one schema to the next.
#[derive(Clone, Copy)]
struct Migration {
    /// What SQL can say.
    sql: &'static str,
    /// What it cannot; runs after it.
    finish: fn(&Connection) -> rusqlite::Result<()>,
}

impl Migration {
    /// A step that is SQL alone.
    const fn sql(sql: &'static str) -> Self {
        Self {
            sql,
            finish: |_| Ok(()),
        }
    }
}
/// Returns the step that leads on from a schema; `None` from the newest.
fn migration_after(schema: i32) -> Option<Migration> {
    let own = usize::try_from(schema).ok()?;
    if let Some(migration) = OWN.get(own) {
        return Some(*migration);
    }
    let sql = SHARED.get(own - OWN.len())?;
    let finish = match schema + 1 {
        PACKS_SHARED => pack_shared,
        _ => |_: &Connection| Ok(()),
    };
    Some(Migration { sql, finish })
}

/// Marks the file as ours: "flux" in ASCII.
pub(in crate::store) const APPLICATION_ID: i32 = 0x666c_7578;
/// Octets of a database's header and of the count of rows on its first page.
const HEADER_OCTETS: usize = 105;
/// Refuses a database that is not ours or from the future, before anything is written. Returns its
/// schema.
pub(in crate::store) fn check_schema(db: &Db, path: &Path) -> Result<i32, StoreError> {
    let read = |pragma: &str| {
        db.value::<i32>(pragma).map_err(|fault| StoreError::Engine {
            path: path.to_owned(),
            fault,
        })
    };
    let (version, application) = (read("pragma user_version")?, read("pragma application_id")?);
    // A file without tables is nobody's yet.
    if application != APPLICATION_ID && read("select count(*) from sqlite_schema")? > 0 {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    if version > SCHEMA {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: version,
            known: SCHEMA,
        });
    }
    Ok(version)
}

/// Opens a database to write, settles and migrates it.
pub(in crate::store) fn open_to_write(path: &Path) -> Result<Db, StoreError> {
    let engine = |fault: rusqlite::Error| StoreError::Engine {
        path: path.to_owned(),
        fault: fault.into(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(engine)?;
    turn::wait_for_writers(&mut connection).map_err(engine)?;
    let db = Db::new(connection);
    check_schema(&db, path)?;
    configure(db.connection()).map_err(engine)?;
    migrate(db.connection()).map_err(engine)?;
    Ok(db)
}

/// Returns what makes an ordinary file no database of ours, in words that follow its path; `None` if it is one, is
/// empty, or cannot be read. Nothing is opened as a database: only the first page's header is read, and what is opened
/// for that is never closed, since this process may have the database open.
pub fn foreign_file(path: &Path) -> Option<&'static str> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut header = vec![0; HEADER_OCTETS];
    let length = keep_open(path).ok()?.read_at(&mut header, 0).ok()?;
    header.truncate(length);
    // sqlite.org/fileformat2.html, sections 1.3 and 1.6: the magic, the application's number at 68, and the
    // count of rows on the first page, which are the tables, at 103.
    let is_database = header.starts_with(b"SQLite format 3\0") && header.len() == HEADER_OCTETS;
    match is_database {
        _ if header.is_empty() => None,
        false => Some("is no SQLite database"),
        true if header[68..72] == APPLICATION_ID.to_be_bytes() => None,
        true if header[103..105] == [0, 0] => None,
        true => Some("is a SQLite database, but not fluxwatch's"),
    }
}

/// Runs the migrations that are missing, each in one transaction, and leaves foreign keys enforced.
fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    // A table that others refer to can only be made anew while nobody enforces that (sqlite.org,
    // "ALTER TABLE", section 7); each migration is checked before it is committed.
    connection.execute_batch("pragma foreign_keys = off")?;
    let result = run_migrations(connection);
    connection.execute_batch("pragma foreign_keys = on")?;
    result
}

/// Runs the migrations that are missing.
fn run_migrations(connection: &Connection) -> rusqlite::Result<()> {
    loop {
        let version: i32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
        if version >= SCHEMA {
            return Ok(());
        }
        connection.execute_batch("begin immediate")?;
        // Read inside the transaction: another process may have migrated meanwhile.
        let version: i32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
        let Some(migration) = migration_after(version) else {
            return connection.execute_batch("commit");
        };
        let step = || {
            connection.execute_batch(migration.sql)?;
            (migration.finish)(connection)?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            connection.pragma_update(None, "user_version", version + 1)?;
            let broken: i64 = connection.query_row(
                "select count(*) from pragma_foreign_key_check",
                [],
                |row| row.get(0),
            )?;
            if broken > 0 {
                let code = rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;
                let what = format!(
                    "migration {} would leave {broken} broken references",
                    version + 1
                );
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(code),
                    Some(what),
                ));
            }
            connection.execute_batch("commit")
        };
        if let Err(fault) = step() {
            let _ = connection.execute_batch("rollback");
            return Err(fault);
        }
    }
}

/// Packs the rows of schema 2 that say which owners a version changed.
fn pack_changes(connection: &Connection) -> rusqlite::Result<()> {
    let mut rows_of = connection.prepare(
        "select version_id, owner_id, ns_added, ns_removed, address_added, address_removed, other_changed from old_change order by version_id, owner_id",
    )?;
    let mut insert = connection.prepare("insert into change (version_id, octets) values (?, ?)")?;
    let mut rows = rows_of.query([])?;
    let mut owners: Vec<(i64, ChangeCounts)> = Vec::new();
    let mut last = None;
    let mut close = |version: Option<i64>, owners: &mut Vec<(i64, ChangeCounts)>| {
        let octets = pack(owners.iter().map(|(owner_id, counts)| (*owner_id, counts)));
        owners.clear();
        match version {
            Some(version) => insert.execute(params![version, octets]).map(|_| ()),
            None => Ok(()),
        }
    };
    while let Some(row) = rows.next()? {
        let version = Some(row.get::<_, i64>(0)?);
        if version != last {
            close(last, &mut owners)?;
            last = version;
        }
        let counts = ChangeCounts {
            ns: [row.get(2)?, row.get(3)?],
            address: [row.get(4)?, row.get(5)?],
            other: row.get(6)?,
        };
        owners.push((row.get(1)?, counts));
    }
    close(last, &mut owners)?;
    drop(rows);
    connection.execute_batch("drop table old_change")
}

/// Packs the rows of schema 15 that say which owners moved alike in a version.
fn pack_shared(connection: &Connection) -> rusqlite::Result<()> {
    let mut rows_of = connection.prepare(
        "select version_id, owner_id, shared_count from old_shared_change order by version_id, owner_id",
    )?;
    let mut insert = connection
        .prepare("insert into shared_change (version_id, owner_id, octets) values (?, ?, ?)")?;
    let mut write = |part: Option<Part>| match part {
        Some((version_id, first, octets)) => insert.execute(params![version_id, first, octets]),
        None => Ok(0),
    };
    let mut packer = SharedPacker::default();
    let mut rows = rows_of.query([])?;
    while let Some(row) = rows.next()? {
        write(packer.take([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    }
    write(packer.end())?;
    drop(rows);
    connection.execute_batch("drop table old_shared_change")
}

/// Makes or drops the index from RDATA to owners, as configured.
pub(in crate::store) fn set_reverse_index(db: &Db, wanted: bool) -> Result<(), Fault> {
    let there = has_index(db, LAST_REVERSE_INDEX)?;
    match (wanted, there) {
        (true, false) => {
            let all = REVERSE_INDEXES.map(|(name, table, rrtype)| {
                format!(
                    "create index if not exists {name} on {table} (rdata) where rrtype = {rrtype};"
                )
            });
            db.run(&format!("begin immediate; {} commit", all.concat()))
        }
        (false, true) => {
            let all = REVERSE_INDEXES.map(|(name, ..)| format!("drop index if exists {name};"));
            db.run(&format!("begin immediate; {} commit", all.concat()))
        }
        _ => Ok(()),
    }
}

/// Returns SQLite's count of changes of the schema.
pub(in crate::store) fn schema_version(db: &Db) -> Result<i64, Fault> {
    db.value("pragma schema_version")
}

/// Returns whether there is an index of this name.
pub(in crate::store) fn has_index(db: &Db, name: &str) -> Result<bool, Fault> {
    let sql = "select exists (select 1 from sqlite_schema where type = 'index' and name = ?)";
    let found = db.connection().query_row(sql, [name], |row| row.get(0));
    Ok(found?)
}

#[cfg(test)]
mod tests {
    use crate::dns::Name;
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::lookup::question::HistoryScope;
    use crate::time::Timestamp;

    use super::*;

    /// Rows of a database of schema 1.
    const SCHEMA_1: &str = include_str!("../../../tests/fixtures/migrations/0001.sql");
    /// Rows of a database of schema 8.
    const SCHEMA_8: &str = include_str!("../../../tests/fixtures/migrations/0008.sql");
    const LOOKING: StoreOptions = StoreOptions {
        reverse_index: true,
        create: false,
    };

    /// Makes a database as the first release left it.
    fn database_of_schema_1(path: &Path) {
        let connection = Connection::open(path).expect("a database can be made");
        connection
            .execute_batch(OWN[0].sql)
            .expect("the first schema");
        connection.execute_batch(SCHEMA_1).expect("its rows");
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .expect("set");
        connection
            .pragma_update(None, "user_version", 1)
            .expect("set");
    }

    /// Returns the connection of a store.
    fn connection_of(store: &Store) -> &Connection {
        store.sqlite("a test").expect("a file").connection()
    }

    #[test]
    fn filled_database_of_schema_8_knows_of_no_drift_and_compares_by_its_last_success() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        database_of_schema_1(&path);
        let connection = Connection::open(&path).expect("opened");
        connection
            .execute_batch("pragma foreign_keys = off")
            .expect("set");
        for (version, migration) in (2..=8).zip(&OWN[1..8]) {
            connection
                .execute_batch(migration.sql)
                .expect("the next schema");
            (migration.finish)(&connection).expect("finished");
            connection
                .pragma_update(None, "user_version", version)
                .expect("set");
        }
        connection
            .execute(
                "update zone
                    set last_success_at = 1790000300, refused_reason = 'left-catalog', last_error = 'not listed'
                  where name = 'example.'",
                [],
            )
            .expect("written");
        drop(connection);
        let store = Store::open(&path, LOOKING).expect("migrated");
        let apex = Name::parse("example").expect("valid");
        let zone = store
            .zones()
            .find_zone(&apex)
            .expect("readable")
            .expect("there");
        assert_eq!(
            (zone.whole_at, zone.whole_tried_at),
            (Some(Timestamp::from_unix(1_790_000_300)), None)
        );
        let rows = store.zones().status().expect("readable");
        assert!(
            rows.iter()
                .all(|row| row.fidelity == crate::store::Fidelity::default())
        );
        // That nobody watches it has a column of its own since.
        let row = rows.iter().find(|row| row.zone.as_ref() == Some(&apex));
        let row = row.expect("there");
        assert_eq!(row.refused_reason.as_deref(), Some("left-catalog"));
        let above = store.zones().zones_enclosing(&apex).expect("readable");
        assert_eq!(above[0].ended_at, zone.whole_at);
        let name = Name::parse("bad.example").expect("valid");
        let history = store
            .lookup()
            .history(&name, HistoryScope::Name)
            .expect("readable");
        assert!(
            history
                .changes
                .iter()
                .all(|it| !it.drift && it.missed.is_none())
        );
        assert_eq!(
            store.upkeep().verify(|_| {}).expect("readable").faults,
            Vec::<String>::new()
        );
    }

    #[test]
    fn messages_of_schema_8_keep_what_became_of_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        let connection = Connection::open(&path).expect("a database can be made");
        for migration in &OWN[..8] {
            connection.execute_batch(migration.sql).expect("its SQL");
            (migration.finish)(&connection).expect("the rest of it");
        }
        connection.execute_batch(SCHEMA_8).expect("its rows");
        for (pragma, value) in [("application_id", APPLICATION_ID), ("user_version", 8)] {
            connection.pragma_update(None, pragma, value).expect("set");
        }
        drop(connection);
        let store = Store::open(&path, LOOKING).expect("migrated");
        let rows = store.desk().messages(false).expect("readable");
        let standings: Vec<_> = rows.iter().map(|row| row.standing()).collect();
        assert_eq!(standings, ["bounced", "sent"]);
    }

    #[test]
    fn lines_of_schema_1_say_when_they_were_written_where_that_is_known() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        database_of_schema_1(&path);
        let connection = Connection::open(&path).expect("opened");
        for (id, actor, note) in [
            (1001, "fluxwatch", "opened: ns-flux, level review"),
            (1002, "fluxwatch", "report queued to a@abuse.test"),
            (1003, "ada", "opened: by hand"),
        ] {
            let sql = "insert into case_event (id, case_id, at, actor, to_state, note)
                       select ?1, min(id), 1790000000, ?2, 'open', ?3 from abuse_case";
            let written = connection.execute(sql, params![id, actor, note]);
            written.expect("written");
        }
        drop(connection);
        let store = Store::open(&path, LOOKING).expect("migrated");
        let events = store.desk().case_events_after(1000, 9).expect("readable");
        let written: Vec<_> = events.iter().map(|(.., it)| it.written_at).collect();
        let at = Some(Timestamp::from_unix(1_790_000_000));
        assert_eq!(written, [None, at, at]);
    }

    #[test]
    #[allow(
        clippy::too_many_lines,
        reason = "each fact of one database is asserted in turn"
    )]
    fn filled_database_of_schema_1_is_migrated_and_loses_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        database_of_schema_1(&path);
        let count = |connection: &Connection, table: &str| -> i64 {
            let sql = format!("select count(*) from {table}");
            connection
                .query_row(&sql, [], |row| row.get(0))
                .expect(table)
        };
        let tables = [
            "meta",
            "source",
            "zone",
            "version",
            "owner",
            "host",
            "record",
            "past_record",
            "registration",
            "rejected_line",
            "source_file",
            "abuse_case",
            "case_event",
            "message",
        ];
        let mut before: Vec<i64> = {
            let connection = Connection::open(&path).expect("opened");
            tables
                .iter()
                .map(|table| count(&connection, table))
                .collect()
        };
        let store = Store::open(&path, LOOKING).expect("migrated");
        // The program that told the operators, and their rows.
        before[0] += 1;
        before[5] += 1;
        let after: Vec<i64> = tables
            .iter()
            .map(|table| count(connection_of(&store), table))
            .collect();
        assert_eq!(before, after);
        assert_eq!(count(connection_of(&store), "pragma_foreign_key_check"), 0);
        // What the first release's rows say is what the packed ones say, and the chain begins with it.
        let found = store.upkeep().verify(|_| {}).expect("readable");
        assert_eq!(found.faults, Vec::<String>::new());
        assert_eq!(count(connection_of(&store), "change"), 1);
        assert_eq!(count(connection_of(&store), "chain"), 1);
        let enforced: i64 = store
            .sqlite("a test")
            .expect("a file")
            .connection()
            .query_row("pragma foreign_keys", [], |row| row.get(0))
            .expect("a pragma");
        assert_eq!(enforced, 1);
        let name = Name::parse("bad.example").expect("valid");
        let history = store
            .lookup()
            .history(&name, HistoryScope::Name)
            .expect("readable");
        assert_eq!((history.records.len(), history.changes.len()), (2, 1));
        let rows = store.zones().status().expect("readable");
        let row = rows
            .iter()
            .find(|row| row.source == "tld")
            .expect("the source");
        assert_eq!(
            (row.versions, row.changes),
            (2, 1),
            "counted from what is there"
        );
        // The next success ends the gap that the old program left open.
        let apex = Name::parse("example").expect("valid");
        store
            .zones()
            .record_zones_seen(
                std::slice::from_ref(&apex),
                Timestamp::from_unix(1_790_000_400),
            )
            .expect("written");
        let zone = store
            .zones()
            .find_zone(&apex)
            .expect("readable")
            .expect("there");
        assert_eq!(
            store.zones().gaps(zone.id).expect("readable")[0].reason,
            "timeout"
        );
        let feed = store
            .zones()
            .feed_position(crate::store::SourceId(2))
            .expect("readable");
        assert_eq!((feed.offset, feed.file), (7, None));
        // A feed that adds to a version from before the chain does not make the chain look edited.
        let zone = store
            .zones()
            .find_zone(&apex)
            .expect("readable")
            .expect("there");
        let draft = crate::store::VersionDraft {
            source: zone.source,
            kind: crate::store::VersionKind::Feed,
            serial: zone.serial,
            observed_at: zone.version_at.expect("there are versions"),
            joins: zone.version_id,
            drift: false,
        };
        let mut tx = store.ledger().begin(&zone, draft).expect("begun");
        let record = crate::dns::Record {
            rdata: crate::dns::Rdata::A([192, 0, 2, 77].into()),
            ttl: 60,
        };
        let change = crate::zone::OwnerChange {
            added: vec![record],
            ..crate::zone::OwnerChange::default()
        };
        tx.apply_changes(vec![crate::store::SourceChange {
            owner: name.clone(),
            change,
            baseline: false,
        }])
        .expect("applied");
        tx.commit(false).expect("committed");
        let found = store.upkeep().verify(|_| {}).expect("readable");
        assert_eq!(found.faults, Vec::<String>::new());
        // A line of a log can be told from one that a restored copy gives the same number.
        let uid: String = store
            .sqlite("a test")
            .expect("a file")
            .connection()
            .query_row("select uid from case_event", [], |row| row.get(0))
            .expect("the line");
        assert_eq!(uid.len(), 16);
        // A second opening changes nothing.
        drop(store);
        Store::open(&path, LOOKING).expect("opened again");
    }
}
