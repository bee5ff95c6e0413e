//! Opens the database: settings, transactions.

use std::cell::{Cell, RefCell};
use std::path::Path;

use crate::file;
use crate::place::{ServerUrl, StoreUrl};
use crate::store::door::{Db, Fault};
use crate::store::error::StoreError;
use crate::store::handle::{FileSide, Opened, Store, StoreOptions, cache_id};
use crate::store::ledger::Ledger;
use crate::store::lookup::Lookup;
use crate::store::migrations::SCHEMA;
use crate::store::postgres::schema::{Found, SECRETS};
use crate::store::sqlite::connection::{check_library, copy_into};
use crate::store::sqlite::dialect::DRAW_SECRETS;
use crate::store::sqlite::file::{FileId, PRIVATE, follow_link};
use crate::store::sqlite::lock::has_more_names;
use crate::store::sqlite::log::{Growth, Log};
use crate::store::sqlite::migrate::{
    APPLICATION_ID, check_schema, has_index, open_to_write, schema_version, set_reverse_index,
};
use crate::store::sqlite::reading::{Way, check_writable, open_to_read};
use crate::store::trees::LAST_REVERSE_INDEX;
use crate::store::zones::Zones;
use crate::store::{postgres, sqlite};
use crate::zone::DigestKey;

impl Store {
    /// SQLite's `application_id` of a database of this program: `flux`.
    pub const APPLICATION_ID: i32 = APPLICATION_ID;

    /// Opens the database, makes it (a file with mode 0600) or migrates it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a database that is newer or not ours is left exactly as it is.
    pub fn open(at: impl Into<StoreUrl>, options: StoreOptions) -> Result<Self, StoreError> {
        let store = match at.into() {
            StoreUrl::File(path) => Self::open_file(&path, options)?,
            StoreUrl::Server(server) => Self::open_server(&server, options)?,
        };
        let sql = "select exists (select 1 from meta where key = 'chain_pending')";
        // A migration marks what it cannot compute: the chains are begun by code that a later version may change.
        if store.run(|db| db.value(sql, ()))? {
            store.ledger().begin_chains()?;
        }
        if options.create && store.file.is_none() {
            let tx = store.begin_batch()?;
            store.note_life()?;
            tx.commit()?;
        }
        if options.create {
            // A new version of the program may bring another list of public suffixes.
            store.ledger().follow_suffixes()?;
        }
        Ok(store)
    }

    /// Opens a file, makes it or migrates it.
    fn open_file(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        check_library()?;
        if FileId::of(path)?.is_none() {
            if !options.create {
                return Err(StoreError::Missing(path.to_owned()));
            }
            file::make(path, PRIVATE).map_err(|fault| StoreError::File {
                path: path.to_owned(),
                fault,
            })?;
        }
        let file = FileId::of(path)?.ok_or_else(|| StoreError::Missing(path.to_owned()))?;
        // SQLite puts the log beside the name that was opened: through two names, two logs of one file would damage
        // it.
        if has_more_names(path) {
            return Err(StoreError::MoreNames(path.to_owned()));
        }
        let (named, path) = (path, &*follow_link(path));
        check_writable(path)?;
        let db = open_to_write(path)?;
        if options.create {
            // A command that only looks works with the index that the poller keeps.
            set_reverse_index(&db, options.reverse_index).map_err(|fault| StoreError::Engine {
                path: path.to_owned(),
                fault,
            })?;
        }
        Self::finish_file(db, path, named, file)
    }

    /// Opens a server's database, makes its tables or migrates them.
    fn open_server(server: &ServerUrl, options: StoreOptions) -> Result<Self, StoreError> {
        let engine = |fault| of_server(server, fault);
        let db = postgres::db::Db::open(server).map_err(engine)?;
        match check_server(&db, server)? {
            Found::Nothing if !options.create => {
                return Err(StoreError::Missing(server.to_string().into()));
            }
            Found::Schema(SCHEMA) => {}
            _ => db.migrate().map_err(engine)?,
        }
        if options.create {
            db.lay_out().map_err(engine)?;
            db.set_reverse_index(options.reverse_index)
                .map_err(engine)?;
        }
        Self::finish_server(db, server)
    }

    /// Opens the database to read only. What the poller commits is seen.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; also for a database that is yet to be migrated.
    pub fn open_read_only(at: impl Into<StoreUrl>) -> Result<Self, StoreError> {
        match at.into() {
            StoreUrl::File(path) => Self::open_file_to_read(&path),
            StoreUrl::Server(server) => Self::open_server_to_read(&server),
        }
    }

    /// Opens the database for lookups: where `read` says, or, if that cannot be used now, where it is written. A standby
    /// that is far behind is not used: a lookup would miss what is known.
    ///
    /// # Errors
    ///
    /// As [`Store::open_read_only`].
    pub fn open_for_lookups(
        read: Option<&StoreUrl>,
        at: &StoreUrl,
    ) -> Result<(Self, Option<String>), StoreError> {
        let Some(read) = read else {
            return Ok((Self::open_read_only(at)?, None));
        };
        let why = match Self::open_read_only(read) {
            Ok(mut store) => {
                store.may_lag = true;
                match store.lag()? {
                    Some(how) => format!("{read} is {how}"),
                    None => return Ok((store, None)),
                }
            }
            Err(error) => error.to_string(),
        };
        let note = format!("store.read_url is not used now, and store.url is: {why}");
        Ok((Self::open_read_only(at)?, Some(note)))
    }

    /// Opens a server's database to read only.
    fn open_server_to_read(server: &ServerUrl) -> Result<Self, StoreError> {
        let engine = |fault| of_server(server, fault);
        let db = postgres::db::Db::open(server).map_err(engine)?;
        // A command asks one thing and ends: its statements are prepared together.
        db.prepare_ahead(&Lookup::texts_of_a_history());
        db.prepare_ahead(&[Zones::text_of_zones(), Ledger::text_of_hosts()]);
        db.begin_opening().map_err(engine)?;
        match check_server(&db, server)? {
            Found::Schema(SCHEMA) => {}
            Found::Schema(found) => {
                return Err(StoreError::Older {
                    path: server.to_string().into(),
                    found,
                    known: SCHEMA,
                });
            }
            _ => return Err(StoreError::Missing(server.to_string().into())),
        }
        let mut store = Self::finish_server(db, server)?;
        store.is_reader = true;
        store.known_versions = Some(RefCell::default());
        if store.db.is_in_transaction() {
            store.run(Db::roll_back)?;
        }
        Ok(store)
    }

    /// Opens a file to read only.
    fn open_file_to_read(path: &Path) -> Result<Self, StoreError> {
        // Before it is opened: one that takes its place meanwhile must not be taken for it.
        let file = FileId::of(path)?.ok_or_else(|| StoreError::Missing(path.to_owned()))?;
        let (named, path) = (path, &*follow_link(path));
        let (mut db, way) = open_to_read(path)?;
        let version = check_schema(&db, path)?;
        if version < SCHEMA {
            return Err(StoreError::Older {
                path: path.to_owned(),
                found: version,
                known: SCHEMA,
            });
        }
        let growth = Growth::watch(&mut db, Log::of(file, path));
        let growth = growth.map_err(|fault| StoreError::Engine {
            path: path.to_owned(),
            fault,
        })?;
        let mut store = Self::finish_file(db, path, named, file)?;
        store.is_reader = true;
        store.known_versions = Some(RefCell::default());
        if let Some(side) = &mut store.file {
            side.growth = Some(growth);
            side.frozen = match way {
                Way::Frozen(stamp) => Some(stamp),
                Way::Shared | Way::Alone => None,
            };
        }
        // What was checked above is one state; from here on each lookup sees what is committed by then.
        store.run(Db::commit)?;
        Ok(store)
    }

    /// Returns the store over a file that is checked, migrated and configured.
    fn finish_file(
        db: sqlite::db::Db,
        path: &Path,
        named: &Path,
        file: FileId,
    ) -> Result<Self, StoreError> {
        let engine = |fault| StoreError::Engine {
            path: path.to_owned(),
            fault,
        };
        let schema = schema_version(&db).map_err(engine)?;
        let has_reverse_index = has_index(&db, LAST_REVERSE_INDEX).map_err(engine)?;
        let side = FileSide {
            named: named.to_owned(),
            log: Log::of(file, path),
            growth: None,
            opened: Opened { file, schema },
            frozen: None,
        };
        Self::finish_open(
            Db::Sqlite(db),
            [path, path],
            Some(side),
            has_reverse_index,
            DRAW_SECRETS,
        )
    }

    /// Returns the store over a server's database that is checked and migrated.
    fn finish_server(db: postgres::db::Db, server: &ServerUrl) -> Result<Self, StoreError> {
        let has_reverse_index = db
            .has_reverse_index()
            .map_err(|fault| of_server(server, fault))?;
        Self::finish_open(
            Db::Postgres(Box::new(db)),
            [Path::new(&server.to_string()), server.cache()],
            None,
            has_reverse_index,
            postgres::schema::DRAW_SECRETS,
        )
    }

    /// Returns the store over a database that is ready.
    fn finish_open(
        db: Db,
        [path, beside]: [&Path; 2],
        file: Option<FileSide>,
        has_reverse_index: bool,
        draw: &str,
    ) -> Result<Self, StoreError> {
        let (database_id, key) = load_secrets(&db, draw).map_err(|fault| StoreError::Engine {
            path: path.to_owned(),
            fault,
        })?;
        let cache_id = cache_id(&db, database_id);
        Ok(Self {
            db,
            path: path.to_owned(),
            beside: beside.to_owned(),
            file,
            key,
            database_id,
            cache_id: Cell::new(cache_id),
            has_reverse_index,
            host_rows: RefCell::default(),
            zones_at: RefCell::default(),
            additions: RefCell::default(),
            moments: RefCell::default(),
            seen: RefCell::default(),
            kept: RefCell::default(),
            traits: RefCell::default(),
            spans: RefCell::default(),
            owner_ids: RefCell::default(),
            judged: RefCell::default(),
            rows_read: Cell::new(0),
            host_names: RefCell::default(),
            known_versions: None,
            sessions_seen: Cell::new(1),
            is_reader: false,
            is_elsewhere: Cell::new(false),
            is_moved: Cell::new(false),
            may_lag: false,
            lag_looked_at: Cell::new(None),
            zones_before: RefCell::default(),
            is_grouped: Cell::new(false),
        })
    }

    /// Writes a copy of the database at `from` to `to`, which must not exist. Reads only.
    pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        let engine = |fault| StoreError::Engine {
            path: from.to_owned(),
            fault,
        };
        let from = &*follow_link(from);
        let (mut db, way) = open_to_read(from)?;
        check_schema(&db, from)?;
        db.commit().map_err(engine)?;
        let file = FileId::of(from)?.ok_or_else(|| StoreError::Missing(from.to_owned()))?;
        let growth = Growth::watch(&mut db, Log::of(file, from)).map_err(engine)?;
        let explain = |fault| growth.explain(&fault).unwrap_or_else(|| engine(fault));
        copy_into(&db, to).map_err(|fault| explain(fault).while_copied(to))?;
        match way {
            Way::Frozen(stamp) if !stamp.holds(from) => {
                Err(StoreError::WrittenMeanwhile(from.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a server's database that is not ours or from the future, before anything is written.
fn check_server(db: &postgres::db::Db, server: &ServerUrl) -> Result<Found, StoreError> {
    let found = db.find_schema().map_err(|fault| of_server(server, fault))?;
    match found {
        Found::Foreign => Err(StoreError::Foreign {
            path: server.to_string().into(),
        }),
        Found::Schema(found) if found > SCHEMA => Err(StoreError::Newer {
            path: server.to_string().into(),
            found,
            known: SCHEMA,
        }),
        found => Ok(found),
    }
}

/// Gives a fault the name of the server.
fn of_server(server: &ServerUrl, fault: Fault) -> StoreError {
    StoreError::Engine {
        path: server.to_string().into(),
        fault,
    }
}

/// Reads the database's id and digest key, or makes them of the engine's random octets, which a statement draws.
fn load_secrets(db: &Db, draw: &str) -> Result<([u8; 16], DigestKey), Fault> {
    let read = || {
        db.query_one(SECRETS, (), |row| {
            let database_id: Option<[u8; 16]> = row.get("database_id")?;
            let digest_key: Option<[u8; 32]> = row.get("digest_key")?;
            Ok(database_id.zip(digest_key))
        })
    };
    let (database_id, key) = match read()? {
        Some(known) => known,
        None => {
            if let Db::Postgres(db) = db
                && db.asks_ahead()
            {
                // What was read to open it; the rest is written.
                db.roll_back()?;
            }
            let (id, key): (Vec<u8>, Vec<u8>) =
                db.query_one(draw, (), |row| Ok((row.get("id")?, row.get("key")?)))?;
            // Another process may make them at the same moment: the first one's count, and both read them again.
            let sql = "insert into meta (key, value) values ('database_id', ?), ('digest_key', ?)
                       on conflict (key) do nothing";
            db.execute(sql, [id, key])?;
            read()?.ok_or_else(Fault::no_row)?
        }
    };
    Ok((database_id, DigestKey::new(key)))
}
