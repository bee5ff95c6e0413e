//! The lock of the one poller: of the database, whatever its path is.
//!
//! The lock is flock(2) on the database's own file, so a symbolic link, another spelling of the path or a lock file
//! that somebody removed lets no second poller in. SQLite locks the same file with fcntl(2), which is another kind
//! of lock and does not meet this one on a local disk.
//!
//! fcntl's locks have a trap: a process loses all that it has on a file as soon as it closes *any* descriptor of
//! that file (sqlite.org/howtocorrupt.html, section 2.2). So the descriptor of the lock is never closed: dropping
//! [`PollerLock`] frees the lock, and the descriptor goes with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

use crate::file;
use crate::store::error::{StoreError, unusable};
use crate::store::sqlite::file::{FileId, PRIVATE, follow_link, with_suffix};
use crate::store::sqlite::reading::check_writable;

/// Held by the one process that polls into a database. Freed when it is dropped, and by the system when the
/// process ends.
#[derive(Debug)]
pub struct PollerLock {
    /// The database. Never closed.
    database: &'static File,
    /// What a version before this one locked: `DATABASE.lock`, where such a file is left.
    older: Vec<File>,
}

impl PollerLock {
    /// Takes the lock of the database at `path`; `None` if another process has it. Makes an empty file if there is
    /// none, which [`crate::store::Store::open`] makes a database of.
    ///
    /// With `wait`, returns only when the lock is free. To be called before this process opens the database: what
    /// is not locked is closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] or [`StoreError::Access`] if the database cannot be made, opened or locked.
    pub fn take(path: &Path, wait: bool) -> Result<Option<Self>, StoreError> {
        let database = loop {
            let database = open_or_make(path)?;
            let meta = database.metadata().map_err(|fault| unusable(path, fault))?;
            if !lock(&database, wait).map_err(|fault| unusable(path, fault))? {
                return Ok(None);
            }
            // Somebody may have put another file at the path before this one was locked.
            if FileId::of(path)? == Some(FileId::from(&meta)) {
                break database;
            }
        };
        // From here on nothing closes it, also where the older lock is another's.
        let database: &'static File = Box::leak(Box::new(database));
        let mut held = Self {
            database,
            older: Vec::new(),
        };
        for older in older_locks(path) {
            match take_older(&older, wait).map_err(|fault| unusable(&older, fault))? {
                Older::Taken(file) => held.older.push(file),
                Older::Absent => {}
                Older::Busy => return Ok(None),
            }
        }
        Ok(Some(held))
    }
}

impl Drop for PollerLock {
    fn drop(&mut self) {
        // The system frees it at the latest when the process ends.
        let _ = self.database.unlock();
    }
}

/// The files that [`keep_open`] opened.
static KEPT_OPEN: Mutex<Vec<(FileId, &'static File)>> = Mutex::new(Vec::new());

/// Opens a file that may be a database of this process, to look at its octets. It is opened once and never closed:
/// closing it would drop the locks that SQLite has on it.
pub(in crate::store) fn keep_open(path: &Path) -> io::Result<&'static File> {
    let id = FileId::from(&path.metadata()?);
    let mut kept = KEPT_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, file)) = kept.iter().find(|(known, _)| *known == id) {
        return Ok(*file);
    }
    let file: &'static File = Box::leak(Box::new(file::open(path)?));
    // What was opened, whatever has been put at the path since: as long as it is open no other file has its number.
    kept.push((FileId::from(&file.metadata()?), file));
    Ok(file)
}

/// Opens the database's file, or makes an empty one that only its owner reads.
fn open_or_make(path: &Path) -> Result<File, StoreError> {
    if FileId::of(path)?.is_none() {
        match file::make(path, PRIVATE) {
            Ok(_) => {}
            // Another poller was faster; a link without a file behind it fails below.
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(unusable(path, fault)),
        }
    }
    check_writable(path)?;
    file::open(path).map_err(|fault| unusable(path, fault))
}

/// Locks a file; returns whether it could be done without waiting, or after having waited.
fn lock(file: &File, wait: bool) -> io::Result<bool> {
    if wait {
        return file.lock().map(|()| true);
    }
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(fault)) => Err(fault),
    }
}

/// How it went with a lock file of an older version.
enum Older {
    /// It is held now.
    Taken(File),
    /// There is none.
    Absent,
    /// An older version polls.
    Busy,
}

/// Returns where a version before this one would have its lock: beside the path as it is written, and beside the file
/// that a link leads to.
fn older_locks(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![with_suffix(path, ".lock")];
    let behind = with_suffix(&follow_link(path), ".lock");
    if behind != paths[0] {
        paths.push(behind);
    }
    paths
}

/// Takes the lock of an older version, so that it does not poll beside this one. No lock file is made: who goes back
/// to an older version stops this one first.
fn take_older(path: &Path, wait: bool) -> io::Result<Older> {
    // A link is not followed: who may write the folder must not choose what root opens.
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    match options.open(path) {
        Ok(file) => Ok(if lock(&file, wait)? {
            Older::Taken(file)
        } else {
            Older::Busy
        }),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Older::Absent),
        Err(fault) => Err(fault),
    }
}

/// Returns whether a file has more than one name. SQLite's log stands beside the name that it was opened by, so
/// what is written under one name is not seen, and later overwritten, under the other
/// (sqlite.org/howtocorrupt.html, section 2.4).
pub(in crate::store) fn has_more_names(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.nlink() > 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Returns whether the lock at a path is free.
    fn is_free(path: &Path) -> bool {
        PollerLock::take(path, false).expect("looked").is_some()
    }

    #[test]
    fn database_is_locked_under_each_of_its_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let (link, hard) = (folder.path().join("link.db"), folder.path().join("hard.db"));
        symlink("a.db", &link).expect("linked");
        let held = PollerLock::take(&path, false).expect("looked");
        fs::hard_link(&path, &hard).expect("linked");
        let dotted = folder.path().join(".").join("a.db");
        for name in [&path, &link, &hard, &dotted] {
            assert!(!is_free(name), "{}", name.display());
        }
        drop(held);
        assert!(is_free(&link));
    }

    #[test]
    fn lock_of_an_older_version_is_kept_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("a.db"), folder.path().join("link.db"));
        symlink("a.db", &link).expect("linked");
        let older = File::create(folder.path().join("a.db.lock")).expect("made");
        older.lock().expect("free");
        assert!(!is_free(&path));
        assert!(!is_free(&link));
        older.unlock().expect("held");
        assert!(is_free(&path));
    }

    #[test]
    fn lock_makes_no_file_beside_the_database() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        assert!(is_free(&path));
        let names = fs::read_dir(folder.path()).expect("there");
        let names: Vec<_> = names.map(|it| it.expect("read").file_name()).collect();
        assert_eq!(names, ["a.db"]);
    }
}
