//! The files of a database: which one a path leads to, and how one is made.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::file;
use crate::store::error::{StoreError, unusable};

/// Device and number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct FileId(u64, u64);

impl From<&Metadata> for FileId {
    fn from(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }
}

impl FileId {
    /// Returns that of the file at `path`; `None` if there is none. A pipe, a device or a folder is refused.
    pub(in crate::store) fn of(path: &Path) -> Result<Option<Self>, StoreError> {
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
pub(in crate::store) fn follow_link(path: &Path) -> PathBuf {
    if path.is_symlink() {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    } else {
        path.to_owned()
    }
}

/// Returns `path` with `suffix` after its file name.
pub(in crate::store) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Gives a file that root has just made at `path` to the owner of its folder: the poller runs as that user, and could
/// not open it. Nothing happens where another user made it. Never a file that was there before: the path could lead
/// to any.
pub(in crate::store) fn give_to_owner_of_folder(made: &File, path: &Path) {
    let owner = folder_of(path).metadata();
    if let (Ok(folder), Ok(file)) = (owner, made.metadata())
        && folder.uid() != file.uid()
    {
        let _ = fchown(made, Some(folder.uid()), Some(folder.gid()));
    }
}

/// Makes an empty file that only its owner reads.
pub(in crate::store) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    options.open(path)
}

/// Returns the folder that a file lies in.
pub(in crate::store) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
