//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::dns::Name;
use crate::store::value::Fault;

/// Why the store cannot serve. Each is this machine's or the file's fault: exit status 4.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine reports a fault.
    #[error("database {path}: {fault}")]
    Engine {
        /// The database file.
        path: PathBuf,
        /// The engine's words.
        fault: Fault,
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
        "database {path}: the write-ahead log has {octets_mib} MiB and may not grow: {readers} reads an old state, so that SQLite cannot move the log into the database; fluxwatch writes nothing until that ends"
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
    #[error("zone {0} got another version meanwhile; fluxwatch compares it again")]
    Overtaken(Name),
    /// The file is gone from its path, while it is open: what is written now nobody would find.
    #[error(
        "database {0} was renamed or removed while it was open; fluxwatch writes nothing until it is back: put the file back, or restart fluxwatch to make a new one"
    )]
    Gone(PathBuf),
    /// Another file has taken the place of the one that is open.
    #[error(
        "database {0} was replaced by another file while it was open; fluxwatch writes nothing: restart it to use the new file, or put the old one back"
    )]
    Replaced(PathBuf),
    /// The file has more than one name, and so more than one log.
    #[error(
        "database {0} has another name too (a hard link): what is in the log of one name is lost under the other; remove the other name, or make a copy with `fluxwatch db backup`"
    )]
    MoreNames(PathBuf),
    /// A database that is moved goes into one that holds nothing.
    #[error("database {0} holds zones, cases or exemptions already, and nothing was moved into it")]
    Taken(PathBuf),
    /// Something was asked that only a database in a file can do.
    #[error("database {path} is a server's: {what} is made by the server's own tools")]
    OnlyOfAFile {
        /// The server and its database.
        path: PathBuf,
        /// What was asked.
        what: &'static str,
    },
    /// A value in the database is not what this program writes.
    #[error("database {path} is damaged: {what}")]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
}

/// Returns the fault of a database file.
pub(super) fn unusable(path: &Path, fault: io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        fault,
    }
}
