//! The open database, and a transaction over it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dns::Name;
use crate::store::caches::{
    Additions, HostRow, Kept, KnownVersions, Moments, Seen, ZoneSpan, ZonesAt,
};
use crate::store::door::{Db, Fault};
use crate::store::error::{StoreError, unusable};
use crate::store::keys::ZoneId;
use crate::store::sqlite::connection::copy_into;
use crate::store::sqlite::dialect::{draw_token, schema_number};
use crate::store::sqlite::file::FileId;
use crate::store::sqlite::log::{Growth, Log};
use crate::store::sqlite::migrate::{SCHEMA, schema_version};
use crate::store::sqlite::reading::Stamp;
use crate::store::sqlite::turn;
use crate::zone::DigestKey;

/// How to open the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Keep the index from name servers to the names that use them.
    pub reverse_index: bool,
    /// Make the database if it is not there, and the reverse index as configured.
    pub create: bool,
}

/// The open database.
pub struct Store {
    pub(super) db: Db,
    pub(super) path: PathBuf,
    /// The path as it was given, which may be a link to `path`.
    pub(super) named: PathBuf,
    pub(super) key: DigestKey,
    pub(super) database_id: [u8; 16],
    pub(super) has_reverse_index: bool,
    /// Rows of name servers met lately, by their wire names; emptied when a transaction is rolled back.
    pub(super) host_rows: RefCell<HashMap<Box<[u8]>, HostRow>>,
    /// The zones at names that were asked for, while one state of the database is read; `None` otherwise.
    pub(super) zones_at: RefCell<Option<ZonesAt>>,
    /// What lookups of single versions have found out, while one state of the database is read; `None` otherwise.
    pub(super) additions: RefCell<Option<Additions>>,
    /// Versions as the ends of intervals, likewise.
    pub(super) moments: RefCell<Option<Moments>>,
    /// What was read of many owners together, likewise; see [`Lookup::sight`](crate::store::Lookup::sight).
    pub(super) seen: RefCell<Option<Seen>>,
    /// What is kept of owners that change often, from one reading to the next.
    pub(super) kept: RefCell<Kept>,
    /// The times between which zones have versions, likewise.
    pub(super) spans: RefCell<Option<HashMap<ZoneId, ZoneSpan>>>,
    /// Versions that the detector has judged and that no zone's row names yet; see [`Lookup::note_judged`](crate::store::Lookup::note_judged).
    pub(super) judged: RefCell<BTreeMap<ZoneId, i64>>,
    /// Names of name servers read lately, by their rows; emptied with `host_rows`.
    pub(super) host_names: RefCell<HashMap<i64, Name>>,
    /// Versions that lookups have read, of a connection that only reads.
    pub(super) known_versions: Option<RefCell<KnownVersions>>,
    /// What this process knows of the write-ahead log.
    pub(super) log: Arc<Log>,
    /// Ends what is read for too long, of a connection that only reads.
    pub(super) growth: Option<Arc<Growth>>,
    /// How many intervals the detector has read through this connection.
    pub(super) rows_read: Cell<u64>,
    /// What was opened.
    pub(super) opened: Opened,
    /// Whether only lookups use this connection.
    pub(super) is_reader: bool,
    /// The file as it was opened, where the reader shares no log with writers and would not see them.
    pub(super) frozen: Option<Stamp>,
}

/// Tells an open database from another one at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) file: FileId,
    /// SQLite's count of changes of the schema.
    pub(super) schema: i64,
}

/// A transaction over whatever is called on the store until [`StoreTx::commit`]; rolled back when
/// dropped.
pub struct StoreTx<'a> {
    store: &'a Store,
    open: bool,
    is_reading: bool,
}

impl Store {
    /// Begins a transaction over the calls that follow.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`], also if another writer does not finish in time; [`StoreError::LogFull`]; those of
    /// [`Store::is_still_there`].
    pub fn begin_batch(&self) -> Result<StoreTx<'_>, StoreError> {
        self.log.require_room(&self.db)?;
        turn::give_way();
        self.run(Db::begin_writing)?;
        let tx = StoreTx {
            store: self,
            open: true,
            is_reading: false,
        };
        // After the transaction began: whoever waited for it may have waited long.
        self.is_still_there()?;
        // A newer program may have migrated it since it was opened; what this one writes no longer fits.
        let found: i32 = self.run(schema_number)?;
        match found {
            found if found > SCHEMA => Err(self.newer(found)),
            _ => self.lookup().write_noted().map(|()| tx),
        }
    }

    /// Begins to read one state of the database, until what is returned is dropped.
    pub fn begin_reading(&self) -> Result<StoreTx<'_>, StoreError> {
        self.run(|db| db.run("begin"))?;
        if let Some(growth) = &self.growth {
            growth.begin();
        }
        self.kept.borrow_mut().begin();
        self.zones_at.replace(Some(ZonesAt::default()));
        self.additions.replace(Some(Additions::default()));
        self.moments.replace(Some(Moments::default()));
        self.spans.replace(Some(HashMap::new()));
        let reading = StoreTx {
            store: self,
            open: true,
            is_reading: true,
        };
        self.lookup().forget_old_versions()?;
        Ok(reading)
    }

    /// Returns whether the file at the path is still the one that was opened, with the tables and indexes that it
    /// had.
    pub fn is_current(&self) -> Result<bool, StoreError> {
        let schema = self.run(schema_version)?;
        Ok(schema == self.opened.schema && FileId::of(&self.named)? == Some(self.opened.file))
    }

    /// Checks that the path still leads to the file that was opened. One call of the system, no query: every
    /// transaction that writes begins and ends with it, and whoever keeps the database open for long may ask at any
    /// time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Gone`], which may pass when the file is put back; [`StoreError::Replaced`], for which the
    /// database has to be opened anew; [`StoreError::File`] if its folder cannot be looked at.
    pub fn is_still_there(&self) -> Result<(), StoreError> {
        match self.named.metadata() {
            Ok(meta) if FileId::from(&meta) == self.opened.file => Ok(()),
            Ok(_) => Err(StoreError::Replaced(self.named.clone())),
            Err(fault) => Err(match fault.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    StoreError::Gone(self.named.clone())
                }
                _ => unusable(&self.named, fault),
            }),
        }
    }

    /// Returns the secret under this database's digests.
    pub fn digest_key(&self) -> DigestKey {
        self.key
    }

    /// Returns whether questions about name servers are answered by an index.
    pub fn has_reverse_index(&self) -> bool {
        self.has_reverse_index
    }

    /// Returns how many statements and sets of rows this connection was sent since it was opened: each would be a round
    /// trip to a database elsewhere.
    pub fn call_count(&self) -> u64 {
        self.db.call_count()
    }

    /// Returns 16 octets that differ between databases; not secret.
    pub fn database_id(&self) -> [u8; 16] {
        self.database_id
    }

    /// Draws a token for one message: 24 hexadecimal digits of SQLite's random octets, another at each
    /// call. Nothing in the database decides on it, so a restored copy does not draw those again that were
    /// drawn after it was made.
    pub fn draw_token(&self) -> Result<String, StoreError> {
        self.run(draw_token)
    }

    /// Runs `work` and gives its fault the database's name.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&Db) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if let Some(growth) = &self.growth
            && !self.db.is_in_transaction()
        {
            growth.begin_later();
        }
        let done = work(&self.db);
        if let Some(stamp) = &self.frozen
            && !stamp.holds(&self.path)
        {
            return Err(StoreError::WrittenMeanwhile(self.path.clone()));
        }
        done.map_err(|fault| self.engine(fault))
    }

    /// Writes a copy of the database to a file that is empty or not there.
    pub(super) fn write_copy(&self, to: &Path) -> Result<(), StoreError> {
        self.run(|db| copy_into(db, to))
            .map_err(|fault| fault.while_copied(to))
    }

    /// Returns the error for a database that a newer program migrated.
    pub(super) fn newer(&self, found: i32) -> StoreError {
        StoreError::Newer {
            path: self.path.clone(),
            found,
            known: SCHEMA,
        }
    }

    /// Forgets what is kept in memory of name servers.
    pub(super) fn forget_hosts(&self) {
        self.host_rows.borrow_mut().clear();
        self.host_names.borrow_mut().clear();
    }

    /// Gives a fault of the engine the database's name.
    pub(super) fn engine(&self, fault: Fault) -> StoreError {
        if let Some(what) = fault.damage() {
            return self.damaged(what);
        }
        let ended = self.growth.as_ref().and_then(|it| it.explain(&fault));
        ended.unwrap_or_else(|| StoreError::Engine {
            path: self.path.clone(),
            fault,
        })
    }

    /// Returns the error for a value that this program does not write.
    pub(super) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    /// Parses a name that this program wrote.
    pub(in crate::store) fn read_name(&self, text: &str) -> Result<Name, StoreError> {
        Name::parse(text).map_err(|fault| self.damaged(fault.to_string()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.is_reader {
            // A reader that may not write the log's index can share a log only if all of it is in the database.
            // A failure is left to whoever closes the database last, who moves the log anyway.
            let _ = self.log.move_quietly(&self.db);
        }
    }
}

impl StoreTx<'_> {
    /// Makes everything since [`Store::begin_batch`] durable.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`], or those of [`Store::is_still_there`]; the transaction is then rolled back.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.store.is_still_there()?;
        self.store.run(|db| db.run("commit"))?;
        self.store.judged.borrow_mut().clear();
        self.open = false;
        Ok(())
    }
}

impl Drop for StoreTx<'_> {
    fn drop(&mut self) {
        if self.open {
            // A failed rollback means that SQLite has rolled back already.
            let _ = self.store.db.run("rollback");
            if self.is_reading {
                self.store.zones_at.replace(None);
                self.store.additions.replace(None);
                self.store.moments.replace(None);
                self.store.seen.replace(None);
                self.store.spans.replace(None);
                return;
            }
            self.store.forget_hosts();
        }
    }
}
