//! How a database is opened by who only reads it.
//!
//! Readers of a write-ahead log share two files with its writers: the log (`-wal`) and its index (`-shm`). Whoever
//! opens the database first makes both, with his own user, and whoever closes it last takes them away. A reader that
//! may not write would leave files behind that the poller cannot write, or cannot read at all
//! (sqlite.org/wal.html, "Read-Only Databases"). So a reader looks first, and opens the database in one of three ways.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};

use crate::file::folder_of;
use crate::store::error::StoreError;
use crate::store::sqlite::connection::{BUSY_TIMEOUT, configure_connection};
use crate::store::sqlite::db::Db;
use crate::store::sqlite::file::with_suffix;

/// How often a reader tries to share the log of a writer that is about to begin or to end.
const SHARE_TRIES_MAX: usize = 20;
/// How long it waits in between.
const SHARE_PAUSE: Duration = Duration::from_millis(100);

/// How a database is opened to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Way {
    /// Its log and the log's index are there: they are used as they are, and left where they are.
    Shared,
    /// Neither is there, and this user may make them: they go when the reader closes the database as the last.
    Alone,
    /// Neither is there, and this user may not make them: the file by itself is the whole database, as long as
    /// nobody writes to it.
    Frozen(Stamp),
}

/// What changes when a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Stamp {
    file: (u64, u64),
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of a file as it is now.
    fn of(meta: &Metadata) -> Self {
        Self {
            file: (meta.dev(), meta.ino()),
            octets: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Returns whether the file at `path` is as it was.
    pub(in crate::store) fn holds(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|meta| Self::of(&meta) == *self)
    }
}

impl Way {
    /// Looks how the database at `path` can be read by this user now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`]; [`StoreError::Access`] with what is lacking.
    pub(in crate::store) fn find(path: &Path) -> Result<Self, StoreError> {
        let meta = match path.metadata() {
            Ok(meta) => meta,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing(path.to_owned()));
            }
            Err(fault) => return Err(no_access(path, path, &fault)),
        };
        check(path, path, Access::READ_OK)?;
        let octets_of = |suffix| with_suffix(path, suffix).metadata().map(|meta| meta.len());
        let (wal, shm) = (octets_of("-wal"), octets_of("-shm"));
        let is_writable = can_write(path) && can_write(folder_of(path));
        let has_log = wal.as_ref().is_ok_and(|octets| *octets > 0);
        let has_journal = octets_of("-journal").is_ok_and(|octets| octets > 0);
        match (has_log || has_journal, shm.is_ok() || wal.is_ok()) {
            (false, false) if is_writable => Ok(Self::Alone),
            (false, false) => Ok(Self::Frozen(Stamp::of(&meta))),
            // Made by a writer that is about to begin; it cannot be shared, and nothing is in it yet.
            (false, true) if !is_writable && !can_share(path) => Ok(Self::Frozen(Stamp::of(&meta))),
            // What this user would make, the poller could not write.
            (true, _) if shm.is_err() && !is_writable => Err(StoreError::Access {
                path: path.to_owned(),
                what: "its log (-wal) holds what is not yet in the file, nobody has the database open, and this user may not write it".to_owned(),
                cure: format!("wait for the poller's next pass, or run `{}fluxwatch poll`: either moves the log into the file", as_owner(&meta)),
            }),
            _ => Ok(Self::Shared),
        }
    }

    /// Opens the database at `path` in this way.
    pub(super) fn open(&self, path: &Path) -> rusqlite::Result<Connection> {
        let no_mutex = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self {
            Self::Shared => {
                Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | no_mutex)
            }
            Self::Alone => {
                Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | no_mutex)
            }
            Self::Frozen(_) => Connection::open_with_flags(
                immutable_uri(path),
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | no_mutex,
            ),
        }?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}

/// Opens the database at `path` for who only reads, and begins to read it.
///
/// A writer that begins or ends meanwhile changes how it can be opened, so that this is tried some times.
pub(in crate::store) fn open_to_read(path: &Path) -> Result<(Db, Way), StoreError> {
    let mut tries = 0;
    loop {
        let way = Way::find(path)?;
        let begin = |connection: &Connection| {
            configure_connection(connection)?;
            // One lock for all that is read first, instead of one for each statement.
            connection.execute_batch("begin")?;
            // The first real read: only it finds out whether the log can be shared.
            connection.query_row("pragma schema_version", [], |_| Ok(()))
        };
        let opened = way.open(path).and_then(|connection| {
            begin(&connection)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                if way == Way::Alone {
                    connection
                        // It was opened to be written, since SQLite has to make the log's index.
                        .execute_batch("pragma query_only = on")
                        .map_err(|fault| sqlite(path, fault))?;
                }
                return Ok((Db::new(connection), way));
            }
            Err(fault) if !is_of_sharing(&fault) => return Err(sqlite(path, fault)),
            Err(_) if tries < SHARE_TRIES_MAX && can_share(path) => {
                tries += 1;
                std::thread::sleep(SHARE_PAUSE);
            }
            Err(fault) => return Err(explain(path, fault)),
        }
    }
}

/// Returns whether a fault comes from the log or its index, not from the database.
fn is_of_sharing(fault: &rusqlite::Error) -> bool {
    matches!(
        fault.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    )
}

/// Says which of the files of the log keeps a reader out.
fn explain(path: &Path, fault: rusqlite::Error) -> StoreError {
    for suffix in ["-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        if file.exists()
            && let Err(error) = check(path, &file, Access::READ_OK)
        {
            return error;
        }
    }
    sqlite(path, fault)
}

/// Returns whether this user may read the log and its index, as far as they are there.
fn can_share(path: &Path) -> bool {
    ["-wal", "-shm"].into_iter().all(|suffix| {
        let file = with_suffix(path, suffix);
        access(&file, Access::READ_OK).is_ok() || !file.exists()
    })
}

/// Checks that the database at `path` may be written by this user, before SQLite says so in its own words.
///
/// # Errors
///
/// [`StoreError::Access`] with what is lacking.
pub(in crate::store) fn check_writable(path: &Path) -> Result<(), StoreError> {
    check(path, path, Access::READ_OK | Access::WRITE_OK)?;
    let mut is_whole = true;
    for suffix in ["-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        if file.exists() {
            check(path, &file, Access::READ_OK | Access::WRITE_OK)?
        } else {
            is_whole = false
        }
    }
    if is_whole {
        Ok(())
    } else {
        check(path, folder_of(path), Access::WRITE_OK | Access::EXEC_OK)
    }
}

/// Returns whether this user may write a file, or in a folder.
fn can_write(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

/// Checks that this user may do something with a file of the database at `path`.
fn check(path: &Path, file: &Path, wanted: Access) -> Result<(), StoreError> {
    access(file, wanted).map_err(|fault| no_access(path, file, &fault.into()))
}

/// Returns the error that says who may use a file, and the cure.
fn no_access(path: &Path, file: &Path, fault: &io::Error) -> StoreError {
    let name = file.display();
    let meta = file.metadata().or_else(|_| folder_of(file).metadata());
    let (who, owner) = match &meta {
        Ok(meta) => (
            format!(
                " (mode {:04o}, owner {}:{})",
                meta.permissions().mode() & 0o7777,
                meta.uid(),
                meta.gid()
            ),
            as_owner(meta),
        ),
        Err(_) => (String::new(), String::new()),
    };
    StoreError::Access {
        path: path.to_owned(),
        what: format!("{name}{who}: {fault}"),
        cure: match fault.kind() {
            io::ErrorKind::ReadOnlyFilesystem => {
                "this command writes: run it where the file system may be written".to_owned()
            }
            _ => format!(
                "run it as the owner (`{owner}fluxwatch ...`), or give this user a group that may use the database, its folder, -wal and -shm"
            ),
        },
    }
}

/// Returns what to put before a command so that the owner of a file runs it.
fn as_owner(meta: &Metadata) -> String {
    format!("sudo -u '#{}' ", meta.uid())
}

/// Gives a fault of SQLite the database's name.
fn sqlite(path: &Path, fault: rusqlite::Error) -> StoreError {
    StoreError::Engine {
        path: path.to_owned(),
        fault: fault.into(),
    }
}

/// Returns the URI of a file that nobody writes (sqlite.org/uri.html).
fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = String::from("file:");
    for octet in path.as_os_str().as_encoded_bytes() {
        match octet {
            b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(*octet)),
            octet if octet.is_ascii_alphanumeric() => uri.push(char::from(*octet)),
            octet => uri.push_str(&format!("%{octet:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    PathBuf::from(uri)
}

#[cfg(test)]
mod tests {
    use crate::store::handle::{Store, StoreOptions};
    use crate::time::Timestamp;

    use super::*;

    /// Makes a database in a folder, which nobody has open then.
    fn make(folder: &Path) -> PathBuf {
        let path = folder.join("a b?%23#.db");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        Store::open(&path, options).expect("made");
        path
    }

    /// Returns the stamp of a file.
    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&path.metadata().expect("there"))
    }

    #[test]
    fn database_at_rest_is_read_as_one_file_whatever_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = make(folder.path());
        let opened = Way::Frozen(stamp(&path)).open(&path).expect("opened");
        let count = opened.query_row("select count(*) from zone", [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(0));
        assert!(!with_suffix(&path, "-wal").exists());
        assert!(opened.execute("delete from zone", []).is_err());
    }

    #[test]
    fn reader_by_itself_takes_its_files_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = make(folder.path());
        assert_eq!(Way::find(&path).expect("readable"), Way::Alone);
        let reader = Store::open_read_only(&path).expect("opened");
        let at = Timestamp::from_unix(1_790_000_000);
        assert!(
            reader.desk().remove_exemption(1, "ada", at).is_err(),
            "it only reads"
        );
        assert!(with_suffix(&path, "-wal").exists());
        assert_eq!(Way::find(&path).expect("readable"), Way::Shared);
        drop(reader);
        assert!(!with_suffix(&path, "-wal").exists());
        assert!(!with_suffix(&path, "-shm").exists());
    }

    #[test]
    fn file_that_was_written_while_it_was_read_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = make(folder.path());
        let mut reader = Store::open_read_only(&path).expect("opened");
        reader.file.as_mut().expect("a file").frozen = Some(stamp(&path));
        assert_eq!(reader.desk().dead_count().expect("as it was"), 0);
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        io::Write::write_all(&mut file.expect("opened"), &[0]).expect("written");
        let read = reader.desk().dead_count();
        assert!(
            matches!(read, Err(StoreError::WrittenMeanwhile(_))),
            "{read:?}"
        );
    }
}
