//! Opens the database: settings, transactions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use crate::dns::Name;
use crate::file;
use crate::store::ledger::chain::Additions;
use crate::store::ledger::popularity::HostRow;
use crate::store::lookup::history::ZoneSpan;
use crate::store::lookup::spans::KnownVersions;
use crate::store::lookup::window::Moments;
use crate::store::sqlite::lock::has_more_names;
use crate::store::sqlite::log::{Growth, Log, WAL_OCTETS_MAX, WAL_OCTETS_WANTED};
use crate::store::sqlite::migrate::{
    APPLICATION_ID, LAST_REVERSE_INDEX, SCHEMA, check_schema, has_index, migrate, schema_version,
    set_reverse_index,
};
use crate::store::sqlite::reading::{Stamp, Way, check_writable, folder_of, open_to_read};
use crate::store::sqlite::turn;
use crate::store::zones::watched::{View, ZoneId};
use crate::zone::DigestKey;

/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL when a checkpoint and a writer race
/// (sqlite.org/wal.html, section 11).
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a desk command waits for the poller's transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// The writer's page cache, in KiB.
const CACHE_KIB: i64 = 64 << 10;
/// Octets of a page, as a new database has them.
const PAGE_OCTETS: u64 = 4096;

/// Why the store cannot serve. Each is this machine's or the file's fault: exit status 4.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite reports a fault.
    #[error("database {path}: {fault}")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// SQLite's words.
        fault: rusqlite::Error,
    },
    /// The file or its folder cannot be used.
    #[error("database {path}: {fault}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        fault: io::Error,
    },
    /// This user may not do with the database or a file beside it what has to be done.
    #[error("database {path}: {what}")]
    Access {
        /// The database file.
        path: PathBuf,
        /// Which file, its mode and owner, and the system's words.
        what: String,
        /// The cure.
        cure: String,
    },
    /// Somebody reads an old state, and the log may not grow any further. Passes when he ends.
    #[error(
        "database {path}: the write-ahead log has {octets_mib} MiB and may not grow: {readers} reads an old state and keeps it from being moved into the database; nothing is written until that ends"
    )]
    LogFull {
        /// The database file.
        path: PathBuf,
        /// Octets of the log. Unit: MiB.
        octets_mib: u64,
        /// Who reads, in words.
        readers: String,
        /// The cure.
        cure: String,
    },
    /// This process read one state for so long that it was ended.
    #[error(
        "database {path}: while one state of it was read, others wrote more than {grown_mib} MiB; reading was ended, so that the write-ahead log does not fill the disk"
    )]
    ReadTooLong {
        /// The database file.
        path: PathBuf,
        /// By how much the log may grow meanwhile. Unit: MiB.
        grown_mib: u64,
    },
    /// The file was written while somebody read it who may not share its log.
    #[error("database {0} was written while it was read")]
    WrittenMeanwhile(PathBuf),
    /// The database was written by a newer fluxwatch.
    #[error(
        "database {path} has schema {found}, made by a newer fluxwatch; this one knows schema {known}. Nothing was touched"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest known schema.
        known: i32,
    },
    /// The database was written by an older fluxwatch and cannot be migrated by who only reads.
    #[error(
        "database {path} has schema {found}, made by an older fluxwatch; `fluxwatch status` brings it to schema {known}"
    )]
    Older {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The schema that is needed.
        known: i32,
    },
    /// The file is a database of something else.
    #[error("{path} is a SQLite database, but not fluxwatch's. Nothing was touched")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The SQLite library has a known corruption bug.
    #[error("SQLite {0} can corrupt its write-ahead log; 3.51.3 or newer is needed")]
    OldSqlite(String),
    /// A command that only looks found no database.
    #[error("no database at {0}; `fluxwatch poll` makes it")]
    Missing(PathBuf),
    /// A question that only the reverse index answers.
    #[error("database {0} keeps no index from name servers and addresses to names")]
    NoReverseIndex(PathBuf),
    /// A domain below which there is more than is shown at a time.
    #[error("{0} has more than {1} names at or below it")]
    TooManyNames(Name, usize),
    /// A version was made of what its zone was, and another has been stored since.
    #[error("zone {0} got another version meanwhile; it is looked at again")]
    Overtaken(Name),
    /// The file is gone from its path, while it is open: what is written now nobody would find.
    #[error(
        "database {0} was renamed or removed while it was open; nothing is written until it is back: put the file back, or start fluxwatch anew for a new one"
    )]
    Gone(PathBuf),
    /// Another file has taken the place of the one that is open.
    #[error(
        "database {0} was replaced by another file while it was open; nothing is written: start fluxwatch anew to use the new file, or put the old one back"
    )]
    Replaced(PathBuf),
    /// The file has more than one name, and so more than one log.
    #[error(
        "database {0} has another name too (a hard link): what is in the log of one name is lost under the other; remove the other name, or make a copy with `fluxwatch db backup`"
    )]
    MoreNames(PathBuf),
    /// A value in the database is not what this program writes.
    #[error("database {path} is damaged: {what}")]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
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
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// The path as it was given, which may be a link to `path`.
    named: PathBuf,
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
    /// The times between which zones have versions, likewise.
    pub(super) spans: RefCell<Option<HashMap<ZoneId, ZoneSpan>>>,
    /// Versions that the detector has judged and that no zone's row names yet; see [`Store::note_judged`].
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
    opened: Opened,
    /// Whether only lookups use this connection.
    is_reader: bool,
    /// The file as it was opened, where the reader shares no log with writers and would not see them.
    pub(super) frozen: Option<Stamp>,
}

/// Tells an open database from another one at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opened {
    file: FileId,
    /// SQLite's count of changes of the schema.
    schema: i64,
}

/// Device and number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64, u64);

impl From<&Metadata> for FileId {
    fn from(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }
}

impl FileId {
    /// Returns that of the file at `path`; `None` if there is none. A pipe, a device or a folder is refused.
    pub(super) fn of(path: &Path) -> Result<Option<Self>, StoreError> {
        match path.metadata() {
            Ok(meta) => match file::require_file(&meta) {
                Ok(()) => Ok(Some(Self::from(&meta))),
                Err(fault) => Err(unusable(path, fault)),
            },
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(unusable(path, fault)),
        }
    }
}

/// Returns the file that a path leads to, if its last part is a symbolic link; else the path itself. SQLite does so
/// too: the log stands beside the file, not beside the link.
pub(super) fn follow_link(path: &Path) -> PathBuf {
    match path.is_symlink() {
        true => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        false => path.to_owned(),
    }
}

/// Returns the fault of a database file.
pub(super) fn unusable(path: &Path, fault: io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        fault,
    }
}

/// What is known of which zones there are.
#[derive(Default)]
pub(super) struct ZonesAt {
    /// By their apexes: rows and views, a zone's own first; empty for a name that is no zone's.
    pub by_apex: HashMap<Name, Vec<(ZoneId, View)>>,
    /// Whether these are all that there are; `None` before that was looked at.
    pub is_whole: Option<bool>,
}

/// A transaction over whatever is called on the store until [`StoreTx::commit`]; rolled back when
/// dropped.
pub struct StoreTx<'a> {
    store: &'a Store,
    open: bool,
    is_reading: bool,
}

/// Returns `path` with `suffix` after its file name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Store {
    /// SQLite's `application_id` of a database of this program: `flux`.
    pub const APPLICATION_ID: i32 = APPLICATION_ID;

    /// Opens the database at `path`, makes it (mode 0600) or migrates it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a database that is newer or not ours is left exactly as it is.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(StoreError::OldSqlite(rusqlite::version().to_owned()));
        }
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
        if has_more_names(path) {
            return Err(StoreError::MoreNames(path.to_owned()));
        }
        let (named, path) = (path, &*follow_link(path));
        let sqlite = |fault| StoreError::Sqlite {
            path: path.to_owned(),
            fault,
        };
        check_writable(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        turn::wait_for_writers(&mut connection).map_err(sqlite)?;
        check_schema(&connection, path)?;
        configure(&connection).map_err(sqlite)?;
        migrate(&connection).map_err(sqlite)?;
        if options.create {
            // A command that only looks works with the index that the poller keeps.
            set_reverse_index(&connection, options.reverse_index).map_err(sqlite)?;
        }
        let mut store = Self::finish_open(connection, path, file)?;
        store.named = named.to_owned();
        let sql = "select exists (select 1 from meta where key = 'chain_pending')";
        if store.run(|connection| connection.query_row(sql, [], |row| row.get(0)))? {
            store.begin_chains()?;
        }
        if options.create {
            store.follow_suffixes()?;
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
        let (connection, way) = open_to_read(path, configure_connection)?;
        let version = check_schema(&connection, path)?;
        if version < SCHEMA {
            return Err(StoreError::Older {
                path: path.to_owned(),
                found: version,
                known: SCHEMA,
            });
        }
        let mut store = Self::finish_open(connection, path, file)?;
        store.named = named.to_owned();
        store.is_reader = true;
        store.known_versions = Some(RefCell::default());
        let growth = Growth::watch(&mut store.connection, Arc::clone(&store.log));
        store.growth = Some(growth.map_err(|fault| store.sqlite(fault))?);
        store.frozen = match way {
            Way::Frozen(stamp) => Some(stamp),
            Way::Shared | Way::Alone => None,
        };
        store.run(|connection| connection.execute_batch("commit"))?;
        Ok(store)
    }

    /// Returns the store over a connection that is checked, migrated and configured.
    fn finish_open(connection: Connection, path: &Path, file: FileId) -> Result<Self, StoreError> {
        let sqlite = |fault| StoreError::Sqlite {
            path: path.to_owned(),
            fault,
        };
        let schema = schema_version(&connection).map_err(sqlite)?;
        let has_reverse_index = has_index(&connection, LAST_REVERSE_INDEX).map_err(sqlite)?;
        let (database_id, key) = load_secrets(&connection).map_err(sqlite)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            named: path.to_owned(),
            key,
            database_id,
            has_reverse_index,
            host_rows: RefCell::default(),
            zones_at: RefCell::default(),
            additions: RefCell::default(),
            moments: RefCell::default(),
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
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        let sqlite = |fault| StoreError::Sqlite {
            path: from.to_owned(),
            fault,
        };
        let from = &*follow_link(from);
        let (mut connection, way) = open_to_read(from, configure_connection)?;
        check_schema(&connection, from)?;
        connection.execute_batch("commit").map_err(sqlite)?;
        let file = FileId::of(from)?.ok_or_else(|| StoreError::Missing(from.to_owned()))?;
        let growth = Growth::watch(&mut connection, Log::of(file, from)).map_err(sqlite)?;
        let explain = |fault| growth.explain(&fault).unwrap_or_else(|| sqlite(fault));
        copy_into(&connection, to).map_err(|fault| explain(fault).while_copied(to))?;
        match way {
            Way::Frozen(stamp) if !stamp.holds(from) => {
                Err(StoreError::WrittenMeanwhile(from.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Begins a transaction over the calls that follow.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`], also if another writer does not finish in time; [`StoreError::LogFull`]; those of
    /// [`Store::is_still_there`].
    pub fn begin_batch(&self) -> Result<StoreTx<'_>, StoreError> {
        self.require_room_in_log()?;
        turn::give_way();
        self.run(|connection| connection.execute_batch("begin immediate"))?;
        let tx = StoreTx {
            store: self,
            open: true,
            is_reading: false,
        };
        // After the transaction began: whoever waited for it may have waited long.
        self.is_still_there()?;
        // A newer program may have migrated it since it was opened; what this one writes no longer fits.
        let found: i32 = self.run(|connection| {
            connection
                .prepare_cached("pragma user_version")?
                .query_row([], |row| row.get(0))
        })?;
        match found {
            found if found > SCHEMA => Err(self.newer(found)),
            _ => self.write_noted().map(|()| tx),
        }
    }

    /// Begins to read one state of the database, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn begin_reading(&self) -> Result<StoreTx<'_>, StoreError> {
        self.run(|connection| connection.execute_batch("begin"))?;
        if let Some(growth) = &self.growth {
            growth.begin();
        }
        self.zones_at.replace(Some(ZonesAt::default()));
        self.additions.replace(Some(Additions::default()));
        self.moments.replace(Some(Moments::default()));
        self.spans.replace(Some(HashMap::new()));
        let reading = StoreTx {
            store: self,
            open: true,
            is_reading: true,
        };
        self.forget_old_versions()?;
        Ok(reading)
    }

    /// Returns whether the file at the path is still the one that was opened, with the tables and indexes that it
    /// had.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
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

    /// Returns 16 octets that differ between databases; not secret.
    pub fn database_id(&self) -> [u8; 16] {
        self.database_id
    }

    /// Draws a token for one message: 24 hexadecimal digits of SQLite's random octets, another at each
    /// call. Nothing in the database decides on it, so a restored copy does not draw those again that were
    /// drawn after it was made.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn draw_token(&self) -> Result<String, StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached("select lower(hex(randomblob(12)))")?
                .query_row([], |row| row.get(0))
        })
    }

    /// Runs `work` and gives its fault the database's name.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if let Some(growth) = &self.growth
            && self.connection.is_autocommit()
        {
            growth.begin_later();
        }
        let done = work(&self.connection);
        if let Some(stamp) = &self.frozen
            && !stamp.holds(&self.path)
        {
            return Err(StoreError::WrittenMeanwhile(self.path.clone()));
        }
        done.map_err(|fault| self.sqlite(fault))
    }

    /// Writes a copy of the database to a file that is empty or not there.
    pub(super) fn write_copy(&self, to: &Path) -> Result<(), StoreError> {
        self.run(|connection| copy_into(connection, to))
            .map_err(|fault| fault.while_copied(to))
    }

    /// Returns the error for a database that a newer program migrated.
    fn newer(&self, found: i32) -> StoreError {
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

    /// Gives a fault of SQLite the database's name.
    pub(super) fn sqlite(&self, fault: rusqlite::Error) -> StoreError {
        let ended = self.growth.as_ref().and_then(|it| it.explain(&fault));
        ended.unwrap_or_else(|| StoreError::Sqlite {
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
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.is_reader {
            // A reader that may not write the log's index can share a log only if all of it is in the database.
            // A failure is left to whoever closes the database last, who moves the log anyway.
            let _ = self
                .connection
                .query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
        }
    }
}

impl StoreTx<'_> {
    /// Makes everything since [`Store::begin_batch`] durable.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`], or those of [`Store::is_still_there`]; the transaction is then rolled back.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.store.is_still_there()?;
        self.store
            .run(|connection| connection.execute_batch("commit"))?;
        self.store.judged.borrow_mut().clear();
        self.open = false;
        Ok(())
    }
}

impl Drop for StoreTx<'_> {
    fn drop(&mut self) {
        if self.open {
            // A failed rollback means that SQLite has rolled back already.
            let _ = self.store.connection.execute_batch("rollback");
            if self.is_reading {
                self.store.zones_at.replace(None);
                self.store.additions.replace(None);
                self.store.moments.replace(None);
                self.store.spans.replace(None);
                return;
            }
            self.store.forget_hosts();
        }
    }
}

/// Gives a file that root has just made at `path` to the owner of its folder: the poller runs as that user, and could
/// not open it. Nothing happens where another user made it. Never a file that was there before: the path could lead
/// to any.
pub(super) fn give_to_owner_of_folder(made: &File, path: &Path) {
    let owner = folder_of(path).metadata();
    if let (Ok(folder), Ok(file)) = (owner, made.metadata())
        && folder.uid() != file.uid()
    {
        let _ = fchown(made, Some(folder.uid()), Some(folder.gid()));
    }
}

/// Writes a copy of a database to a file that is empty or not there.
fn copy_into(connection: &Connection, to: &Path) -> rusqlite::Result<()> {
    // SQLite takes the copy for something that is written.
    let is_held: bool = connection.query_row("pragma query_only", [], |row| row.get(0))?;
    connection.execute_batch("pragma query_only = off")?;
    let copied = connection.execute("vacuum into ?", [to.to_string_lossy()]);
    if is_held {
        connection.execute_batch("pragma query_only = on")?;
    }
    copied.map(|_| ())
}

/// Makes an empty file that only its owner reads.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    options.open(path)
}

/// Applies the settings of docs/design.md, "Store".
fn configure(connection: &Connection) -> rusqlite::Result<()> {
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
fn configure_connection(connection: &Connection) -> rusqlite::Result<()> {
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
fn load_secrets(connection: &Connection) -> rusqlite::Result<([u8; 16], DigestKey)> {
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
