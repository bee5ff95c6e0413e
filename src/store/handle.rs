//! The open database, and a transaction over it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dns::Name;
use crate::store::caches::{
    Additions, HostRow, Kept, KeptTraits, KnownVersions, Moments, Seen, Spans, ZonesAt,
};
use crate::store::door::{Db, Fault, params};
use crate::store::error::{StoreError, unusable};
use crate::store::keys::ZoneId;
use crate::store::migrations::SCHEMA;
use crate::store::postgres::standing::{Part, ServerStanding};
use crate::store::sqlite::connection::copy_into;
use crate::store::sqlite::db::Db as SqliteDb;
use crate::store::sqlite::dialect::{RANDOM_TOKEN, schema_number};
use crate::store::sqlite::file::FileId;
use crate::store::sqlite::log::{Growth, Log};
use crate::store::sqlite::migrate::schema_version;
use crate::store::sqlite::reading::Stamp;
use crate::store::sqlite::turn;
use crate::zone::DigestKey;

/// How far a standby may be behind that answers lookups. Unit: seconds.
// Chosen by hand: a standby that follows is behind by less than one, and a person who looks waits no longer than this.
const LAG_MAX_S: i64 = 60;
/// For how long a standby that was found not to be far behind is taken for one.
const LAG_KNOWN_FOR: Duration = Duration::from_secs(5);

/// The row of `meta` that says in which life of its server a database was last written.
pub(super) const LIFE: &str = "life";

/// Returns what tells the state that a host's cache is of: the database, and which of the lives of its server. Numbers of
/// versions come again for something else after a promotion that lost some.
pub(super) fn cache_id(db: &Db, database_id: [u8; 16]) -> [u8; 16] {
    let mut id = database_id;
    if let Db::Postgres(db) = db {
        for (octet, more) in id.iter_mut().zip(db.life()) {
            *octet ^= more;
        }
    }
    id
}

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
    /// The file, or the server and its database as messages name them.
    pub(super) path: PathBuf,
    /// The path beside which this host keeps what it can find out again.
    pub(super) beside: PathBuf,
    /// What only a database in a file has.
    pub(super) file: Option<FileSide>,
    pub(super) key: DigestKey,
    pub(super) database_id: [u8; 16],
    /// Tells the state that this host's cache is of: the database, and which of the lives of its server.
    pub(super) cache_id: Cell<[u8; 16]>,
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
    /// The traits of cases that are judged again and again, likewise.
    pub(super) traits: RefCell<KeptTraits>,
    /// The times between which zones have versions, likewise.
    pub(super) spans: RefCell<Option<Spans>>,
    /// The rows of owners, likewise.
    pub(super) owner_ids: RefCell<Option<HashMap<ZoneId, HashMap<String, i64>>>>,
    /// Versions that the detector has judged and that no zone's row names yet; see [`Lookup::note_judged`](crate::store::Lookup::note_judged).
    pub(super) judged: RefCell<BTreeMap<ZoneId, i64>>,
    /// Names of name servers read lately, by their rows; emptied with `host_rows`.
    pub(super) host_names: RefCell<HashMap<i64, Name>>,
    /// Versions that lookups have read, of a connection that only reads.
    pub(super) known_versions: Option<RefCell<KnownVersions>>,
    /// How many intervals the detector has read through this connection.
    pub(super) rows_read: Cell<u64>,
    /// Whether transactions are parts of one over several.
    pub(super) is_grouped: Cell<bool>,
    /// How many sessions of a server this connection has had, as far as its memory goes.
    pub(super) sessions_seen: Cell<u64>,
    /// Whether only lookups use this connection.
    pub(super) is_reader: bool,
    /// Whether the database is another server's than before, and that was not noted.
    pub(super) is_elsewhere: Cell<bool>,
    /// Whether the server was found to be another one than the one that was written before.
    pub(super) is_moved: Cell<bool>,
    /// Whether the server may be a standby, and so behind.
    pub(super) may_lag: bool,
    /// When a server that may lag was last found not to.
    pub(super) lag_looked_at: Cell<Option<Instant>>,
    /// Which zones there were when they were last read, of a server: what is told in advance is guessed from it.
    pub(super) zones_before: RefCell<ZonesAt>,
}

/// What only a database in a file has.
pub(super) struct FileSide {
    /// The path as it was given, which may be a link to the store's.
    pub(super) named: PathBuf,
    /// What this process knows of the write-ahead log.
    pub(super) log: Arc<Log>,
    /// Ends what is read for too long, of a connection that only reads.
    pub(super) growth: Option<Arc<Growth>>,
    /// What was opened.
    pub(super) opened: Opened,
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
    kind: Kind,
}

/// What a transaction is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It reads one state of the database.
    Reading,
    /// It reads, within one that writes, the state that this one has made so far.
    ReadingPart,
    /// It writes, and is durable by itself.
    Writing,
    /// It makes what others write within it durable at once.
    Group,
    /// It writes within one: if it fails, it alone is taken back.
    Part,
}

impl Store {
    /// Begins a transaction over the calls that follow.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`], also if another writer does not finish in time; [`StoreError::LogFull`]; those of
    /// [`Store::is_still_there`].
    pub fn begin_batch(&self) -> Result<StoreTx<'_>, StoreError> {
        if self.is_grouped.get() {
            self.run(Db::begin_part)?;
            let part = StoreTx {
                store: self,
                open: true,
                kind: Kind::Part,
            };
            return self.lookup().write_noted().map(|()| part);
        }
        self.begin_to_write(Kind::Writing)
    }

    /// Begins a transaction that writes.
    fn begin_to_write(&self, kind: Kind) -> Result<StoreTx<'_>, StoreError> {
        if let (Some(file), Some(db)) = (&self.file, self.db.sqlite()) {
            file.log.require_room(db)?;
            turn::give_way();
        }
        self.run(|db| match kind {
            Kind::Group => db.begin_writing_parts(),
            _ => db.begin_writing(),
        })?;
        let tx = StoreTx {
            store: self,
            open: true,
            kind,
        };
        self.follow_session();
        if self.is_elsewhere.take() {
            self.note_life()?;
        }
        // After the transaction began: whoever waited for it may have waited long.
        self.is_still_there()?;
        // A newer program may have migrated it since it was opened; what this one writes no longer fits.
        match self.schema_found()? {
            found if found > SCHEMA => Err(self.newer(found)),
            _ => self.lookup().write_noted().map(|()| tx),
        }
    }

    /// Begins a transaction over several: each of those that begin and end within it is whole or leaves no trace, and all of
    /// them are durable with this one.
    ///
    /// # Errors
    ///
    /// As [`Store::begin_batch`].
    pub fn begin_group(&self) -> Result<StoreTx<'_>, StoreError> {
        let tx = self.begin_to_write(Kind::Group)?;
        self.is_grouped.set(true);
        Ok(tx)
    }

    /// Begins to read one state of the database, until what is returned is dropped. Within [`Store::begin_group`] that is
    /// the one that the group has made so far: nobody else can change it.
    pub fn begin_reading(&self) -> Result<StoreTx<'_>, StoreError> {
        let kind = if self.is_grouped.get() {
            Kind::ReadingPart
        } else {
            let checks_schema = self.is_reader;
            self.run(|db| db.begin_reading(checks_schema))?;
            self.follow_session();
            if let Some(growth) = self.growth() {
                growth.begin();
            }
            Kind::Reading
        };
        self.kept.borrow_mut().begin();
        self.zones_at.replace(Some(ZonesAt::default()));
        self.additions.replace(Some(Additions::default()));
        self.moments.replace(Some(Moments::default()));
        self.spans.replace(Some(Spans::default()));
        self.owner_ids.replace(Some(HashMap::new()));
        let reading = StoreTx {
            store: self,
            open: true,
            kind,
        };
        self.lookup().forget_old_versions()?;
        Ok(reading)
    }

    /// Returns whether the file at the path is still the one that was opened, with the tables and indexes that it
    /// had.
    pub fn is_current(&self) -> Result<bool, StoreError> {
        let (Some(file), Some(db)) = (&self.file, self.db.sqlite()) else {
            return self.is_current_server();
        };
        let schema = schema_version(db).map_err(|fault| self.engine(fault))?;
        Ok(schema == file.opened.schema && FileId::of(&file.named)? == Some(file.opened.file))
    }

    /// Returns whether a server is still to be used. Each reading of one that only reads looks by itself which schema the
    /// tables have.
    fn is_current_server(&self) -> Result<bool, StoreError> {
        if !self.is_reader {
            return Ok(self.schema_found()? == SCHEMA);
        }
        // A session that was lost is not opened anew: its server may be away, and another one of the configuration there.
        let is_out = match &self.db {
            Db::Sqlite(_) => false,
            // Behind a pooler there may be another server without a session that is lost.
            Db::Postgres(db) => db.is_of_other_schema() || db.is_closed() || db.is_pooled(),
        };
        Ok(!is_out && !self.is_late()?)
    }

    /// Returns whether a standby is too far behind, as it was found a few seconds ago.
    fn is_late(&self) -> Result<bool, StoreError> {
        if !self.may_lag {
            return Ok(false);
        }
        let now = Instant::now();
        if self
            .lag_looked_at
            .get()
            .is_some_and(|at| now.duration_since(at) < LAG_KNOWN_FOR)
        {
            return Ok(false);
        }
        let is_late = self.lag()?.is_some();
        self.lag_looked_at.set((!is_late).then_some(now));
        Ok(is_late)
    }

    /// Returns what tells the state that this host's cache is of.
    pub(super) fn cache_id(&self) -> [u8; 16] {
        // A session that was opened anew may be of another server.
        self.follow_session();
        self.cache_id.get()
    }

    /// Returns which schema the database has now.
    fn schema_found(&self) -> Result<i32, StoreError> {
        self.run(|db| match db {
            Db::Sqlite(db) => schema_number(db),
            Db::Postgres(db) => Ok(db.schema_number()?.unwrap_or_default()),
        })
    }

    /// Returns how the server of the database stands; `None` of a file.
    pub fn server_standing(&self) -> Result<Option<ServerStanding>, StoreError> {
        self.run(|db| match db {
            Db::Sqlite(_) => Ok(None),
            Db::Postgres(db) => db.standing().map(Some),
        })
    }

    /// Returns how far the server is behind the one that is written; `None` if that is bearable.
    pub(super) fn lag(&self) -> Result<Option<String>, StoreError> {
        let part = self.server_standing()?.map(|it| it.part);
        Ok(match part {
            // It was started while it could not reach its primary.
            Some(Part::Standby {
                is_connected: false,
                newest_at: None,
                ..
            }) => {
                Some("cut off from its primary, and does not know how old its state is".to_owned())
            }
            Some(Part::Standby { lag_s, .. }) if lag_s > LAG_MAX_S => {
                Some(format!("{lag_s} s behind"))
            }
            _ => None,
        })
    }

    /// Returns whether the session of a server was lost within a transaction.
    fn is_lost(&self) -> bool {
        match &self.db {
            Db::Sqlite(_) => false,
            Db::Postgres(db) => db.is_lost(),
        }
    }

    /// Forgets what is kept in memory of an earlier session: the server may be another one now, that had not all of it.
    fn follow_session(&self) {
        if let Db::Postgres(db) = &self.db {
            let count = db.session_count();
            if self.sessions_seen.replace(count) != count {
                let before = self.cache_id.get();
                self.forget_hosts();
                self.judged.borrow_mut().clear();
                self.kept.borrow_mut().clear();
                self.traits.take();
                self.cache_id.set(cache_id(&self.db, self.database_id));
                if self.cache_id.get() != before {
                    self.is_elsewhere.set(true);
                }
            }
        }
    }

    /// Notes in which life of its server the database is written, and says so where that is another one than before.
    /// Within a transaction that writes.
    pub(super) fn note_life(&self) -> Result<(), StoreError> {
        let Db::Postgres(server) = &self.db else {
            return Ok(());
        };
        let life = server.life();
        let before: Option<[u8; 16]> =
            self.run(|db| db.first_value("select value from meta where key = ?", [LIFE]))?;
        if before == Some(life) {
            return Ok(());
        }
        let sql = "insert into meta (key, value) values (?, ?)
                   on conflict (key) do update set value = excluded.value";
        self.run(|db| db.execute(sql, params![LIFE, life.to_vec()]))?;
        if before.is_some() {
            self.is_moved.set(true);
            tracing::warn!(
                "the database's server is another one than before: a standby was promoted, or a backup restored; what it had not received is gone. Zones are compared anew with their sources; steps of the desk and mails of the minutes before may be missing: compare `fluxwatch cases log` with what the desk remembers"
            );
        }
        Ok(())
    }

    /// Returns whether the server was found to be another one than the one that was written before.
    pub fn is_moved(&self) -> bool {
        self.is_moved.get()
    }

    /// Returns what ends a reading that lasts too long, of a file.
    fn growth(&self) -> Option<&Arc<Growth>> {
        self.file.as_ref()?.growth.as_ref()
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
        let Some(FileSide { named, opened, .. }) = &self.file else {
            return match self.is_lost() {
                true => Err(self.engine(Fault::away("the connection was lost".to_owned()))),
                false => Ok(()),
            };
        };
        match named.metadata() {
            Ok(meta) if FileId::from(&meta) == opened.file => Ok(()),
            Ok(_) => Err(StoreError::Replaced(named.clone())),
            Err(fault) => Err(match fault.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    StoreError::Gone(named.clone())
                }
                _ => unusable(named, fault),
            }),
        }
    }

    /// Has everything that is done from now on be taken back when this is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`]; a database in a file is copied instead.
    pub fn begin_trial(&self) -> Result<(), StoreError> {
        self.run(|db| match db {
            Db::Sqlite(_) => Err(Fault::other("a trial over a file works on a copy")),
            Db::Postgres(db) => db.begin_trial(),
        })
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

    /// Draws a token for one message: 24 hexadecimal digits of the engine's random octets, another at each
    /// call. Nothing in the database decides on it, so a restored copy does not draw those again that were
    /// drawn after it was made.
    pub fn draw_token(&self) -> Result<String, StoreError> {
        self.run(|db| db.value(&format!("select {RANDOM_TOKEN}"), ()))
    }

    /// Runs `work` and gives its fault the database's name.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&Db) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if let Some(growth) = self.growth()
            && !self.db.is_in_transaction()
        {
            growth.begin_later();
        }
        let done = work(&self.db);
        if let Some(FileSide {
            frozen: Some(stamp),
            ..
        }) = &self.file
            && !stamp.holds(&self.path)
        {
            return Err(StoreError::WrittenMeanwhile(self.path.clone()));
        }
        done.map_err(|fault| self.engine(fault))
    }

    /// Writes a copy of the database to a file that is empty or not there.
    pub(super) fn write_copy(&self, to: &Path) -> Result<(), StoreError> {
        let db = self.sqlite("a copy in a file")?;
        copy_into(db, to).map_err(|fault| self.engine(fault).while_copied(to))
    }

    /// Returns SQLite's side of the database, for what only a file has.
    pub(super) fn sqlite(&self, what: &'static str) -> Result<&SqliteDb, StoreError> {
        let only = || StoreError::OnlyOfAFile {
            path: self.path.clone(),
            what,
        };
        self.db.sqlite().ok_or_else(only)
    }

    /// Returns the error for a database that a newer program migrated.
    pub(super) fn newer(&self, found: i32) -> StoreError {
        StoreError::Newer {
            path: self.path.clone(),
            found,
            known: SCHEMA,
        }
    }

    /// Returns the error for a database of another schema than this program's.
    fn of_other_schema(&self, found: i32) -> StoreError {
        match found > SCHEMA {
            true => self.newer(found),
            false => StoreError::Older {
                path: self.path.clone(),
                found,
                known: SCHEMA,
            },
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
        if let Some(found) = fault.other_schema() {
            return self.of_other_schema(found);
        }
        let ended = self.growth().and_then(|it| it.explain(&fault));
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
        if let (false, Some(file), Some(db)) = (self.is_reader, &self.file, self.db.sqlite()) {
            // A reader that may not write the log's index can share a log only if all of it is in the database.
            // A failure is left to whoever closes the database last, who moves the log anyway.
            let _ = file.log.move_quietly(db);
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
        if self.kind == Kind::Part {
            self.store.run(Db::keep_part)?;
            self.store.judged.borrow_mut().clear();
            self.open = false;
            return Ok(());
        }
        if self.kind == Kind::Group {
            self.store.lookup().write_noted()?;
        }
        self.store.is_still_there()?;
        self.store.run(Db::commit)?;
        self.store.judged.borrow_mut().clear();
        self.open = false;
        self.store.is_grouped.set(false);
        Ok(())
    }
}

impl Drop for StoreTx<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let store = self.store;
        // What ends a reading that has let the log grow must not end its rollback too: the old state would be kept.
        if let (Kind::Reading, Some(growth)) = (self.kind, store.growth()) {
            growth.begin_later();
        }
        // A failed rollback means that the engine has rolled back already, or is away and will.
        let _ = match self.kind {
            Kind::Part => store.db.drop_part(),
            Kind::Reading | Kind::Writing | Kind::Group => store.db.roll_back(),
            Kind::ReadingPart => Ok(()),
        };
        if matches!(self.kind, Kind::Reading | Kind::ReadingPart) {
            let zones = store.zones_at.replace(None);
            if let (true, Db::Postgres(_), Some(zones)) = (store.is_reader, &store.db, zones) {
                store.zones_before.replace(zones);
            }
            store.additions.replace(None);
            store.moments.replace(None);
            store.seen.replace(None);
            store.spans.replace(None);
            store.owner_ids.replace(None);
            return;
        }
        if self.kind == Kind::Group {
            store.is_grouped.set(false);
            // Of versions that are taken back: their numbers come again for others.
            store.judged.borrow_mut().clear();
        }
        store.kept.borrow_mut().clear();
        store.traits.take();
        store.forget_hosts();
    }
}
