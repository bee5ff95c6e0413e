//! Which faults of the database can pass while nobody touches it, and what helps against each.

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::file;
use crate::store::error::StoreError;
use crate::store::postgres::faults::{self, is_of_server};
use crate::store::value::Fault;

/// What is true after every fault that can pass.
const KEPT: &str = "what was committed is there, and the next pass goes on from it";
/// SQLite's extended code for a fault of the disk that is damage: the file system itself says that it is damaged.
const DAMAGED_FILE_SYSTEM: i32 = ffi::SQLITE_IOERR | (33 << 8);

impl StoreError {
    /// Returns whether the same work can be done later, with this program and this file.
    ///
    /// A lock that somebody holds, a full disk, a fault of the disk, a file that cannot be opened or written: each can
    /// be over at the next try. Damage, another program's file, a newer schema and an old SQLite stay what they are
    /// until somebody puts them right. A fault that is not known to pass is taken for one that stays.
    pub fn can_heal(&self) -> bool {
        match self {
            Self::Engine { fault, .. } if is_of_server(fault) => faults::can_heal(fault),
            Self::Engine { fault, .. } => sqlite_can_heal(fault),
            Self::File { fault, .. } => file_can_heal(fault),
            Self::Access { .. }
            | Self::WrittenMeanwhile(_)
            | Self::Missing(_)
            | Self::LogFull { .. }
            | Self::ReadTooLong { .. }
            | Self::Gone(_)
            | Self::Replaced(_)
            | Self::Overtaken(_) => true,
            Self::Newer { .. }
            | Self::Older { .. }
            | Self::Foreign { .. }
            | Self::OldSqlite(_)
            | Self::NoReverseIndex(_)
            | Self::TooManyNames(..)
            | Self::OnlyOfAFile { .. }
            | Self::Taken(_)
            | Self::MoreNames(_)
            | Self::Damaged { .. } => false,
        }
    }

    /// Returns whether the configuration is at fault, here or at a server: a password, a right, a certificate.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Engine { fault, .. } => faults::is_of_configuration(fault),
            _ => false,
        }
    }

    /// Returns the fault with the name of the copy, if it met that rather than the database.
    pub(in crate::store) fn while_copied(self, to: &Path) -> Self {
        match self {
            Self::Engine { fault, .. } if is_of_writing(&fault) => Self::Engine {
                path: to.to_owned(),
                fault,
            },
            other => other,
        }
    }

    /// Returns what helps, as an order; `None` where the fault's own words say it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Engine { fault, .. } if is_of_server(fault) => Some(faults::cure(fault)),
            Self::Engine { fault, .. } => Some(sqlite_cure(fault)),
            Self::File { fault, .. } => Some(file::cure(fault).to_owned()),
            Self::Access { cure, .. } => Some(cure.clone()),
            Self::WrittenMeanwhile(_) => Some(
                "run the command again; a user who may write the database and its folder waits for no writer"
                    .to_owned(),
            ),
            Self::NoReverseIndex(_) => {
                Some("set store.reverse_index = true; the next poll makes the index".to_owned())
            }
            Self::Taken(_) => Some("name a new file, or a new schema or database".to_owned()),
            Self::OnlyOfAFile { .. } => Some(
                "see `how-to/run-on-postgresql.md`: pg_basebackup, pg_dump and a standby".to_owned(),
            ),
            Self::TooManyNames(..) => Some("name one of the domains below it".to_owned()),
            Self::Newer { .. } => {
                Some("run the newer fluxwatch, or restore a backup that this one made".to_owned())
            }
            Self::Foreign { .. } => Some("name another file in store.path".to_owned()),
            Self::Damaged { .. } => Some(damage_cure()),
            Self::LogFull { cure, .. } => Some(format!(
                "{cure}; store.wal_bytes_max says how far the log may grow"
            )),
            Self::ReadTooLong { .. } => Some(
                "run it when less is written, on a copy, or with a larger store.wal_bytes_max"
                    .to_owned(),
            ),
            Self::Overtaken(_)
            | Self::Gone(_)
            | Self::Replaced(_)
            | Self::MoreNames(_)
            | Self::Older { .. }
            | Self::OldSqlite(_)
            | Self::Missing(_) => None,
        }
    }
}

/// Returns SQLite's numbers of a fault; `None` if it has none.
fn numbers_of(fault: &Fault) -> Option<ffi::Error> {
    fault.code().map(ffi::Error::new)
}

/// Returns which of the faults that SQLite tells apart it is.
pub(super) fn code_of(fault: &Fault) -> Option<ErrorCode> {
    numbers_of(fault).map(|numbers| numbers.code)
}

/// Returns whether SQLite could not make or write a file, in a process that writes one and reads another.
fn is_of_writing(fault: &Fault) -> bool {
    let Some(code) = numbers_of(fault) else {
        return false;
    };
    match code.code {
        ErrorCode::DiskFull | ErrorCode::CannotOpen => true,
        ErrorCode::SystemIoFailure => !matches!(
            code.extended_code,
            ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ
        ),
        _ => false,
    }
}

/// Returns what helps against damage.
fn damage_cure() -> String {
    "see what is damaged with `fluxwatch db verify`, and restore the newest backup that is sound"
        .to_owned()
}

/// Returns what helps against a fault that SQLite reports.
fn sqlite_cure(fault: &Fault) -> String {
    let Some(code) = numbers_of(fault) else {
        return damage_cure();
    };
    let order = match code.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            "end what holds its lock (`fuser` names it), or run the command again later"
        }
        ErrorCode::DiskFull => "make room on its file system (`df` shows what is free)",
        ErrorCode::SystemIoFailure => {
            "look for what the system says of the disk (`dmesg`), and whether it is full (`df`)"
        }
        ErrorCode::CannotOpen => {
            "look whether its folder is there, whether this user may write it, and how many files may be open (`ulimit -n`)"
        }
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
            "let this user write it, its folder and the files beside it (-wal, -shm)"
        }
        ErrorCode::OutOfMemory => "give the program more memory",
        _ => return damage_cure(),
    };
    format!("{order}; {KEPT}")
}

/// Returns whether a fault that SQLite reports can pass.
fn sqlite_can_heal(fault: &Fault) -> bool {
    let Some(code) = numbers_of(fault) else {
        // A value of another type than this program writes, or SQL that does not fit the tables.
        return false;
    };
    match code.code {
        ErrorCode::SystemIoFailure => code.extended_code != DAMAGED_FILE_SYSTEM,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory => true,
        _ => false,
    }
}

/// Returns whether a fault of a file can pass: of the system's, all can. What stands in a file's place and is none
/// (a folder, a pipe) was named by mistake.
fn file_can_heal(fault: &io::Error) -> bool {
    fault.raw_os_error().is_some()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::store::handle::{Store, StoreOptions};

    use super::*;

    /// As the poller opens it.
    const POLLING: StoreOptions = StoreOptions {
        reverse_index: true,
        create: true,
    };

    /// Returns the fault of SQLite with an extended code.
    fn sqlite(code: i32) -> StoreError {
        StoreError::Engine {
            path: "fluxwatch.db".into(),
            fault: rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into(),
        }
    }

    /// Opens what must not be opened.
    fn fault_of(path: &Path) -> StoreError {
        Store::open(path, POLLING)
            .err()
            .expect("it cannot be opened")
    }

    #[test]
    fn locks_full_disks_and_faults_of_the_disk_can_pass() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_SHMMAP,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_PERM,
        ] {
            assert!(sqlite(code).can_heal(), "{code}");
        }
    }

    #[test]
    fn a_full_disk_and_damage_have_cures_of_their_own() {
        let cure = |code| sqlite(code).cure().unwrap_or_default();
        assert!(cure(ffi::SQLITE_FULL).starts_with("make room"));
        assert!(cure(ffi::SQLITE_FULL).ends_with(KEPT));
        assert!(cure(ffi::SQLITE_CORRUPT).contains("backup"));
    }

    #[test]
    fn damage_does_not_pass() {
        for code in [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_CORRUPT_INDEX,
            ffi::SQLITE_NOTADB,
            DAMAGED_FILE_SYSTEM,
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_ERROR,
        ] {
            assert!(!sqlite(code).can_heal(), "{code}");
        }
    }

    #[test]
    fn folder_that_is_missing_can_come_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("not-mounted/fluxwatch.db");
        assert!(fault_of(&path).can_heal());
    }

    #[test]
    fn what_is_no_database_of_ours_stays_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("fluxwatch.db");
        fs::write(&path, "-- a dump, not a database --\n".repeat(400)).expect("written");
        let fault = fault_of(&path);
        assert!(!fault.can_heal(), "{fault}");
        assert!(!fault_of(folder.path()).can_heal());
    }

    #[test]
    fn database_of_a_newer_program_stays_newer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("fluxwatch.db");
        let store = Store::open(&path, POLLING).expect("made");
        let newer = "pragma user_version = 9999";
        store.run(|db| db.run(newer)).expect("written");
        drop(store);
        assert!(!fault_of(&path).can_heal());
    }
}
