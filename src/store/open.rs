//! Opens the database: settings, transactions.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

use crate::store::door::Db;
use crate::store::error::StoreError;
use crate::store::handle::{Opened, Store, StoreOptions};
use crate::store::sqlite::connection::{check_library, copy_into, load_secrets};
use crate::store::sqlite::file::{FileId, create_private, follow_link, give_to_owner_of_folder};
use crate::store::sqlite::lock::has_more_names;
use crate::store::sqlite::log::{Growth, Log};
use crate::store::sqlite::migrate::{
    APPLICATION_ID, LAST_REVERSE_INDEX, SCHEMA, check_schema, has_index, open_to_write,
    schema_version, set_reverse_index,
};
use crate::store::sqlite::reading::{Way, check_writable, open_to_read};

impl Store {
    /// SQLite's `application_id` of a database of this program: `flux`.
    pub const APPLICATION_ID: i32 = APPLICATION_ID;

    /// Opens the database at `path`, makes it (mode 0600) or migrates it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a database that is newer or not ours is left exactly as it is.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        check_library()?;
        if FileId::of(path)?.is_none() {
            if !options.create {
                return Err(StoreError::Missing(path.to_owned()));
            }
            let made = create_private(path).map_err(|fault| StoreError::File {
                path: path.to_owned(),
                fault,
            })?;
            give_to_owner_of_folder(&made, path);
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
        let mut store = Self::finish_open(db, path, file)?;
        store.named = named.to_owned();
        let sql = "select exists (select 1 from meta where key = 'chain_pending')";
        // A migration marks what it cannot compute: the chains are begun by code that a later version may change.
        if store.run(|db| db.value(sql, ()))? {
            store.ledger().begin_chains()?;
        }
        if options.create {
            // A new version of the program may bring another list of public suffixes.
            store.ledger().follow_suffixes()?;
        }
        Ok(store)
    }

    /// Opens the database at `path` to read only. What the poller commits is seen.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; also for a database that is yet to be migrated.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        // Before it is opened: one that takes its place meanwhile must not be taken for it.
        let file = FileId::of(path)?.ok_or_else(|| StoreError::Missing(path.to_owned()))?;
        let (named, path) = (path, &*follow_link(path));
        let (db, way) = open_to_read(path)?;
        let version = check_schema(&db, path)?;
        if version < SCHEMA {
            return Err(StoreError::Older {
                path: path.to_owned(),
                found: version,
                known: SCHEMA,
            });
        }
        let mut store = Self::finish_open(db, path, file)?;
        store.named = named.to_owned();
        store.is_reader = true;
        store.known_versions = Some(RefCell::default());
        let growth = Growth::watch(&mut store.db, Arc::clone(&store.log));
        store.growth = Some(growth.map_err(|fault| store.engine(fault))?);
        store.frozen = match way {
            Way::Frozen(stamp) => Some(stamp),
            Way::Shared | Way::Alone => None,
        };
        // What was checked above is one state; from here on each lookup sees what is committed by then.
        store.run(|db| db.run("commit"))?;
        Ok(store)
    }

    /// Returns the store over a database that is checked, migrated and configured.
    fn finish_open(db: Db, path: &Path, file: FileId) -> Result<Self, StoreError> {
        let engine = |fault| StoreError::Engine {
            path: path.to_owned(),
            fault,
        };
        let schema = schema_version(&db).map_err(engine)?;
        let has_reverse_index = has_index(&db, LAST_REVERSE_INDEX).map_err(engine)?;
        let (database_id, key) = load_secrets(&db).map_err(engine)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            named: path.to_owned(),
            key,
            database_id,
            has_reverse_index,
            host_rows: RefCell::default(),
            zones_at: RefCell::default(),
            additions: RefCell::default(),
            moments: RefCell::default(),
            seen: RefCell::default(),
            kept: RefCell::default(),
            spans: RefCell::default(),
            judged: RefCell::default(),
            rows_read: Cell::new(0),
            host_names: RefCell::default(),
            known_versions: None,
            log: Log::of(file, path),
            growth: None,
            opened: Opened { file, schema },
            is_reader: false,
            frozen: None,
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
        db.run("commit").map_err(engine)?;
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
